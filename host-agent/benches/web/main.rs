//! What the pages cost a companion with a big fleet: `cargo xtask bench web`.
//!
//! Companion, guests and readers are in this process: what is said of memory and processor holds both ends of each
//! connection, so it is more than the companion's own.

#![allow(clippy::unwrap_used, reason = "in a benchmark, a panic with its place is the message")]

#[path = "../../tests/web/api.rs"]
mod api;
#[path = "../engine/backend.rs"]
mod backend;
#[path = "../../tests/web/browser.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod browser;
#[path = "../../tests/daemon/certificates.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod certificates;
#[path = "../../tests/daemon/client.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod client;
#[path = "../engine/fleet.rs"]
#[allow(dead_code, reason = "the engine's figures use more of it")]
mod fleet;
#[path = "../../tests/web/html.rs"]
mod html;
#[path = "../engine/load.rs"]
#[allow(dead_code, reason = "the engine's figures use more of it")]
mod load;
#[path = "../engine/percentile.rs"]
mod percentile;
#[path = "../../tests/hypervisor/post.rs"]
mod post;
#[path = "../../tests/hypervisor/report.rs"]
mod report;

mod page;
mod readers;
mod site;

use clap::Parser;

#[derive(Debug, Parser)]
struct Arguments {
    /// A round for each number of guests.
    #[arg(long, default_values_t = [10_000])]
    guests: Vec<usize>,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

#[tokio::main(worker_threads = 2)]
async fn main() {
    let mut table = firstlight_tests::figures::Table::default();
    for count in Arguments::parse().guests {
        let site = site::Site::open(count).await;
        page::measure(&site, &mut table).await;
        readers::measure(&site, &mut table).await;
        site.close().await;
    }
    table.print();
}

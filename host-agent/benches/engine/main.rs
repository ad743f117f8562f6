//! The job engine's figures, each beside its aim and, where there is one, a peer measured in the same run:
//! `cargo xtask bench engine`.

#![allow(clippy::unwrap_used, reason = "in a benchmark, a panic with its place is the message")]

mod backend;
mod bare;
mod cost;
mod fleet;
mod growth;
mod load;
mod percentile;
mod reports;
mod shared;
mod walk;

#[path = "../../tests/paper/mod.rs"]
mod paper;
#[path = "../../tests/hypervisor/post.rs"]
mod post;
#[path = "../../tests/hypervisor/report.rs"]
mod report;

use std::process::ExitCode;

use clap::Parser;
use firstlight_tests::figures::Table;

#[derive(Debug, Parser)]
struct Arguments {
    /// How many jobs the engine's cost is measured with; ten times as many report.
    #[arg(long, default_value_t = 1000)]
    jobs: usize,
    /// Replay the random walk of this seed.
    #[arg(long)]
    seed: Option<u64>,
    /// Only these parts.
    #[arg(long)]
    only: Vec<Part>,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    Cost,
    Fleet,
    Reports,
    Growth,
    Shared,
    Walk,
}

#[tokio::main(worker_threads = 2)]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // A replay is wanted for the walk's sake.
    let replay = arguments.seed.filter(|_| arguments.only.is_empty()).map(|_| Part::Walk);
    let only: Vec<Part> = arguments.only.into_iter().chain(replay).collect();
    let wanted = |part| only.is_empty() || only.contains(&part);
    let mut table = Table::default();
    if wanted(Part::Cost) {
        cost::measure(arguments.jobs, &mut table).await;
    }
    if wanted(Part::Fleet) {
        fleet::measure(arguments.jobs * 10, &mut table).await;
    }
    if wanted(Part::Growth) {
        growth::measure(&mut table).await;
    }
    if wanted(Part::Shared) {
        shared::measure(&mut table).await;
    }
    if wanted(Part::Reports) {
        reports::measure(arguments.jobs * 18, &mut table).await;
    }
    let walked = if wanted(Part::Walk) { walk::measure(arguments.seed, &mut table) } else { true };
    table.print();
    if walked { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

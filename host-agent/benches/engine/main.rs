//! The job engine's figures, each beside its aim and, where there is one, a peer measured in the same run:
//! `cargo xtask bench engine`.

#![allow(clippy::unwrap_used, reason = "in a benchmark, a panic with its place is the message")]

mod bare;
mod cost;
mod table;

use clap::Parser;
use table::Table;

#[derive(Debug, Parser)]
struct Arguments {
    /// How many jobs the engine's cost is measured with; ten times as many report.
    #[arg(long, default_value_t = 1000)]
    jobs: usize,
    /// Replay the random walk of this seed.
    #[arg(long)]
    seed: Option<u64>,
    /// Only this part.
    #[arg(long)]
    only: Option<Part>,
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
    Walk,
}

#[tokio::main(worker_threads = 2)]
async fn main() {
    let arguments = Arguments::parse();
    let wanted = |part| arguments.only.is_none_or(|only| only == part);
    let mut table = Table::default();
    if wanted(Part::Cost) {
        cost::measure(arguments.jobs, &mut table).await;
    }
    table.print();
}

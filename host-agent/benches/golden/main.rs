//! What looking at a golden costs: `cargo xtask bench golden`. A root of a gigabyte, made of this machine's own `/usr`, as a folder
//! and as tar.zst; beside it what the usual programs take to read the same.

#![allow(clippy::unwrap_used, reason = "in a benchmark, a panic with its place is the message")]

mod lint;
mod peak;
mod root;
mod seal;

use std::path::PathBuf;

use clap::Parser;

#[derive(Debug, Parser)]
struct Arguments {
    /// A root to look at; else one of so many bytes is made.
    #[arg(long)]
    root: Option<PathBuf>,
    #[arg(long, default_value_t = 1 << 30)]
    bytes: u64,
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// The guest's program: its seal is measured too.
    #[arg(long)]
    guest: Option<PathBuf>,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let arguments = Arguments::parse();
    let folder = tempfile::Builder::new().prefix("firstlight-bench-").tempdir().unwrap();
    let root =
        arguments.root.clone().unwrap_or_else(|| root::make(&folder.path().join("root"), arguments.bytes));
    let size = root::size(&root);
    eprintln!("a root of {:.2} GB in {} files", size.bytes as f64 / 1e9, size.files);
    let mut table = firstlight_tests::figures::Table::default();
    lint::measure(&root, folder.path(), &size, arguments.rounds, &mut table);
    if let Some(guest) = &arguments.guest {
        seal::measure(guest, &root, folder.path(), arguments.rounds, &mut table);
    }
    table.print();
}

//! `cargo xtask bench engine`: the companion's own benchmark, optimised. It needs neither root nor guests.

use anyhow::{Result, ensure};

use crate::build;

/// Prints the table; what the program says meanwhile goes to stderr.
///
/// # Errors
/// It cannot be built, or the random walk found a job that ended neither complete nor clean.
pub fn engine(jobs: Option<usize>, only: &[String], seed: Option<u64>) -> Result<()> {
    let mut bench = build::cargo();
    bench.args(["bench", "--quiet", "--package", "firstlight", "--bench", "engine", "--"]);
    if let Some(jobs) = jobs {
        bench.args(["--jobs", &jobs.to_string()]);
    }
    for part in only {
        bench.args(["--only", part]);
    }
    if let Some(seed) = seed {
        bench.args(["--seed", &seed.to_string()]);
    }
    ensure!(bench.status()?.success(), "the benchmark failed");
    Ok(())
}

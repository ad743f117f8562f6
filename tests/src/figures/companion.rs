//! The companion's own benchmarks, optimised: `cargo xtask bench engine`, `... golden`, `... proxmox` and `... web`. They
//! need neither root nor guests.

use anyhow::{Result, ensure};

use crate::{build, packages};

/// Prints the table; what the program says meanwhile goes to stderr.
///
/// # Errors
/// It cannot be built, or the random walk found a job that ended neither complete nor clean.
pub fn engine(jobs: Option<usize>, only: &[String], seed: Option<u64>) -> Result<()> {
    let jobs = jobs.map(|jobs| ("--jobs", jobs.to_string()));
    let seed = seed.map(|seed| ("--seed", seed.to_string()));
    let only = only.iter().map(|part| ("--only", part.clone()));
    bench("engine", jobs.into_iter().chain(only).chain(seed))
}

/// Rounds of so many guests; none: the usual ones.
///
/// # Errors
/// It cannot be built, or a bring-up failed.
pub fn proxmox(guests: &[usize]) -> Result<()> {
    bench("proxmox", guests.iter().map(|count| ("--guests", count.to_string())))
}

/// A round for each number of guests; none: ten thousand.
///
/// # Errors
/// It cannot be built, or a page did not come.
pub fn web(guests: &[usize]) -> Result<()> {
    bench("web", guests.iter().map(|count| ("--guests", count.to_string())))
}

/// Looks at a root, and seals a copy of it with the guest's program.
///
/// # Errors
/// A program cannot be built, or a look failed.
pub fn golden() -> Result<()> {
    packages::ensure(packages::ARCHIVES)?;
    let guest = build::guest()?;
    bench("golden", [("--guest", guest.display().to_string())].into_iter())
}

fn bench(name: &str, arguments: impl Iterator<Item = (&'static str, String)>) -> Result<()> {
    let mut bench = build::cargo();
    bench.args(["bench", "--quiet", "--package", "firstlight", "--bench", name, "--"]);
    for (flag, value) in arguments {
        bench.args([flag, &value]);
    }
    ensure!(bench.status()?.success(), "the benchmark failed");
    Ok(())
}

//! The companion's own benchmarks, optimised: `cargo xtask bench engine`, `... golden`, `... proxmox` and `... web`, and
//! `cargo xtask fleet`. They need neither root nor guests.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::args::{FleetArguments, FleetBackend};
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

/// Plays fleets, and prints what came of them: the program takes this one's place, so that a signal comes to the right one
/// and the exit code is its own (1: a guest is not accounted for).
///
/// # Errors
/// It cannot be built.
pub fn fleet(arguments: &FleetArguments) -> Result<()> {
    let FleetArguments { guests, seed, backend, minutes, stay, faults, curve, json, dev } = arguments;
    ensure!(!curve || *guests >= 100, "a curve begins with a hundred guests: --guests 100 or more");
    if *backend != FleetBackend::Sqlite {
        packages::ensure(packages::POSTGRESQL)?;
    }
    let backend = match backend {
        FleetBackend::Sqlite => "sqlite",
        FleetBackend::Postgresql => "postgresql",
        FleetBackend::Both => "both",
    };
    let mut bench = Command::new(build::bench("fleet", *dev)?);
    bench.args(["--guests", &guests.to_string(), "--backend", backend]);
    let numbers =
        [("--seed", *seed), ("--minutes", *minutes), ("--stay", *stay), ("--faults", faults.map(u64::from))];
    for (flag, number) in numbers {
        if let Some(number) = number {
            bench.args([flag, &number.to_string()]);
        }
    }
    bench.args(curve.then_some("--curve")).args(json.then_some("--json"));
    Err(bench.exec()).context("the fleet's program cannot be started")
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
    let mut bench = benchmark(name);
    for (flag, value) in arguments {
        bench.args([flag, &value]);
    }
    ensure!(bench.status()?.success(), "the benchmark failed");
    Ok(())
}

fn benchmark(name: &str) -> Command {
    let mut bench = build::cargo();
    bench.args(["bench", "--quiet", "--package", "firstlight", "--bench", name, "--"]);
    bench
}

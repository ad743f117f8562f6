//! `cargo xtask`: see [`firstlight_tests::args`].

use std::process::ExitCode;

use clap::Parser as _;
use firstlight_tests::args::{Arguments, BenchSubject, Task};
use firstlight_tests::rig::incus;
use firstlight_tests::{
    audit, build, check, coverage, demo, dist, figures, fuzz, golden, mutants, packages, simpve,
};

fn main() -> ExitCode {
    match dispatch(Arguments::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(task: Task) -> anyhow::Result<ExitCode> {
    match task {
        Task::Build { release } => {
            let programs = build::programs(release)?;
            println!("{}\n{}", programs.companion.display(), programs.guest.display());
        }
        Task::Golden { variants } => {
            packages::ensure(packages::GUESTS)?;
            let programs = build::programs(false)?;
            let wanted = if variants.is_empty() { golden::Variant::ALL } else { &variants };
            println!("{}", golden::ensure(&programs.guest, wanted)?.display());
        }
        Task::Package(arguments) => println!("{}", dist::run(&arguments)?.display()),
        Task::Demo(arguments) => return demo::run(&arguments),
        Task::Clean { state } => demo::clean(state)?,
        Task::Simpve(arguments) => simpve::serve(&arguments)?,
        Task::Incus(arguments) => incus::serve(&arguments)?,
        Task::Test { fast, full } => return check::run(fast, full),
        Task::Fleet(arguments) => figures::fleet(&arguments)?,
        Task::Fuzz { target, seconds } => fuzz::fuzz(target.as_deref(), seconds)?,
        Task::Mutants { area, shard } => mutants::mutants(area.as_deref(), shard.as_deref())?,
        Task::Audit { database } => audit::audit(database.as_deref())?,
        Task::Coverage => coverage::coverage()?,
        Task::Bench { subject, dev, jobs, only, seed, runs, boots, guests, rounds } => match subject {
            None => figures::all()?,
            Some(subject) => match subject {
                BenchSubject::Skeleton => figures::skeleton(!dev)?,
                BenchSubject::Engine => figures::engine(jobs, &only, seed)?,
                BenchSubject::Golden => figures::golden()?,
                BenchSubject::Web => figures::web(&guests)?,
                BenchSubject::Proxmox => figures::proxmox(&guests)?,
                BenchSubject::Incus => figures::incus(&guests, rounds, !dev)?,
                BenchSubject::Guest => {
                    figures::guest(figures::Runs { processes: runs, boots }, &only)?;
                }
            },
        },
    }
    Ok(ExitCode::SUCCESS)
}

//! A simulated fleet against real companions: `cargo xtask fleet`. Each companion is a process of its own, this program
//! again; guests and hypervisor are played here.

#![allow(clippy::unwrap_used, reason = "in a benchmark, a panic with its place is the message")]

#[allow(dead_code, reason = "the tests use the rest")]
#[path = "../../tests/companions/companion.rs"]
mod companion;
mod document;
#[allow(dead_code, reason = "the tests use the rest")]
#[path = "../../tests/hypervisor/mod.rs"]
mod hypervisor;
#[path = "../../tests/postgres/mod.rs"]
mod postgres;
mod simulation;
mod table;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};

use simulation::{Outcome, Run, Store};

#[derive(Debug, Parser)]
struct Arguments {
    /// How many; of a curve: the most.
    #[arg(long, default_value_t = 10_000)]
    guests: usize,
    /// Replays a run: which guest does what, what goes wrong when.
    #[arg(long)]
    seed: Option<u64>,
    #[arg(long, value_enum, default_value_t = Backend::Both)]
    backend: Backend,
    /// Ask for all guests within this time, evenly.
    #[arg(long, default_value_t = 0)]
    minutes: u64,
    /// Guests are destroyed so many seconds after they are ready; without: they stay.
    #[arg(long)]
    stay: Option<u64>,
    /// How often something goes wrong; without: the more often, the more guests.
    #[arg(long)]
    faults: Option<usize>,
    /// From a hundred guests on, ten times as many each time.
    #[arg(long)]
    curve: bool,
    /// One JSON document instead of tables.
    #[arg(long)]
    json: bool,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Backend {
    /// One companion.
    Sqlite,
    /// Three companions.
    Postgresql,
    Both,
}

fn main() -> ExitCode {
    if companion::be_one() {
        return ExitCode::SUCCESS;
    }
    let arguments = Arguments::parse();
    let seed = arguments.seed.unwrap_or_else(|| rand::random::<u32>().into());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let stores: &[Store] = match arguments.backend {
        Backend::Sqlite => &[Store::Sqlite],
        Backend::Postgresql => &[Store::Postgresql],
        Backend::Both => &[Store::Sqlite, Store::Postgresql],
    };
    let mut done = Vec::new();
    for guests in sizes(arguments.guests, arguments.curve) {
        for store in stores {
            let faults = arguments.faults.unwrap_or_else(|| usual(guests));
            let within = Duration::from_secs(arguments.minutes * 60);
            let stay = arguments.stay.map(Duration::from_secs);
            let run = Run { guests, seed, store: *store, faults, within, stay };
            eprintln!("{guests} guests, {}, seed {seed}, {faults} faults", store.name());
            let outcome = match runtime.block_on(unless_ended(&run)) {
                Ok(outcome) => outcome,
                Err(code) => {
                    eprintln!("ended by a signal: of this run nothing is known");
                    return ExitCode::from(code);
                }
            };
            table::tell(&outcome);
            if !arguments.json {
                table::print_tenths(&run, &outcome);
            }
            done.push((run, outcome));
        }
    }
    match arguments.json {
        true => println!("{:#}", document::of(seed, &done)),
        false => table::print(&done),
    }
    let well = done.iter().all(|(_, outcome)| outcome.findings.is_empty());
    if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What a signal ends is put in order: nothing runs on, and no folder stays. The error is the exit code for it.
async fn unless_ended(run: &Run) -> Result<Outcome, u8> {
    let mut interrupt = signal(SignalKind::interrupt()).unwrap();
    let mut terminate = signal(SignalKind::terminate()).unwrap();
    tokio::select! {
        outcome = simulation::run(run) => Ok(outcome),
        _ = interrupt.recv() => Err(130),
        _ = terminate.recv() => Err(143),
    }
}

fn sizes(most: usize, curve: bool) -> Vec<usize> {
    if !curve {
        return vec![most];
    }
    std::iter::successors(Some(100), |size| Some(size * 10)).take_while(|size| *size <= most).collect()
}

fn usual(guests: usize) -> usize {
    (guests / 250).clamp(2, 40)
}

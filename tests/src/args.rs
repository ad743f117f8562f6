//! The command line of `cargo xtask`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::golden::Variant;

/// Firstlight's own commands.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Task,
}

#[derive(Debug, Subcommand)]
pub enum Task {
    /// Build the companion and the guest's static binary
    Build {
        /// Build the companion optimised
        #[arg(long)]
        release: bool,
    },
    /// Build the goldens that demo and tests use (cached below .firstlight/)
    Golden {
        /// Only these variants
        variants: Vec<Variant>,
    },
    /// Make packages of both programs: .deb, .rpm, tarballs, checksums, bills of materials, licences
    Package(PackageArguments),
    /// Bring real clones of a real Debian golden to life, prove it, and clean up (root)
    Demo(DemoArguments),
    /// Remove what `demo --keep` left: guests and companion
    Clean {
        /// The demo's state folder [default: .firstlight/demo]
        #[arg(long)]
        state: Option<PathBuf>,
    },
    /// Serve a simulated Proxmox VE cluster until Ctrl-C
    Simpve(SimpveArguments),
    /// Run a real Incus server of its own until Ctrl-C, with a golden and a network (root)
    Incus(IncusArguments),
    /// Run all tests; the last line says how many passed
    Test {
        /// Only what needs neither root nor network
        #[arg(long, conflicts_with = "full")]
        fast: bool,
        /// Longer matrices as well
        #[arg(long)]
        full: bool,
    },
    /// Play a fleet against real companions that are killed and cut off, and account for every guest
    Fleet(FleetArguments),
    /// Fuzz what parses what others wrote, in both programs
    Fuzz {
        /// Only this one, or those of `guest` or `host`
        target: Option<String>,
        /// How long, each
        #[arg(long, default_value_t = 20)]
        seconds: u64,
    },
    /// Change the code that decides, piece by piece, and see whether the unit tests notice (cargo-mutants)
    Mutants {
        /// Only this one: beacon, identity, journal, verdict, errors
        area: Option<String>,
        /// Only a part of them, to share the hours: 0/8, 1/8 ...
        #[arg(long, value_name = "K/N")]
        shard: Option<String>,
    },
    /// Hold every locked crate against the published advisories (cargo-audit, from PyPI)
    Audit {
        /// A clone of RustSec's advisory-db, instead of fetching it
        #[arg(long, value_name = "DIR")]
        database: Option<PathBuf>,
    },
    /// Print which share of the lines the tests run that need neither root nor network (cargo-llvm-cov, from PyPI)
    Coverage,
    /// Print figures, side by side in one run; without a subject all, and write docs/BENCHMARKS.md
    Bench {
        subject: Option<BenchSubject>,
        /// Build and measure the unoptimised companion (skeleton)
        #[arg(long, requires = "subject")]
        dev: bool,
        /// How many jobs the engine's cost is measured with, and wait at once at most (engine)
        #[arg(long, requires = "subject")]
        jobs: Option<usize>,
        /// Only these parts: cost, fleet, growth, shared, reports, walk (engine), processes, ssh, stages, home (guest)
        #[arg(long, value_name = "PART", requires = "subject")]
        only: Vec<String>,
        /// Replay the random walk of this seed (engine)
        #[arg(long, requires = "subject")]
        seed: Option<u64>,
        /// How often each process is run (guest)
        #[arg(long, default_value_t = 40)]
        runs: usize,
        /// How many pairs of guests are booted (guest)
        #[arg(long, default_value_t = 30)]
        boots: usize,
        /// So many guests at once, a round for each number given; without any: 1, 10, 50 (proxmox), 20 (incus), 10000 (web)
        #[arg(long, value_name = "COUNT", requires = "subject")]
        guests: Vec<usize>,
        /// So many rounds for each number of guests, ours and the script's in turn (incus)
        #[arg(long, default_value_t = 3)]
        rounds: usize,
    },
}

#[derive(Debug, Clone, Args)]
pub struct DemoArguments {
    /// How many clones
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub count: u32,
    /// Print one JSON document instead of the table
    #[arg(long)]
    pub json: bool,
    /// What the clones are made with
    #[arg(long, value_enum, default_value_t = DemoBackend::Local)]
    pub backend: DemoBackend,
    /// Leave guests and companion running, and say how to reach and remove them (all but `local`: until Ctrl-C)
    #[arg(long)]
    pub keep: bool,
    /// The companion's state folder [default: .firstlight/demo, or .firstlight/demo-BACKEND]
    #[arg(long)]
    pub state: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DemoBackend {
    /// The companion's own guests, by systemd-nspawn
    Local,
    /// A simulated Proxmox VE, whose containers are real
    ProxmoxSim,
    /// A real Incus server, which lives as long as the demo
    Incus,
}

#[derive(Debug, Clone, Args)]
pub struct FleetArguments {
    /// How many; of a curve: the most
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=999_999))]
    pub guests: u32,
    /// Replay a run: which guest does what, and what goes wrong when
    #[arg(long)]
    pub seed: Option<u64>,
    /// One companion with SQLite, three with PostgreSQL, or both in turn
    #[arg(long, value_enum, default_value_t = FleetBackend::Both)]
    pub backend: FleetBackend,
    /// Ask for all guests within this time, evenly [default: as fast as they end]
    #[arg(long)]
    pub minutes: Option<u64>,
    /// Destroy guests so many seconds after they are ready, so that as many leave as come [default: they stay]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(30..))]
    pub stay: Option<u64>,
    /// How often something goes wrong [default: once for 250 guests, from 2 to 40]
    #[arg(long)]
    pub faults: Option<u32>,
    /// From a hundred guests on, ten times as many each time
    #[arg(long)]
    pub curve: bool,
    /// Print one JSON document instead of tables
    #[arg(long)]
    pub json: bool,
    /// Build and run it unoptimised
    #[arg(long)]
    pub dev: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FleetBackend {
    Sqlite,
    Postgresql,
    Both,
}

#[derive(Debug, Clone, Args)]
pub struct PackageArguments {
    /// For another machine, as rustc names it: `aarch64-unknown-linux-gnu`. Only the guest's program, then
    #[arg(long, value_name = "TRIPLE")]
    pub target: Option<String>,
    /// Debian's revision and RPM's release: a package of the same version, made anew
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub revision: u32,
    /// Pack the unoptimised companion, and compress lightly
    #[arg(long)]
    pub dev: bool,
    /// Then build and pack once more from a clone of the commit, in another folder, and compare
    #[arg(long)]
    pub twice: bool,
}

#[derive(Debug, Clone, Args)]
pub struct SimpveArguments {
    /// Where the first node listens; the others take the ports after it
    #[arg(long, default_value = "127.0.0.1:8006")]
    pub listen: SocketAddr,
    /// How many nodes
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=16))]
    pub nodes: u8,
    /// Multiplies the measured times of the real API; 0 is at once
    #[arg(long, default_value_t = 1.0, value_parser = factor)]
    pub scale: f64,
    /// Write the cluster's CA here
    #[arg(long)]
    pub ca: Option<PathBuf>,
    /// Keep the CA and the nodes' keys in this folder (they are made if it has none): pins hold after a new start
    #[arg(long, value_name = "DIR")]
    pub keys: Option<PathBuf>,
    /// Show a second token as well, which has rights on the pool `lab` and on what its guests need, and on nothing else
    #[arg(long)]
    pub small_token: bool,
    /// Boot containers for real, from this golden (a root file system as tar; root). It has to ask for its address by DHCP, as
    /// the golden `dhcp` of `cargo xtask golden` does: nothing writes a network configuration into it
    #[arg(long, value_name = "GOLDEN_TAR")]
    pub real: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
pub struct IncusArguments {
    /// A root file system as tar [default: the golden of the tests]
    #[arg(long, value_name = "GOLDEN_TAR")]
    pub golden: Option<PathBuf>,
}

fn factor(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(factor) if (0.0..=100.0).contains(&factor) => Ok(factor),
        _ => Err("a number from 0 to 100 is needed".into()),
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum BenchSubject {
    /// Bring-up and identity phase against their floors
    Skeleton,
    /// The guest agent's time, size and memory against its peers
    Guest,
    /// The job engine, its store and the intake of reports, each beside its aim
    Engine,
    /// Bring-ups on a real Incus server, against the script that people write
    Incus,
    /// `golden lint` and `firstlight-guest seal` of a root of a gigabyte, beside the usual tools
    Golden,
    /// The page of a big fleet, and what many open pages cost the companion
    Web,
    /// Bring-ups on a simulated Proxmox VE with the times of the real one, against the floor and the usual script
    Proxmox,
}

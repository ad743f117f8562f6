//! `cargo xtask test`: every stage in a line of its own, what a stage said only if it failed, and the sum at the end.

mod stages;
mod tally;

use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::Result;

use crate::{paths, run};
pub use tally::Tally;

/// One command of the house.
#[derive(Debug)]
struct Stage {
    name: &'static str,
    command: Command,
}

/// Runs all stages, also after a failure: one run shows all that is wrong.
pub fn run(fast: bool, full: bool) -> Result<ExitCode> {
    let mut tally = Tally::default();
    for stage in stages::plain(full)? {
        tally.add(stage.run());
    }
    if !fast {
        tally.add(prepared("conformance", stages::with_others(full)));
        tally.add(prepared("PostgreSQL", stages::with_postgresql(full)));
        tally.add(prepared("guests", stages::with_guests(full)));
    }
    println!("{} passed, {} failed", tally.passed, tally.failed);
    Ok(if tally.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs a stage that needed more than the toolchain; it fails as well if that could not be had.
fn prepared(what: &str, stage: Result<Stage>) -> Tally {
    match stage {
        Ok(stage) => stage.run(),
        Err(error) => {
            println!("preparing {what} FAILED: {error:#}");
            Tally { passed: 0, failed: 1 }
        }
    }
}

impl Stage {
    fn new(name: &'static str, command: Command) -> Self {
        Self { name, command }
    }

    fn run(mut self) -> Tally {
        let start = Instant::now();
        let ran = run::run(self.command.current_dir(paths::root()));
        let seconds = start.elapsed().as_secs_f64();
        let (mut tally, ok, said) = match ran {
            Ok(ran) => (Tally::of(&ran.stdout), ran.ok(), format!("{}{}", ran.stdout, ran.stderr)),
            Err(error) => (Tally::default(), false, format!("{error:#}")),
        };
        println!("{:<12} {} {seconds:.1} s", self.name, if ok { "ok    " } else { "FAILED" });
        if !ok {
            println!("{}", run::tail(&said, 400));
            // A stage without tests of its own counts as one that failed.
            tally.failed = tally.failed.max(1);
        }
        tally
    }
}

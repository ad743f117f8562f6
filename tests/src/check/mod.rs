//! `cargo xtask test`: every stage in a line of its own, what a stage said only if it failed, and the sum at the end.

mod stages;
mod tally;

use std::fs;
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::Result;

use crate::{paths, run};
pub use tally::Tally;

/// The tests that need no real guest, in cargo's words. What fuzzing found once stays found.
pub const UNITS: &[&str] = &["--workspace", "--features", "firstlight/fuzzing,firstlight-guest/fuzzing"];

/// One command of the house.
#[derive(Debug)]
struct Stage {
    name: &'static str,
    command: Command,
}

/// Runs all stages, also after a failure: one run shows all that is wrong.
pub fn run(fast: bool, full: bool) -> Result<ExitCode> {
    let mut tally = Tally::default();
    let beside = (!fast).then(|| std::thread::spawn(stages::beside));
    for stage in stages::looks() {
        tally.add(stage.run());
    }
    let start = Instant::now();
    let ground = beside.and_then(|beside| {
        let had = beside.join().unwrap_or_else(|_| anyhow::bail!("its thread panicked"));
        prepared(&mut tally, "what tests need", had.and_then(|beside| stages::ground(beside, full)))
    });
    println!("{:<12} {:.1} s", "ground", start.elapsed().as_secs_f64());
    for stage in stages::units(ground.as_ref(), full)? {
        tally.add(stage.run());
    }
    if let Some(ground) = ground {
        tally.add(stages::guests(&ground, full).run());
    }
    println!("{} passed, {} failed", tally.passed, tally.failed);
    Ok(if tally.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// All that a stage said, for whoever asks what took so long; the place, or why there is none.
fn keep(stage: &str, said: &str) -> String {
    let path = paths::scratch().join("log").join(format!("{}.txt", stage.replace(' ', "-")));
    let folder = path.parent().map_or(Ok(()), fs::create_dir_all);
    match folder.and_then(|()| fs::write(&path, said)) {
        Ok(()) => path.display().to_string(),
        Err(error) => format!("not kept: {error}"),
    }
}

/// What could not be had is a failure.
fn prepared<T>(tally: &mut Tally, what: &str, had: Result<T>) -> Option<T> {
    had.map_err(|error| {
        println!("preparing {what} FAILED: {error:#}");
        tally.add(Tally { passed: 0, failed: 1 });
    })
    .ok()
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
        let kept = keep(self.name, &said);
        if !ok {
            println!("{}", run::tail(&said, 400));
            println!("all that it said: {kept}");
            // A stage without tests of its own counts as one that failed.
            tally.failed = tally.failed.max(1);
        }
        tally
    }
}

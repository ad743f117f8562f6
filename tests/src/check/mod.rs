//! `cargo xtask test`: every stage in a line of its own, what a stage said only if it failed, and the sum at the end.

mod stages;
mod tally;

use std::fs;
use std::process::{Command, ExitCode};
use std::thread;
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
    let beside = (!fast).then(|| thread::spawn(stages::beside));
    tally.all(stages::looks()?);
    match beside {
        None => tally.all([stages::clippy(), stages::units(None, full), stages::doc()]),
        Some(beside) => whole(&mut tally, beside, full),
    }
    println!("{} passed, {} failed", tally.passed, tally.failed);
    Ok(if tally.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Processors are what is short, and half of the time tests wait: what only compiles takes the other half.
fn whole(tally: &mut Tally, beside: thread::JoinHandle<Result<stages::Beside>>, full: bool) {
    tally.all([stages::unit_programs()]);
    let start = Instant::now();
    let had = beside.join().unwrap_or_else(|_| anyhow::bail!("its thread panicked"));
    let ground = prepared(tally, "what tests need", had.and_then(|beside| stages::ground(beside, full)));
    println!("{:<12} {:.1} s", "ground", start.elapsed().as_secs_f64());
    let lint = thread::spawn(|| {
        let mut tally = Tally::default();
        tally.all([stages::clippy(), stages::doc(), stages::alone()].map(Stage::aside));
        tally.all(stages::audit());
        tally
    });
    tally.all([stages::units(ground.as_ref(), full)]);
    tally.all(ground.map(|ground| stages::guests(&ground, full)));
    tally.add(lint.join().unwrap_or(Tally { passed: 0, failed: 1 }));
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

impl Tally {
    /// Runs them one after the other.
    fn all(&mut self, stages: impl IntoIterator<Item = Stage>) {
        stages.into_iter().for_each(|stage| self.add(stage.run()));
    }
}

impl Stage {
    fn new(name: &'static str, command: Command) -> Self {
        Self { name, command }
    }

    /// With what everything else leaves of the processors, one at most, and in a folder of its own: cargo lets nobody else
    /// into one that it builds in.
    fn aside(self) -> Self {
        let idle = ["chrt", "--idle", "0"];
        // Not every sandbox has this class of its own.
        let tried = Command::new(idle[0]).args(&idle[1..]).arg("true").output();
        let can_idle = tried.is_ok_and(|tried| tried.status.success());
        let mut command = Command::new("nice");
        command.args(["-n", "19"]).args(idle.iter().filter(|_| can_idle));
        command.arg(self.command.get_program()).args(self.command.get_args());
        for (name, value) in self.command.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.env("CARGO_BUILD_JOBS", "1").env("CARGO_TARGET_DIR", paths::target().join("lint"));
        Self { command, ..self }
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

//! A program that runs: how long, and how much memory it had at most.

use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use firstlight_tests::memory;

#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) took: Duration,
    /// The kernel's high-water mark in megabytes of a million bytes, as it was shortly before the end.
    pub(crate) peak: f64,
    pub(crate) status: ExitStatus,
}

pub(crate) fn timed(command: &mut Command) -> Ran {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let start = Instant::now();
    let mut child = command.spawn().unwrap();
    let mut peak = 0.0_f64;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return Ran { took: start.elapsed(), peak, status };
        }
        peak = peak.max(memory::peak(child.id()).unwrap_or_default() as f64 / 1e6);
        std::thread::sleep(Duration::from_millis(2));
    }
}

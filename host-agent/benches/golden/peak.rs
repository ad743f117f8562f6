//! A program that runs: how long, and how much memory it had at most.

use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) took: Duration,
    /// The kernel's high-water mark in megabytes, as it was shortly before the end.
    pub(crate) peak: f64,
    pub(crate) status: ExitStatus,
}

pub(crate) fn timed(command: &mut Command) -> Ran {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let start = Instant::now();
    let mut child = command.spawn().unwrap();
    let status_file = format!("/proc/{}/status", child.id());
    let mut peak = 0.0_f64;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return Ran { took: start.elapsed(), peak, status };
        }
        let status = std::fs::read_to_string(&status_file).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<f64>().ok());
        peak = peak.max(kilobytes.unwrap_or(0.0) / 1000.0);
        std::thread::sleep(Duration::from_millis(2));
    }
}

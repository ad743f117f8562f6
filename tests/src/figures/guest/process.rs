//! One program in a running guest, from exec to exit, with its processor time and its peak of memory.
//!
//! A shell in the guest's namespaces waits for a line and becomes the program; ptrace stops it on its way out, so that
//! the peak is read of the program's own memory and of nothing before it.

use std::fs;
use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::ptrace;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::guest::Leader;
use crate::{memory, run, wait};

/// What one run took.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spent {
    pub wall: Duration,
    /// User and system; with the shell before it, some two milliseconds.
    pub cpu: Duration,
    /// Bytes.
    pub peak: u64,
}

/// Runs `words` (absolute paths of the guest) once.
///
/// # Errors
/// It could not be watched, or did not end with exit code 0.
pub(super) fn run(guest: Leader, words: &[&str]) -> Result<Spent> {
    let mut waiting = vec!["/bin/sh", "-c", r#"read line; exec "$@""#, "sh"];
    waiting.extend(words);
    let before = children_cpu()?;
    let mut nsenter =
        guest.command(&waiting).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let watched = watch(&mut nsenter, words);
    if watched.is_err() {
        let _ = nsenter.kill();
    }
    nsenter.wait()?;
    let (wall, peak) = watched.with_context(|| format!("`{}` cannot be watched", words.join(" ")))?;
    Ok(Spent { wall, cpu: children_cpu()?.saturating_sub(before), peak })
}

/// The same on this machine, without the peak of memory.
///
/// # Errors
/// It cannot be started, or did not end with exit code 0.
pub(super) fn run_here(command: &mut Command) -> Result<Spent> {
    let (before, start) = (children_cpu()?, Instant::now());
    run::must(command)?;
    let wall = start.elapsed();
    Ok(Spent { wall, cpu: children_cpu()?.saturating_sub(before), peak: 0 })
}

fn watch(nsenter: &mut Child, words: &[&str]) -> Result<(Duration, u64)> {
    let shell = wait::until("the shell in the guest", Duration::from_secs(10), || shell_of(nsenter.id()))?;
    ptrace::seize(shell, ptrace::Options::PTRACE_O_TRACEEXIT)?;
    let mut line = nsenter.stdin.take().context("the shell has no input")?;
    let start = Instant::now();
    line.write_all(b"\n")?;
    let mut left = None;
    loop {
        match waitpid(shell, Some(WaitPidFlag::__WALL))? {
            WaitStatus::PtraceEvent(..) => {
                // Before anything else: reading below takes its time.
                let wall = start.elapsed();
                left = Some((wall, peak_of(shell)?));
                ptrace::cont(shell, None)?;
            }
            WaitStatus::Stopped(_, signal) => ptrace::cont(shell, signal)?,
            WaitStatus::Exited(_, code) => {
                ensure!(code == 0, "`{}` ended with {code}", words.join(" "));
                return left.context("its end was not seen");
            }
            other => anyhow::bail!("{other:?}"),
        }
    }
}

/// nsenter's child, once it is the shell.
fn shell_of(nsenter: u32) -> Option<Pid> {
    let children = fs::read_to_string(format!("/proc/{nsenter}/task/{nsenter}/children")).ok()?;
    let child: i32 = children.split_whitespace().next()?.parse().ok()?;
    (fs::read_to_string(format!("/proc/{child}/comm")).ok()?.trim() == "sh").then(|| Pid::from_raw(child))
}

fn peak_of(process: Pid) -> Result<u64> {
    memory::peak(process.as_raw().try_into()?).context("no VmHWM")
}

fn children_cpu() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let micros = |time: nix::sys::time::TimeVal| -> Result<u64> {
        Ok(u64::try_from(time.tv_sec())? * 1_000_000 + u64::try_from(time.tv_usec())?)
    };
    Ok(Duration::from_micros(micros(usage.user_time())? + micros(usage.system_time())?))
}

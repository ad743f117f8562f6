//! Runs one program to its end or to its time limit, and ends all that it started.

use std::collections::VecDeque;
use std::io::{self, PipeReader, Read};
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;

use super::SysError;

/// How often a program is looked at that has closed its output but goes on.
const STEP: Duration = Duration::from_millis(5);
/// The whole environment.
const ENVIRONMENT: [(&str, &str); 2] =
    [("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"), ("LANG", "C.UTF-8")];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    Exited(i32),
    Killed(i32),
    /// Its time was over; it and all of its process group were killed.
    TimedOut,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ran {
    pub ended: Ended,
    /// The end of what it wrote to standard output and standard error, as much as was to be kept.
    pub tail: String,
}

/// Runs a program in a process group of its own, with an empty standard input, a fixed environment and `/` as its
/// folder. No shell. What is left of the group is killed when the program ends; what left the group (setsid) ends with
/// the unit. Of what it prints the last `kept` bytes are kept.
///
/// Waits on its thread: call it through [`super::aside()`].
///
/// # Errors
/// It cannot be started.
pub(crate) fn run(
    program: &str,
    arguments: &[String],
    limit: Duration,
    kept: usize,
) -> Result<Ran, SysError> {
    let failed = |error: io::Error| SysError::new("run", program, error);
    let (reader, writer) = io::pipe().map_err(failed)?;
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(ENVIRONMENT).current_dir("/").process_group(0);
    command.stdin(Stdio::null()).stdout(writer.try_clone().map_err(failed)?).stderr(writer);
    let mut child = command.spawn().map_err(failed)?;
    drop(command); // holds the pipe's other end
    let group = Pid::from_raw(i32::try_from(child.id()).map_err(|error| failed(io::Error::other(error)))?);
    let mut output = Output { reader: Some(reader), tail: VecDeque::new(), kept };
    let finished = watch(group, &mut output, Instant::now() + limit);
    // Before the child is reaped: until then its number can be nobody else's.
    let _ = killpg(group, Signal::SIGKILL);
    let ended = reap(&mut child, finished).map_err(failed)?;
    output.take_what_is_there();
    let tail: Vec<u8> = output.tail.into();
    Ok(Ran { ended, tail: String::from_utf8_lossy(&tail).into_owned() })
}

#[derive(Debug)]
struct Output {
    reader: Option<PipeReader>,
    tail: VecDeque<u8>,
    kept: usize,
}

impl Output {
    /// Waits for output, at most so long; whether there was some. The reader goes when the last writer has gone.
    fn wait(&mut self, limit: Duration) -> bool {
        let Some(reader) = &mut self.reader else {
            std::thread::sleep(limit);
            return false;
        };
        let limit = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
        let mut wanted = [PollFd::new(reader.as_fd(), PollFlags::POLLIN)];
        if !matches!(poll(&mut wanted, limit), Ok(1..)) {
            return false;
        }
        let mut part = [0; 4096];
        let count = reader.read(&mut part).unwrap_or(0);
        if count == 0 {
            self.reader = None;
        }
        self.tail.extend(&part[..count]);
        let surplus = self.tail.len().saturating_sub(self.kept);
        self.tail.drain(..surplus);
        count > 0
    }

    /// Bounded: what left the group may write for ever.
    fn take_what_is_there(&mut self) {
        for _ in 0..64 {
            if self.reader.is_none() || !self.wait(Duration::ZERO) {
                break;
            }
        }
    }
}

/// Whether the program ended in time. Leaves it unreaped.
fn watch(child: Pid, output: &mut Output, end: Instant) -> bool {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    loop {
        match waitid(Id::Pid(child), flags) {
            Ok(WaitStatus::StillAlive) | Err(Errno::EINTR) => {}
            _ => return true,
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        output.wait(left.min(STEP));
    }
}

fn reap(child: &mut Child, finished: bool) -> io::Result<Ended> {
    let status = child.wait()?;
    Ok(match (finished, status.code(), status.signal()) {
        (false, ..) => Ended::TimedOut,
        (true, Some(code), _) => Ended::Exited(code),
        (true, None, signal) => Ended::Killed(signal.unwrap_or_default()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEPT: usize = 2048;

    fn shell(script: &str, limit_ms: u64) -> Ran {
        run("/bin/sh", &["-c".to_owned(), script.to_owned()], Duration::from_millis(limit_ms), KEPT).unwrap()
    }

    /// Waits for the end of a process that was killed: the kernel takes a moment.
    fn assert_ends(pid: &str) {
        assert!(pid.parse::<u32>().is_ok(), "`{pid}` is no process");
        let stat = || std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let end = Instant::now() + Duration::from_secs(60);
        while !stat().is_empty() && !stat().contains(") Z ") {
            assert!(Instant::now() < end, "{pid} lives");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn a_program_ends_with_code_output_and_a_bare_environment() {
        let ran = shell("echo out; echo err >&2; pwd; exit 3", 10_000);
        assert_eq!((ran.ended, ran.tail.as_str()), (Ended::Exited(3), "out\nerr\n/\n"));
        let ran = run("/usr/bin/env", &[], Duration::from_secs(10), KEPT).unwrap();
        assert_eq!(ran.tail.lines().count(), ENVIRONMENT.len(), "{}", ran.tail);
        assert_eq!(shell("kill -TERM $$", 10_000).ended, Ended::Killed(15));
        assert!(run("/no/such/program", &[], Duration::from_secs(1), KEPT).is_err());
    }

    #[test]
    fn only_the_end_of_a_long_output_is_kept() {
        let ran = shell("i=0; while [ $i -lt 20000 ]; do echo line$i; i=$((i+1)); done", 60_000);
        assert!(ran.tail.len() <= KEPT && ran.tail.ends_with("line19999\n"), "{}", ran.tail.len());
    }

    #[test]
    fn a_program_out_of_time_is_killed_with_its_children() {
        let watch = Instant::now();
        let ran = shell("sleep 300 & echo $!; exec >/dev/null 2>&1; wait", 5000);
        assert_eq!(ran.ended, Ended::TimedOut);
        assert!(watch.elapsed() < Duration::from_secs(60));
        assert_ends(ran.tail.trim());
    }

    #[test]
    fn children_that_outlive_the_program_are_not_waited_for() {
        let watch = Instant::now();
        let ran = shell("sleep 300 & echo $!", 200_000);
        assert_eq!(ran.ended, Ended::Exited(0));
        assert!(watch.elapsed() < Duration::from_secs(60));
        assert_ends(ran.tail.trim());
    }
}

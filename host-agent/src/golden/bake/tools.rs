//! The one door to the builder's programs: argument lists, a group of their own, ended when the build is interrupted.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use firstlight_shared::text::escape;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::Watch;
use crate::outcome::Fault;

/// Where programs are when `PATH` forgets the folders of root (as after a plain `su`).
const FALLBACK_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// How many of its last lines a failure shows.
const LAST_LINES: usize = 15;
/// How long a program that is told to end may clean up.
const PATIENCE: Duration = Duration::from_secs(15);

/// A program and the Debian package that brings it.
pub(super) const PACKAGES: [(&str, &str); 5] = [
    ("mmdebstrap", "mmdebstrap"),
    ("tar", "tar"),
    ("chroot", "coreutils"),
    ("qemu-img", "qemu-utils"),
    ("mke2fs", "e2fsprogs"),
];

pub(super) fn find(tool: &str) -> Option<PathBuf> {
    std::env::split_paths(&search_path())
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(tool))
        .find(|file| file.is_file())
}

fn search_path() -> std::ffi::OsString {
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    if !path.is_empty() {
        path.push(":");
    }
    path.push(FALLBACK_PATH);
    path
}

/// # Errors
/// `missing-tool`, with the line that installs all that are missing.
pub(super) fn demand(tools: &[&str]) -> Result<(), Fault> {
    let missing: Vec<&str> = tools.iter().copied().filter(|tool| find(tool).is_none()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let package = |tool: &&str| {
        PACKAGES.iter().find(|(known, _)| known == tool).map_or(*tool, |(_, package)| *package).to_owned()
    };
    let packages: Vec<String> = missing.iter().map(package).collect();
    let fault = Fault::new("missing-tool", format!("not installed: {}", missing.join(", ")));
    Err(fault.with_hint(format!("on Debian: apt-get install {}", packages.join(" "))))
}

/// Runs programs for one build.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tools<'a> {
    pub(super) watch: &'a Watch,
    /// No file is younger.
    pub(super) epoch: u64,
}

impl Tools<'_> {
    fn command(&self, program: &OsStr, words: &[impl AsRef<OsStr>]) -> Command {
        // Files that packages make have the same modes whoever builds.
        let mut command = Command::new("sh");
        command.args(["-c", r#"umask 022; exec "$0" "$@""#]).arg(program).args(words);
        command.env("PATH", search_path()).env("LC_ALL", "C.UTF-8").env("TZ", "UTC").env("HOME", "/root");
        command.env("SOURCE_DATE_EPOCH", self.epoch.to_string());
        // Ctrl-C in a terminal is for us alone: what is undone is our decision.
        command.process_group(0).stdin(Stdio::null());
        command
    }

    /// Runs it to its end; each line of what it says goes to `each`.
    ///
    /// # Errors
    /// It cannot be started, fails (`tool-failed`, with its last lines), or the build is interrupted.
    pub(super) fn run(
        &self,
        program: &str,
        words: &[impl AsRef<OsStr>],
        mut each: impl FnMut(&str),
    ) -> Result<(), Fault> {
        let lost = |error: io::Error| not_started(program, &error);
        let (reader, writer) = io::pipe().map_err(lost)?;
        let mut command = self.command(program.as_ref(), words);
        command.stdout(writer.try_clone().map_err(lost)?).stderr(writer);
        let mut child = Running(command.spawn().map_err(lost)?);
        drop(command); // its end of the pipe
        let (send, lines) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            for line in BufReader::new(reader).split(b'\n').map_while(Result::ok) {
                if send.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    break;
                }
            }
        });
        let mut last = VecDeque::new();
        let mut take = |line: String| {
            each(&line);
            if last.len() == LAST_LINES {
                last.pop_front();
            }
            last.push_back(escape(line.rsplit('\r').next().unwrap_or_default(), 300));
        };
        let status = loop {
            self.watch.check()?;
            if let Ok(line) = lines.recv_timeout(Duration::from_millis(50)) {
                take(line);
            } else if let Some(status) = child.0.try_wait().map_err(lost)? {
                break status;
            }
        };
        // A daemon that a package started may keep the pipe open: what is there is enough.
        while let Ok(line) = lines.recv_timeout(Duration::from_millis(50)) {
            take(line);
        }
        drop(lines);
        drop(thread);
        if status.success() {
            return Ok(());
        }
        let said = last.into_iter().collect::<Vec<_>>().join("\n");
        Err(Fault::new("tool-failed", format!("`{program}` failed ({status}):\n{said}")))
    }

    /// Runs it and writes its standard output to `sink`.
    ///
    /// # Errors
    /// As [`Tools::run`]; or the sink's.
    pub(super) fn stream(
        &self,
        program: &str,
        words: &[impl AsRef<OsStr>],
        sink: &mut dyn Write,
    ) -> Result<(), Fault> {
        let lost = |error: io::Error| not_started(program, &error);
        let mut command = self.command(program.as_ref(), words);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = Running(command.spawn().map_err(lost)?);
        let complaints = child.0.stderr.take().map(|stderr| std::thread::spawn(move || tail(stderr)));
        let mut output = child.0.stdout.take().ok_or_else(|| lost(io::ErrorKind::BrokenPipe.into()))?;
        let mut buffer = vec![0; 256 << 10];
        loop {
            self.watch.check()?;
            let count = match output.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(lost(error)),
            };
            sink.write_all(&buffer[..count]).map_err(|error| not_written(&error))?;
        }
        let status = child.0.wait().map_err(lost)?;
        let said = complaints.and_then(|thread| thread.join().ok()).unwrap_or_default();
        match status.success() {
            true => Ok(()),
            false => Err(Fault::new("tool-failed", format!("`{program}` failed ({status}):\n{said}"))),
        }
    }
}

fn tail(stderr: impl Read) -> String {
    let mut bytes = Vec::new();
    let _ = stderr.take(64 << 10).read_to_end(&mut bytes); // what was read is what there is to show
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<String> = text.lines().map(|line| escape(line, 300)).collect();
    lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
}

fn not_started(program: &str, error: &io::Error) -> Fault {
    Fault::new("tool-not-started", format!("`{program}` cannot be run: {error}"))
}

pub(super) fn not_written(error: &io::Error) -> Fault {
    Fault::new("build-not-written", format!("the output cannot be written: {error}"))
        .with_hint("is there space left where --output is? A build needs about five times the golden's size")
}

/// A program at work; dropping it ends it and all that it started.
#[derive(Debug)]
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(Some(_))) {
            return;
        }
        let Ok(group) = i32::try_from(self.0.id()).map(Pid::from_raw) else { return };
        let _ = killpg(group, Signal::SIGTERM); // it may have ended meanwhile
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if matches!(self.0.try_wait(), Ok(Some(_)) | Err(_)) {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = killpg(group, Signal::SIGKILL); // of the group, whoever did not end with it
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(watch: &Watch) -> Tools<'_> {
        Tools { watch, epoch: 7 }
    }

    #[test]
    fn a_program_that_fails_is_told_with_its_last_words() {
        let watch = Watch::default();
        let mut lines = Vec::new();
        let script = "echo I: one; echo two >&2; umask; echo $SOURCE_DATE_EPOCH; exit 3";
        let fault = on(&watch).run("sh", &["-c", script], |line| lines.push(line.to_owned())).unwrap_err();
        assert_eq!(lines, ["I: one", "two", "0022", "7"]);
        assert!(fault.code == "tool-failed" && fault.message.contains("two\n0022"), "{fault}");
        assert_eq!(on(&watch).run("no-such-tool", &["x"], |_| ()).unwrap_err().code, "tool-failed");
        let mut out = Vec::new();
        on(&watch).stream("sh", &["-c", "echo out"], &mut out).unwrap();
        assert_eq!(out, b"out\n");
        let fault = on(&watch).stream("sh", &["-c", "echo why >&2; exit 1"], &mut out).unwrap_err();
        assert!(fault.message.ends_with(":\nwhy"), "{fault}");
        let missing = demand(&["sh", "no-such-tool", "qemu-img-of-no-machine"]).unwrap_err();
        assert!(missing.hint.unwrap().ends_with("apt-get install no-such-tool qemu-img-of-no-machine"));
    }

    #[test]
    fn an_interrupted_program_ends_with_all_that_it_started() {
        let watch = Watch::default();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let script = format!("sleep 600 & echo $! > {}; echo begun; wait", file.display());
        let fault = on(&watch).run("sh", &["-c", &script], |_| watch.interrupt()).unwrap_err();
        assert_eq!(fault.code, "interrupted");
        let pid: i32 = std::fs::read_to_string(&file).unwrap().trim().parse().unwrap();
        let gone =
            || std::fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z"));
        let until = Instant::now() + Duration::from_secs(10);
        while !gone() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(gone(), "{pid} still runs");
    }
}

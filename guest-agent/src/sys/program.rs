//! Runs another program for its answer: bounded in time and output, without input and environment.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::{Stopwatch, SysError};

/// A program that writes more than a pipe holds would wait for a reader: it runs into the time limit instead.
const MAX_OUTPUT: u64 = 64 * 1024;
const POLL: Duration = Duration::from_millis(5);

/// What a program answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ran {
    pub success: bool,
    pub stdout: String,
    pub stderr: String,
}

/// Runs a program of the running root in `/` and waits for its end.
///
/// # Errors
/// It cannot be started, or does not end in time: it is then killed.
pub(crate) async fn run_program(program: &str, arguments: &[&str], limit: Duration) -> Result<Ran, SysError> {
    let failed = |error: std::io::Error| SysError::new("run", program, error);
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("LC_ALL", "C")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let watch = Stopwatch::start();
    let status = loop {
        match child.try_wait().map_err(failed)? {
            Some(status) => break status,
            None if watch.elapsed() < limit => tokio::time::sleep(POLL).await,
            None => {
                let _ = child.kill(); // it may just have ended
                let _ = child.wait();
                return Err(failed(std::io::ErrorKind::TimedOut.into()));
            }
        }
    };
    Ok(Ran {
        success: status.success(),
        stdout: text(child.stdout.take()).map_err(failed)?,
        stderr: text(child.stderr.take()).map_err(failed)?,
    })
}

/// What stands in the pipe. Its other end may live on in a child of the program's: nothing is waited for.
fn text(pipe: Option<impl Read + std::os::fd::AsFd>) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        let flags = nix::fcntl::OFlag::O_NONBLOCK;
        nix::fcntl::fcntl(&pipe, nix::fcntl::FcntlArg::F_SETFL(flags))?;
        match pipe.take(MAX_OUTPUT).read_to_end(&mut bytes) {
            Err(error) if error.kind() != std::io::ErrorKind::WouldBlock => return Err(error),
            _ => {}
        }
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(program: &str, arguments: &[&str], limit: Duration) -> Result<Ran, SysError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run_program(program, arguments, limit))
    }

    #[test]
    fn answers_come_back_and_nothing_runs_for_ever() {
        let script = "echo a; echo b >&2; test -z \"$HOME\" && test $PWD = / && exit 3";
        let ran = run("/bin/sh", &["-c", script], Duration::from_secs(10)).unwrap();
        assert_eq!(ran, Ran { success: false, stdout: "a\n".into(), stderr: "b\n".into() });
        for endless in ["sleep 60", "cat /dev/zero"] {
            assert!(run("/bin/sh", &["-c", endless], Duration::from_millis(50)).is_err());
        }
        let left = run("/bin/sh", &["-c", "sleep 5 & echo x"], Duration::from_secs(3)).unwrap();
        assert_eq!(left.stdout, "x\n");
        assert!(run("/no/such/program", &[], Duration::from_secs(1)).is_err());
    }
}

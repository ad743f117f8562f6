//! The one door to the machine's tools: argument lists, never a shell line; a deadline; a bounded tail of what they said.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use firstlight_shared::text::escape;
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::outcome::Fault;

/// Long enough for a busy machine; everything run through here answers in milliseconds.
const DEADLINE: Duration = Duration::from_secs(20);
/// What is kept of a tool's output and of its complaints, in bytes.
const OUTPUT_LIMIT: usize = 4 << 20;
const COMPLAINT_LIMIT: usize = 2048;
/// Where tools are when `PATH` forgets the folders of root (as after a plain `su`).
const FALLBACK_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Why a tool did not do its work.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExecError {
    #[error("`{tool}` is not installed")]
    Missing { tool: String },
    #[error("`{tool}` could not be started")]
    Start { tool: String, source: std::io::Error },
    #[error("`{command}` did not end within {} s", limit.as_secs())]
    Deadline { command: String, limit: Duration },
    #[error("`{command}` failed ({status}){}", told(complaint))]
    Failed { command: String, status: ExitStatus, complaint: String },
}

fn told(complaint: &str) -> String {
    if complaint.is_empty() { String::new() } else { format!(": {complaint}") }
}

impl From<ExecError> for Fault {
    fn from(error: ExecError) -> Self {
        let code = match &error {
            ExecError::Missing { .. } => "missing-tool",
            ExecError::Start { .. } => "tool-not-started",
            ExecError::Deadline { .. } => "tool-timeout",
            ExecError::Failed { .. } => "tool-failed",
        };
        let chain = firstlight_shared::error::Chain(&error).to_string();
        let fault = Self::new(code, chain);
        match &error {
            ExecError::Missing { tool } => fault.with_hint(install_hint(tool)),
            _ => fault,
        }
    }
}

/// The Debian package that brings a tool.
pub(super) fn install_hint(tool: &str) -> String {
    let package = match tool {
        "systemd-nspawn" => "systemd-container",
        "ip" => "iproute2",
        "dnsmasq" => "dnsmasq-base",
        "setsid" | "unshare" | "nsenter" => "util-linux",
        "umount" | "mount" => "mount",
        "sh" => "dash",
        other => other,
    };
    format!("on Debian: apt-get install {package}")
}

/// What tools may look for in their environment: nothing of ours, and no translations.
pub(super) fn environment() -> [(&'static str, OsString); 2] {
    [("PATH", search_path()), ("LC_ALL", OsString::from("C.UTF-8"))]
}

fn search_path() -> OsString {
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    if !path.is_empty() {
        path.push(":");
    }
    path.push(FALLBACK_PATH);
    path
}

/// Finds a tool as a shell would, in root's folders too.
pub(super) fn find(tool: &str) -> Option<PathBuf> {
    std::env::split_paths(&search_path())
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(tool))
        .find(|file| file.is_file())
}

/// Runs a tool to its end and gives its standard output.
///
/// # Errors
/// Every way not to succeed. A tool that runs into the deadline is killed.
pub(super) async fn run(tool: &str, arguments: &[&OsStr]) -> Result<Vec<u8>, ExecError> {
    let program = find(tool).ok_or_else(|| ExecError::Missing { tool: tool.to_owned() })?;
    let mut child = tokio::process::Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(environment())
        // Ctrl-C in a terminal is for us alone: what is undone is our decision.
        .process_group(0)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|source| ExecError::Start { tool: tool.to_owned(), source })?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let ended = tokio::time::timeout(DEADLINE, async {
        let (output, complaint, status) =
            tokio::join!(head(stdout, OUTPUT_LIMIT), head(stderr, COMPLAINT_LIMIT), child.wait());
        (output, complaint, status)
    })
    .await;
    let command = || render(tool, arguments);
    let (output, complaint, status) =
        ended.map_err(|_| ExecError::Deadline { command: command(), limit: DEADLINE })?;
    let status = status.map_err(|source| ExecError::Start { tool: tool.to_owned(), source })?;
    if status.success() {
        return Ok(output);
    }
    let complaint = escape(String::from_utf8_lossy(&complaint).trim(), COMPLAINT_LIMIT);
    Err(ExecError::Failed { command: command(), status, complaint })
}

/// [`run`] for arguments that are all plain text.
pub(super) async fn run_text(tool: &str, arguments: &[&str]) -> Result<Vec<u8>, ExecError> {
    let arguments: Vec<&OsStr> = arguments.iter().map(OsStr::new).collect();
    run(tool, &arguments).await
}

/// What a command came to, however it ended. Both outputs are cut off at a limit.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
}

/// Runs `setsid` with a command, to its end or that of its time: then its whole group is killed, since it may have begun
/// others.
///
/// # Errors
/// It could not be started, or its time was over.
pub(super) async fn run_for(tool: &str, arguments: &[&str], limit: Duration) -> Result<Ended, ExecError> {
    let program = find(tool).ok_or_else(|| ExecError::Missing { tool: tool.to_owned() })?;
    let start = |source| ExecError::Start { tool: tool.to_owned(), source };
    let mut child = tokio::process::Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(environment())
        // No group of its own: setsid(1) would begin another process for its session, which nobody could end.
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(start)?;
    let mut group = Group(child.id());
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let ended = tokio::time::timeout(limit, async {
        tokio::join!(head(stdout, OUTPUT_LIMIT), head(stderr, COMPLAINT_LIMIT), child.wait())
    })
    .await;
    if ended.is_ok() {
        // Its number may be somebody else's by now.
        group.0 = None;
    }
    let arguments: Vec<&OsStr> = arguments.iter().map(OsStr::new).collect();
    let (stdout, stderr, status) =
        ended.map_err(|_| ExecError::Deadline { command: render(tool, &arguments), limit })?;
    Ok(Ended { status: status.map_err(start)?, stdout, stderr })
}

/// Ends what is left of a group of processes when nobody waits for it any more.
struct Group(Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        let Some(pid) = self.0.and_then(|pid| i32::try_from(pid).ok()) else { return };
        // Nobody may be left: that is what is wanted.
        let _ = nix::sys::signal::killpg(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
    }
}

/// Reads to the end, keeping only the first `limit` bytes, so that no tool blocks on a full pipe.
async fn head(stream: Option<impl AsyncRead + Unpin>, limit: usize) -> Vec<u8> {
    let mut kept = Vec::new();
    let Some(mut stream) = stream else { return kept };
    let mut buffer = vec![0; 16 << 10];
    // A read error here is the end of what the tool said; its exit status decides.
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        let room = limit.saturating_sub(kept.len()).min(count);
        kept.extend_from_slice(&buffer[..room]);
    }
    kept
}

fn render(tool: &str, arguments: &[&OsStr]) -> String {
    let mut line = tool.to_owned();
    for argument in arguments {
        line.push(' ');
        line.push_str(&escape(&argument.to_string_lossy(), 300));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn says_what_failed_and_why() {
        let output = run_text("sh", &["-c", "echo $PATH; test -z \"$HOME\""]).await.unwrap();
        assert!(String::from_utf8_lossy(&output).contains("/usr/sbin"));
        let error = run_text("sh", &["-c", "echo 'no\x1b[31m' >&2; exit 3"]).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains("exit status: 3") && text.contains("no\\u{1b}[31m"), "{text}");
        let ended =
            run_for("setsid", &["sh", "-c", "echo out; echo err >&2; exit 3"], DEADLINE).await.unwrap();
        assert_eq!(
            (ended.status.code(), &*ended.stdout, &*ended.stderr),
            (Some(3), &b"out\n"[..], &b"err\n"[..])
        );
        let missing: Fault = run_text("no-such-tool", &[]).await.unwrap_err().into();
        assert_eq!(missing.code, "missing-tool");
        assert!(missing.hint.unwrap().contains("apt-get install"));
    }

    #[tokio::test]
    async fn whoever_does_not_end_is_ended_with_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let mark = folder.path().join("pid");
        let script = format!("sleep 600 & echo $! > {}; wait", mark.display());
        let begun = std::time::Instant::now();
        let error = run_for("setsid", &["sh", "-c", &script], Duration::from_secs(1)).await.unwrap_err();
        assert!(matches!(error, ExecError::Deadline { .. }), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(60));
        let sleeper = std::fs::read_to_string(mark).unwrap();
        let stat = format!("/proc/{}/stat", sleeper.trim());
        let lives = || std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z "));
        while lives() {
            assert!(begun.elapsed() < Duration::from_secs(60), "{sleeper} lives on");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

//! A secret that a program of the companion's machine prints: an argument list, never a shell line; a deadline; what it
//! says on standard error may be told, and never what it prints.

use std::ffi::OsString;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use firstlight_shared::text::escape;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use zeroize::Zeroizing;

use super::{MOST, companions_user};
use crate::outcome::Fault;

/// A vault that is asked over a network answers in seconds.
const DEADLINE: Duration = Duration::from_secs(30);
/// What is kept of its complaints, in bytes.
const COMPLAINT: usize = 2048;
/// What password stores need of the companion's own environment.
const PASSED_ON: [&str; 6] = ["PATH", "HOME", "USER", "LOGNAME", "GNUPGHOME", "XDG_RUNTIME_DIR"];
/// Tells the program whose secret it is.
const GUEST: &str = "FIRSTLIGHT_GUEST";

/// Whether the program is there. It is not run.
pub(super) fn look(words: &[String]) -> Result<(), Fault> {
    use std::os::unix::fs::PermissionsExt as _;
    let found = words.first().map(Path::new).and_then(|program| std::fs::metadata(program).ok());
    match found {
        Some(found) if found.is_file() && found.permissions().mode() & 0o111 != 0 => Ok(()),
        _ => Err(missing()),
    }
}

/// Its standard output, byte by byte as it was printed.
pub(super) async fn run(words: &[String], guest: &str) -> Result<Zeroizing<Vec<u8>>, Fault> {
    run_within(words, guest, DEADLINE).await
}

pub(super) async fn run_within(
    words: &[String],
    guest: &str,
    deadline: Duration,
) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let [program, arguments @ ..] = words else { return Err(missing()) };
    let own = |name: &&str| Some((OsString::from(name), std::env::var_os(name)?));
    let mut child = tokio::process::Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(PASSED_ON.iter().filter_map(own))
        .env("LC_ALL", "C.UTF-8")
        .env(GUEST, guest)
        // A group of its own: what it starts is ended with it.
        .process_group(0)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failed(&format!("could not be started: {error}")))?;
    let group = child.id().and_then(|id| i32::try_from(id).ok());
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let all = async { tokio::join!(head(stdout, MOST + 1), head(stderr, COMPLAINT), child.wait()) };
    let ended = tokio::time::timeout(deadline, all).await;
    let Ok((content, complaint, status)) = ended else {
        if let Some(group) = group {
            // If it is gone already, so much the better.
            let _ = nix::sys::signal::killpg(nix::unistd::Pid::from_raw(group), nix::sys::signal::SIGKILL);
        }
        return Err(failed(&format!("did not end within {} s", deadline.as_secs())));
    };
    let status = status.map_err(|error| failed(&format!("could not be waited for: {error}")))?;
    if !status.success() {
        return Err(failed(&format!("failed ({status}){}", told(&complaint, &content))));
    }
    if content.len() > MOST {
        return Err(Fault::new("secret-too-large", format!("it prints more than {MOST} bytes")));
    }
    Ok(content)
}

/// Reads to the end, keeping only the first `limit` bytes, so that no program blocks on a full pipe.
async fn head(stream: Option<impl AsyncRead + Unpin>, limit: usize) -> Zeroizing<Vec<u8>> {
    let mut kept = Zeroizing::new(Vec::with_capacity(limit));
    let Some(mut stream) = stream else { return kept };
    let mut buffer = Zeroizing::new(vec![0; 16 << 10]);
    // A read error here is the end of what it said; its exit status decides.
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        let room = limit.saturating_sub(kept.len()).min(count);
        kept.extend_from_slice(&buffer[..room]);
    }
    kept
}

/// A program that repeats on standard error what it prints gives the secret away: then nothing of it is told.
fn told(complaint: &[u8], content: &[u8]) -> String {
    let (complaint, content) = (complaint.trim_ascii(), content.trim_ascii());
    let lines = content.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let mut parts =
        lines.filter(|line| line.len() >= 4).chain([content].into_iter().filter(|all| !all.is_empty()));
    if parts.any(|part| complaint.windows(part.len()).any(|window| window == part)) {
        return "; what it said is not shown, it holds what it printed".to_owned();
    }
    let text = escape(&String::from_utf8_lossy(complaint), COMPLAINT);
    if text.is_empty() { text } else { format!(": {text}") }
}

fn missing() -> Fault {
    Fault::new("secret-unreadable", "there is no such program on the companion's machine").with_hint(
        "commands run on the machine of the companion, without a shell: name the program by its path",
    )
}

fn failed(what: &str) -> Fault {
    Fault::new("secret-command-failed", format!("its command {what}"))
        .with_hint(format!("it runs on the companion's machine as user {}: try it there", companions_user()))
}

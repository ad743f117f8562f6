//! Unpacks a golden archive. In one pass: GNU tar unpacks, while every byte that it gets is checked on the way, so that a
//! truncated, foreign or malicious archive is refused with the reason, and at the price of a plain `tar -x`.
//!
//! GNU tar would itself refuse to write outside the folder (it strips leading `/`, skips `..` and delays symbolic links);
//! here such an archive is not taken at all: it was made to do harm, or by mistake.

mod boot;
#[cfg(test)]
mod tests;

use std::fs;
use std::io::{self, BufWriter, Read};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};

use firstlight_shared::text::escape;
use nix::fcntl::{FcntlArg, fcntl};

use super::exec;
use crate::outcome::Fault;
use crate::packing::{self, Broken, Tee};

const PIPE: i32 = 1 << 20;
const WRITE_BUFFER: usize = 128 << 10;
const COMPLAINT_LIMIT: u64 = 2048;

/// Why a golden was not unpacked.
#[derive(Debug, thiserror::Error)]
pub(super) enum ArchiveError {
    #[error(transparent)]
    Broken(#[from] Broken),
    #[error("it is not the root of a system that can boot: {missing} is not in it")]
    NoRoot { missing: &'static str },
    #[error("`tar` failed ({status}): {complaint}")]
    Tar { status: ExitStatus, complaint: String },
    #[error("`tar` could not be started")]
    Start { source: io::Error },
    #[error("`tar` is not installed")]
    NoTar,
    #[error("the folder for it could not be made")]
    Folder { source: io::Error },
}

/// What tar says when this machine, not the archive, is the trouble.
fn is_about_the_disk(complaint: &str) -> bool {
    ["No space left", "Disk quota", "Read-only file system", "Input/output error"]
        .iter()
        .any(|said| complaint.contains(said))
}

impl ArchiveError {
    fn code(&self) -> &'static str {
        match self {
            Self::Broken(broken) => broken.code(),
            Self::NoRoot { .. } => "golden-no-root",
            Self::Tar { complaint, .. } if !is_about_the_disk(complaint) => "golden-not-unpackable",
            Self::Tar { .. } | Self::Start { .. } | Self::Folder { .. } => "restore-failed",
            Self::NoTar => "missing-tool",
        }
    }

    fn hint(&self) -> String {
        match self {
            Self::Broken(broken) => broken.hint().to_owned(),
            Self::NoRoot { .. } => {
                "its top folder must be a root with systemd: tar -C ROOT -cf golden.tar .".to_owned()
            }
            Self::NoTar => exec::install_hint("tar"),
            Self::Tar { complaint, .. } if !is_about_the_disk(complaint) => {
                "an entry of it leads through a link or is malformed: build it again".to_owned()
            }
            Self::Tar { .. } | Self::Start { .. } | Self::Folder { .. } => {
                "is there space left in the state folder?".to_owned()
            }
        }
    }

    /// As a refusal, with the golden's name.
    pub(super) fn into_fault(self, golden: &Path) -> Fault {
        let reason = firstlight_shared::error::Chain(&self).to_string();
        Fault::new(self.code(), format!("golden {} cannot be unpacked: {reason}", golden.display()))
            .with_hint(self.hint())
    }
}

/// Reads the first entry of `golden`, the way [`unpack`] would: a file that is no archive is told before anything is done.
pub(super) fn look(golden: &Path) -> Result<(), ArchiveError> {
    Ok(packing::check_first(open(golden)?)?)
}

/// Unpacks `golden` into the new folder `root`. Blocks. On failure nothing stays behind.
pub(super) fn unpack(golden: &Path, root: &Path) -> Result<(), ArchiveError> {
    let source = open(golden)?;
    fs::create_dir(root).map_err(|source| ArchiveError::Folder { source })?;
    let unpacked = pour(source, root).and_then(|()| match boot::missing_for_boot(root) {
        Some(missing) => Err(ArchiveError::NoRoot { missing }),
        None => Ok(()),
    });
    if unpacked.is_err() {
        // What stays is removed with the guest's folder; the reason to tell is the one above.
        let _ = fs::remove_dir_all(root);
    }
    unpacked
}

fn pour(source: Box<dyn Read>, root: &Path) -> Result<(), ArchiveError> {
    let (mut tar, stdin) = start_tar(root)?;
    let stderr = tar.stderr.take();
    let complaint = std::thread::spawn(move || read_complaint(stderr));
    // A larger pipe saves switches between the two programs; a machine that refuses it works all the same.
    let _ = fcntl(&stdin, FcntlArg::F_SETPIPE_SZ(PIPE));
    let checked = packing::check(Tee::new(source, BufWriter::with_capacity(WRITE_BUFFER, stdin)));
    let checked = match checked {
        // A sink that closed after the end mark shows in tar's exit status, if it matters.
        Ok(tee) => {
            let _ = tee.finish();
            Ok(())
        }
        Err(error) => Err(error),
    };
    if checked.as_ref().is_err_and(|error| !matches!(error, Broken::SinkClosed)) {
        // It may have ended by itself; it is reaped below in any case.
        let _ = tar.kill();
    }
    let status = tar.wait().map_err(|source| ArchiveError::Start { source })?;
    let complaint = complaint.join().unwrap_or_default();
    match checked {
        Ok(()) if status.success() => Ok(()),
        Ok(()) | Err(Broken::SinkClosed) => Err(ArchiveError::Tar { status, complaint }),
        Err(error) => Err(error.into()),
    }
}

fn open(golden: &Path) -> Result<Box<dyn Read + Send>, Broken> {
    packing::open(golden).map_err(|source| Broken::Unreadable { source })
}

fn start_tar(root: &Path) -> Result<(Child, ChildStdin), ArchiveError> {
    let mut tar = Command::new(exec::find("tar").ok_or(ArchiveError::NoTar)?)
        .args(["--extract", "--file=-", "--numeric-owner", "--same-owner", "--preserve-permissions"])
        .args(["--acls", "--xattrs", "--xattrs-include=*"])
        .args(["--warning=no-timestamp", "--warning=no-unknown-keyword"])
        .arg("--directory")
        .arg(root)
        .env_clear()
        .envs(exec::environment())
        // Ctrl-C in a terminal is for us alone: what is undone is our decision.
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|source| ArchiveError::Start { source })?;
    match tar.stdin.take() {
        Some(stdin) => Ok((tar, stdin)),
        None => Err(ArchiveError::Start { source: io::Error::other("no pipe to its standard input") }),
    }
}

/// The first of what tar says; the rest is read and dropped, so that it never waits for us.
fn read_complaint(stderr: Option<impl Read>) -> String {
    let Some(mut stderr) = stderr else { return String::new() };
    let mut kept = Vec::new();
    // An error ends it: the exit status decides.
    let _ = (&mut stderr).take(COMPLAINT_LIMIT).read_to_end(&mut kept);
    let _ = io::copy(&mut stderr, &mut io::sink());
    let lines = String::from_utf8_lossy(&kept).trim().replace('\n', "; ");
    escape(&lines, 500)
}

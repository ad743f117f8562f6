//! One companion per state folder.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use nix::fcntl::{Flock, FlockArg};

use super::StartError;

/// Holds `STATE/lock`; the kernel lets go when the process ends, however it ends.
#[derive(Debug)]
pub struct StateLock {
    _held: Flock<File>,
}

impl StateLock {
    /// Makes the folder (mode 0700) if it is not there, and locks it.
    pub fn take(state: &Path) -> Result<Self, StartError> {
        let failed = |source| StartError::State { path: state.to_owned(), source };
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(state).map_err(failed)?;
        let mode = std::fs::metadata(state).map_err(failed)?.permissions().mode();
        if mode & 0o077 != 0 {
            std::fs::set_permissions(state, std::fs::Permissions::from_mode(0o700)).map_err(failed)?;
        }
        let path = state.join("lock");
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
        match Flock::lock(file.map_err(failed)?, FlockArg::LockExclusiveNonblock) {
            Ok(mut held) => {
                held.set_len(0).map_err(failed)?;
                held.seek(SeekFrom::Start(0)).map_err(failed)?;
                writeln!(held, "{}", std::process::id()).map_err(failed)?;
                Ok(Self { _held: held })
            }
            Err((mut file, nix::errno::Errno::EWOULDBLOCK)) => {
                let mut pid = String::new();
                // For the message only; the lock says what is true.
                let _ = file.read_to_string(&mut pid);
                let pid: String = pid.trim().chars().filter(char::is_ascii_digit).take(10).collect();
                Err(StartError::InUse {
                    path: state.to_owned(),
                    pid: if pid.is_empty() { "?".to_owned() } else { pid },
                })
            }
            Err((_, error)) => Err(failed(error.into())),
        }
    }
}

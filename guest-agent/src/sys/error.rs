//! The error of every effect and observation: what was attempted, on what, and the kernel's answer.

use std::io;

use firstlight_shared::error::Code;

#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {object}")]
pub(crate) struct SysError {
    action: &'static str,
    object: String,
    #[source]
    source: io::Error,
}

impl SysError {
    pub(crate) fn new(action: &'static str, object: &str, source: impl Into<io::Error>) -> Self {
        Self { action, object: object.to_owned(), source: source.into() }
    }

    /// What stands there, nobody can load as a key: a folder, a link in a circle, a name or a file that is too long.
    pub(crate) fn cannot_be_a_key(&self) -> bool {
        use io::ErrorKind::{FileTooLarge, InvalidFilename, IsADirectory};
        matches!(self.source.kind(), FileTooLarge | InvalidFilename | IsADirectory)
            || self.source.raw_os_error() == Some(nix::libc::ELOOP)
    }

    pub(crate) fn is_read_only(&self) -> bool {
        self.source.kind() == io::ErrorKind::ReadOnlyFilesystem
    }
}

impl Code for SysError {
    fn code(&self) -> &'static str {
        if self.is_read_only() { "read-only" } else { "system" }
    }
}

//! This program's own bytes, and what the environment of a build tells.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use super::SysError;

/// No program of ours is larger, in bytes.
pub(crate) const MAX_PROGRAM: u64 = 128 << 20;
/// Not the path of the program: that may lead to another one meanwhile, or be of another root.
const OWN: &str = "/proc/self/exe";

/// # Errors
/// It cannot be read: without /proc, for one.
pub(crate) fn own_program() -> Result<Vec<u8>, SysError> {
    program_at(Path::new(OWN))
}

/// # Errors
/// It cannot be read, or is too large for a program of ours.
pub(crate) fn program_at(path: &Path) -> Result<Vec<u8>, SysError> {
    let failed = |error| SysError::new("read the program", &path.to_string_lossy(), error);
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(MAX_PROGRAM + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_PROGRAM {
        return Err(failed(std::io::ErrorKind::FileTooLarge.into()));
    }
    Ok(bytes)
}

/// The time that a reproducible build wants in what it makes, since the Unix epoch.
///
/// Source: <https://reproducible-builds.org/specs/source-date-epoch/>.
pub(crate) fn source_date() -> Option<Duration> {
    let seconds = std::env::var("SOURCE_DATE_EPOCH").ok()?;
    seconds.parse().ok().map(Duration::from_secs)
}

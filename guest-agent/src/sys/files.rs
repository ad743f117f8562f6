//! Files of the running machine by their absolute paths, symlinks followed: what readiness checks look at.
//!
//! Everything here may hang on a dead network file system: call it through [`super::aside()`].

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use ring::digest;

use super::SysError;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileFacts {
    pub is_file: bool,
    pub uid: u32,
    pub gid: u32,
    /// Permission bits with setuid, setgid and sticky.
    pub mode: u32,
}

/// None if nothing stands there.
///
/// # Errors
/// The kernel does not tell.
pub(crate) fn file_facts(path: &Path) -> Result<Option<FileFacts>, SysError> {
    match std::fs::metadata(path) {
        Ok(found) => Ok(Some(FileFacts {
            is_file: found.is_file(),
            uid: found.uid(),
            gid: found.gid(),
            mode: found.mode() & 0o7777,
        })),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(SysError::new("look at", &path.to_string_lossy(), error)),
    }
}

/// Where a symlink points, and whether something is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LinkFacts {
    Absent,
    NoLink,
    Link { target: PathBuf, leads_somewhere: bool },
}

/// # Errors
/// The kernel does not tell.
pub(crate) fn link_facts(path: &Path) -> Result<LinkFacts, SysError> {
    match std::fs::read_link(path) {
        Ok(target) => Ok(LinkFacts::Link { target, leads_somewhere: path.metadata().is_ok() }),
        Err(error) if is_absent(&error) => Ok(LinkFacts::Absent),
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(LinkFacts::NoLink),
        Err(error) => Err(SysError::new("look at", &path.to_string_lossy(), error)),
    }
}

/// The SHA-256 of a regular file of any size, in lower-case hexadecimal.
///
/// # Errors
/// Not readable, or no regular file.
pub(crate) fn sha256_of(path: &Path) -> Result<String, SysError> {
    let failed = |error: io::Error| SysError::new("read", &path.to_string_lossy(), error);
    let mut file = open(path).map_err(failed)?;
    let mut digest = digest::Context::new(&digest::SHA256);
    let mut part = vec![0; 64 * 1024];
    loop {
        match file.read(&mut part).map_err(failed)? {
            0 => break,
            count => digest.update(&part[..count]),
        }
    }
    Ok(digest.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The bytes of a regular file that is no larger than `limit`; none if there is no such file.
///
/// # Errors
/// Not readable, no regular file, or larger.
pub(crate) fn bytes_of(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, SysError> {
    let failed = |error: io::Error| SysError::new("read", &path.to_string_lossy(), error);
    let file = match open(path) {
        Ok(file) => file,
        Err(error) if is_absent(&error) => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > limit {
        return Err(failed(io::ErrorKind::FileTooLarge.into()));
    }
    Ok(Some(bytes))
}

/// O_NONBLOCK: a FIFO in place of the file must not hang the thread.
fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is no regular file")) }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_regular_file_is_neither_read_nor_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        for path in [fifo.as_path(), folder.path(), Path::new("/dev/zero")] {
            assert!(sha256_of(path).is_err(), "{}", path.display());
            assert!(bytes_of(path, 10).is_err(), "{}", path.display());
        }
        assert!(bytes_of(&folder.path().join("absent"), 10).unwrap().is_none());
        let file = folder.path().join("file");
        std::fs::write(&file, "abc").unwrap();
        assert_eq!(
            sha256_of(&file).unwrap(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert!(bytes_of(&file, 2).is_err());
    }

    #[test]
    fn a_link_into_nothing_is_told_from_one_that_leads_somewhere() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::os::unix::fs::symlink("/", at("good")).unwrap();
        std::os::unix::fs::symlink("absent", at("dangling")).unwrap();
        std::fs::write(at("file"), "").unwrap();
        let link = |target: &str, leads_somewhere| LinkFacts::Link { target: target.into(), leads_somewhere };
        assert_eq!(link_facts(&at("good")).unwrap(), link("/", true));
        assert_eq!(link_facts(&at("dangling")).unwrap(), link("absent", false));
        assert_eq!(link_facts(&at("file")).unwrap(), LinkFacts::NoLink);
        assert_eq!(link_facts(&at("absent")).unwrap(), LinkFacts::Absent);
    }
}

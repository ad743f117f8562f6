//! Files of people that are replaced: whole or not at all, with the mode and owner that they had.

use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

/// Of a file that was not there: a list of public keys is no secret.
const NEW: u32 = 0o644;

/// What the file holds; nothing, if there is none.
///
/// # Errors
/// It cannot be read.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read,
    }
}

/// Puts `content` in the place of the file. A link stays, and what it points to is replaced.
///
/// # Errors
/// It cannot be written, or not be given to its owner; the file is as it was.
pub(in crate::cli) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let path = target(path)?;
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut new = tempfile::Builder::new().prefix(".firstlight-").tempfile_in(folder)?;
    new.write_all(content)?;
    let file = new.as_file();
    match fs::metadata(&path) {
        Ok(old) if !old.is_file() => return Err(io::Error::other("it is no regular file")),
        Ok(old) => {
            let own = file.metadata()?;
            if (old.uid(), old.gid()) != (own.uid(), own.gid()) {
                fchown(file, Some(old.uid()), Some(old.gid()))?;
            }
            file.set_permissions(Permissions::from_mode(old.mode() & 0o7777))?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            file.set_permissions(Permissions::from_mode(NEW))?;
        }
        Err(error) => return Err(error),
    }
    file.sync_all()?;
    new.persist(&path)?;
    File::open(folder)?.sync_all()
}

/// Where a link leads; the path itself, if there is nothing.
fn target(path: &Path) -> io::Result<PathBuf> {
    match fs::canonicalize(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(path.to_owned()),
        found => found,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mode_and_links_stay_and_nothing_is_left_beside() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("known_hosts"), folder.path().join("link"));
        fs::write(&file, "old").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        std::os::unix::fs::symlink("known_hosts", &link).unwrap();
        replace(&link, b"new").unwrap();
        assert_eq!(read(&file).unwrap(), b"new");
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o7777, 0o600);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        let fresh = folder.path().join("fresh");
        assert_eq!(read(&fresh).unwrap(), b"");
        replace(&fresh, b"new").unwrap();
        assert_eq!(fs::metadata(&fresh).unwrap().mode() & 0o7777, 0o644);
        assert!(replace(folder.path(), b"new").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
    }

    #[test]
    fn the_owner_stays() {
        if !nix::unistd::geteuid().is_root() {
            return; // nobody else can give files away
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("known_hosts");
        fs::write(&file, "old").unwrap();
        std::os::unix::fs::chown(&file, Some(12345), Some(54321)).unwrap();
        replace(&file, b"new").unwrap();
        let found = fs::metadata(&file).unwrap();
        assert_eq!((found.uid(), found.gid()), (12345, 54321));
    }
}

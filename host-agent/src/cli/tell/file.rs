//! Files that are written whole or not at all.

use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Puts `content` in the place of the file. A new one gets the mode that the umask leaves; one that is there keeps its own, and
/// a link stays. What is no regular file is not touched.
///
/// # Errors
/// It cannot be written: then it is as it was.
pub(super) fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let real = match fs::canonicalize(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_owned(),
        found => found?,
    };
    let folder = real.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let usual = Permissions::from_mode(0o666);
    let mut new = tempfile::Builder::new().prefix(".firstlight-").permissions(usual).tempfile_in(folder)?;
    new.write_all(content)?;
    match fs::metadata(&real) {
        Ok(old) if !old.is_file() => return Err(io::Error::other("it is no regular file")),
        Ok(old) => {
            // What may not be written to is not replaced either, although the folder would let us.
            File::options().append(true).open(&real)?;
            new.as_file().set_permissions(Permissions::from_mode(old.permissions().mode() & 0o7777))?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    new.as_file().sync_all()?;
    new.persist(&real)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("page.html"), folder.path().join("link"));
        write(&file, b"one").unwrap();
        // The usual mode is whatever the umask leaves of a file of everybody's.
        fs::write(folder.path().join("usual"), "").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&file), mode(&folder.path().join("usual")));
        fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink("page.html", &link).unwrap();
        write(&link, b"two").unwrap();
        assert_eq!((fs::read(&file).unwrap(), mode(&file)), (b"two".to_vec(), 0o640));
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert!(write(folder.path(), b"x").is_err());
        assert!(write(&folder.path().join("no/such/folder"), b"x").is_err());
        assert!(write(Path::new("/dev/null"), b"x").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3, "something is left");
    }
}

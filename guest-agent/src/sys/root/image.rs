//! What only the making of an image needs of its root: whole folders taken away, and no waiting for the disk in between.

use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, SFlag, fstat, fstatat};
use nix::sys::statfs::{PROC_SUPER_MAGIC, SYSFS_MAGIC, TMPFS_MAGIC, fstatfs};
use nix::unistd::{UnlinkatFlags, fchownat, syncfs, unlinkat};

use super::{Root, SysError, is_mount_root};

/// Folders in folders; deeper ones were made to exhaust whoever takes them away.
const MAX_DEPTH: usize = 128;

impl Root {
    /// As an image that is being made. Changes are not made durable one by one: a run that is cut off is repeated as a
    /// whole, and the image is not used before; each file is still replaced atomically. What is made anew gets the owner of
    /// the root's folder: of a container with shifted owners, seen from outside, that is not this process's.
    pub(crate) fn into_image(self) -> Self {
        let own = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
        let owner = fstat(&self.folder).ok().map(|stat| (stat.st_uid, stat.st_gid));
        Self { syncs: false, owner: owner.filter(|owner| *owner != own), ..self }
    }

    /// Gives what was just made its owner.
    pub(super) fn give(&self, folder: &OwnedFd, name: &str) -> nix::Result<()> {
        let Some((user, group)) = self.owner else { return Ok(()) };
        fchownat(folder, name, Some(user.into()), Some(group.into()), AtFlags::AT_SYMLINK_NOFOLLOW)
    }

    /// Makes everything on the root's own file system durable.
    ///
    /// # Errors
    /// The file system could not write something.
    pub(crate) fn sync_file_system(&self) -> Result<(), SysError> {
        let failed = |errno: Errno| SysError::new("synchronize the file system of", "the root", errno);
        let folder = self.open_in(".", OFlag::O_RDONLY | OFlag::O_DIRECTORY).map_err(failed)?;
        syncfs(folder).map_err(failed)
    }

    /// Device and number of the root's folder: the same for every path that leads to it.
    pub(crate) fn number(&self) -> Option<(u64, u64)> {
        let stat = fstat(&self.folder).ok()?;
        Some((stat.st_dev, stat.st_ino))
    }

    /// Bytes of the file at a path; none if it is no regular file.
    pub(crate) fn size(&self, path: &str) -> Option<u64> {
        let stat = self.stat(path).filter(|stat| is_kind(stat.st_mode, SFlag::S_IFREG))?;
        u64::try_from(stat.st_size).ok()
    }

    /// The beginning of a file; none if there is no such file.
    ///
    /// # Errors
    /// Not readable, or no regular file.
    pub(crate) fn head(&self, path: &str, most: u64) -> Result<Option<Vec<u8>>, SysError> {
        let failed = |error: std::io::Error| SysError::new("read", path, error);
        let file = match self.open_in(path, OFlag::O_RDONLY | OFlag::O_NONBLOCK) {
            Ok(fd) => std::fs::File::from(fd),
            Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(None),
            Err(errno) => return Err(failed(errno.into())),
        };
        if !file.metadata().map_err(failed)?.is_file() {
            return Err(failed(std::io::ErrorKind::IsADirectory.into()));
        }
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut std::io::Read::take(file, most), &mut bytes).map_err(failed)?;
        Ok(Some(bytes))
    }

    /// Whether what stands at a path is no part of the image: in a file system in memory that is mounted in it.
    pub(crate) fn is_in_memory(&self, path: &str) -> bool {
        let Ok((folder, _)) = self.parent(path) else { return false };
        let own = fstat(&self.folder).map(|stat| stat.st_dev);
        let there = fstat(&folder).map(|stat| stat.st_dev);
        let kind = fstatfs(&folder).map(|found| found.filesystem_type());
        own != there && kind.is_ok_and(|kind| [TMPFS_MAGIC, PROC_SUPER_MAGIC, SYSFS_MAGIC].contains(&kind))
    }

    /// Removes what stands at a path, with all in it if it is a folder. Nothing behind a mount is removed: then this fails.
    ///
    /// # Errors
    /// Something in it could not be removed; what came before is gone.
    pub(crate) fn remove_tree(&self, path: &str) -> Result<(), SysError> {
        let failed = |error: std::io::Error| SysError::new("remove", path, error);
        self.fuse.pass().map_err(failed)?;
        let removed = self.parent(path).and_then(|(folder, name)| take_away(&folder, name, 0));
        match removed {
            Ok(()) | Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(()),
            Err(errno) => Err(failed(errno.into())),
        }
    }
}

fn is_kind(mode: u32, kind: SFlag) -> bool {
    mode & SFlag::S_IFMT.bits() == kind.bits()
}

fn take_away(folder: &OwnedFd, name: &str, depth: usize) -> nix::Result<()> {
    let stat = fstatat(folder, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
    if !is_kind(stat.st_mode, SFlag::S_IFDIR) {
        return unlinkat(folder, name, UnlinkatFlags::NoRemoveDir);
    }
    if is_mount_root(folder.as_fd(), name) {
        return Err(Errno::EBUSY);
    }
    if depth == MAX_DEPTH {
        return Err(Errno::ELOOP);
    }
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let inside = openat(folder, name, flags, Mode::empty())?;
    let names = {
        let again = openat(&inside, ".", flags, Mode::empty())?;
        let mut listed = nix::dir::Dir::from_fd(again)?;
        let names: nix::Result<Vec<_>> =
            listed.iter().map(|entry| entry.map(|entry| entry.file_name().to_owned())).collect();
        names?
    };
    for name in names {
        match name.to_str() {
            Ok("." | "..") => {}
            Ok(name) => take_away(&inside, name, depth + 1)?,
            // A name that is no text: only a file goes, and a folder says that it is one.
            Err(_) => unlinkat(&inside, name.as_c_str(), UnlinkatFlags::NoRemoveDir)?,
        }
    }
    unlinkat(folder, name, UnlinkatFlags::RemoveDir)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::fs;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;

    use super::super::Fuse;
    use super::*;

    #[test]
    fn a_tree_goes_and_nothing_that_its_links_lead_to() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::open(folder.path(), Fuse::intact()).unwrap().into_image();
        let inside = folder.path().join("tmp/build/deep");
        fs::create_dir_all(&inside).unwrap();
        fs::create_dir(folder.path().join("etc")).unwrap();
        fs::write(folder.path().join("etc/kept"), "kept").unwrap();
        fs::write(inside.join("file"), "x").unwrap();
        fs::write(inside.join(OsStr::from_bytes(b"\xff")), "x").unwrap();
        symlink("/etc", inside.join("absolute")).unwrap();
        symlink("../../../etc", inside.join("relative")).unwrap();
        assert_eq!(root.remove_tree("tmp/build").map_err(|error| error.to_string()), Ok(()));
        assert!(!folder.path().join("tmp/build").exists() && folder.path().join("tmp").exists());
        assert_eq!(fs::read_to_string(folder.path().join("etc/kept")).unwrap(), "kept");
        assert!(root.remove_tree("tmp/build").is_ok() && root.remove_tree("no/such").is_ok());
        symlink("../etc", folder.path().join("tmp/link")).unwrap();
        assert!(root.remove_tree("tmp/link").is_ok(), "the link itself");
        assert!(folder.path().join("etc/kept").exists());
    }

    #[test]
    fn a_tree_that_was_made_to_exhaust_us_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::open(folder.path(), Fuse::intact()).unwrap();
        let deep = "d/".repeat(MAX_DEPTH + 3);
        fs::create_dir_all(folder.path().join(deep)).unwrap();
        assert!(root.remove_tree("d").is_err());
        assert_eq!(root.size("d"), None);
        fs::write(folder.path().join("file"), "four").unwrap();
        assert_eq!(root.size("file"), Some(4));
        assert!(!root.is_in_memory("file"), "the root itself may be in memory");
    }
}

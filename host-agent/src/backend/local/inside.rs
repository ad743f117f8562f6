//! A look into a guest's root, as a folder or as a running guest sees it. Links in it are the guest's: they are resolved
//! inside it and never lead out (openat2(2), `RESOLVE_IN_ROOT`).

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat, openat2, renameat};
use nix::sys::stat::{Mode, fchmod, mkdirat};
use nix::unistd::{UnlinkatFlags, fchown, unlinkat};

/// Numbers of a file's user and group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ids {
    pub user: u32,
    pub group: u32,
}

/// An open root.
#[derive(Debug)]
pub(super) struct Root {
    folder: OwnedFd,
}

impl Root {
    /// A root below our own state folder.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        Ok(Self { folder: openat(AT_FDCWD, path, flags, Mode::empty())? })
    }

    /// The root of a running process, with all that is mounted there.
    pub(super) fn of_process(pid: i32) -> io::Result<Self> {
        // Not O_NOFOLLOW: this one magic link, which the kernel made, is meant to be followed.
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let path = PathBuf::from(format!("/proc/{pid}/root"));
        Ok(Self { folder: openat(AT_FDCWD, &path, flags, Mode::empty())? })
    }

    fn open_inside(&self, path: &Path, flags: OFlag) -> io::Result<File> {
        let how = OpenHow::new()
            .flags(flags | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        Ok(File::from(openat2(&self.folder, path, how)?))
    }

    pub(super) fn has_folder(&self, path: &str) -> bool {
        self.open_inside(Path::new(path), OFlag::O_PATH | OFlag::O_DIRECTORY).is_ok()
    }

    pub(super) fn has_file(&self, path: &str) -> bool {
        self.identity(Path::new(path)).is_ok_and(|(is_file, _)| is_file)
    }

    /// Device and inode of what is at a path.
    pub(super) fn device_and_inode(&self, path: &Path) -> io::Result<(u64, u64)> {
        Ok(self.identity(path)?.1)
    }

    fn identity(&self, path: &Path) -> io::Result<(bool, (u64, u64))> {
        let metadata = self.open_inside(path, OFlag::O_PATH)?.metadata()?;
        Ok((metadata.is_file(), (metadata.dev(), metadata.ino())))
    }

    /// Reads a regular file.
    ///
    /// # Errors
    /// `InvalidData` if it is larger than `limit` bytes or no regular file.
    pub(super) fn read(&self, path: &str, limit: usize) -> io::Result<Vec<u8>> {
        // Non-blocking: a FIFO put there must not hold us.
        let file = self.open_inside(
            Path::new(path),
            OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_NOFOLLOW,
        )?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "not a regular file"));
        }
        let mut bytes = Vec::new();
        file.take(limit as u64 + 1).read_to_end(&mut bytes)?;
        if bytes.len() > limit {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("larger than {limit} bytes")));
        }
        Ok(bytes)
    }

    /// Writes `name` in `folder`, replacing what is there (a link itself, not what it points to).
    pub(super) fn replace(&self, folder: &str, name: &str, bytes: &[u8]) -> io::Result<()> {
        let folder = self.open_inside(Path::new(folder), OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
        let partial = format!(".{name}.firstlight");
        match unlinkat(&folder, partial.as_str(), UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(nix::errno::Errno::ENOENT) => {}
            Err(error) => return Err(error.into()),
        }
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mode = Mode::S_IRUSR | Mode::S_IWUSR | Mode::S_IRGRP | Mode::S_IROTH;
        let mut file = File::from(openat(&folder, partial.as_str(), flags, mode)?);
        file.write_all(bytes)?;
        fchmod(&file, mode)?;
        renameat(&folder, partial.as_str(), &folder, name)?;
        Ok(())
    }

    /// Makes a folder with its parents, root's and open to all (0755); those that are there stay as they are.
    pub(super) fn make_folders(&self, path: &Path) -> io::Result<()> {
        let mut made = PathBuf::new();
        for part in path.components() {
            let parent = self.open_inside(here(&made), OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
            made.push(part);
            if self.open_inside(&made, OFlag::O_PATH | OFlag::O_DIRECTORY).is_ok() {
                continue;
            }
            let mode = Mode::from_bits_truncate(0o755);
            mkdirat(&parent, part.as_os_str(), mode)?;
            let folder = self.open_inside(&made, OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
            fchmod(&folder, mode)?; // whatever the umask is
        }
        Ok(())
    }

    /// Where a folder is once its links are followed, relative to the root.
    pub(super) fn real_path(&self, folder: &Path) -> io::Result<PathBuf> {
        let path_of = |fd: &dyn AsRawFd| std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()));
        let folder = self.open_inside(here(folder), OFlag::O_PATH | OFlag::O_DIRECTORY)?;
        let (root, real) = (path_of(&self.folder)?, path_of(&folder)?);
        real.strip_prefix(&root)
            .map(ToOwned::to_owned)
            .map_err(|_| io::Error::other("a folder of the guest's root was moved meanwhile"))
    }

    /// Writes `name` in `folder` durably and in one step, with mode and owner; nobody reads it before it has them.
    pub(super) fn put(&self, folder: &Path, name: &str, bytes: &[u8], ids: Ids, mode: u32) -> io::Result<()> {
        let folder = self.open_inside(here(folder), OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
        let partial = format!(".{name}.firstlight");
        match unlinkat(&folder, partial.as_str(), UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(nix::errno::Errno::ENOENT) => {}
            Err(error) => return Err(error.into()),
        }
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mut file = File::from(openat(&folder, partial.as_str(), flags, Mode::S_IRUSR)?);
        let written = (|| {
            file.write_all(bytes)?;
            fchown(&file, Some(ids.user.into()), Some(ids.group.into()))?;
            fchmod(&file, Mode::from_bits_truncate(mode))?;
            file.sync_all()?;
            renameat(&folder, partial.as_str(), &folder, name)?;
            folder.sync_all()
        })();
        if written.is_err() {
            // No half of a secret is left; if that fails too, it goes with the guest.
            let _ = unlinkat(&folder, partial.as_str(), UnlinkatFlags::NoRemoveDir);
        }
        written
    }
}

/// openat2(2) knows no empty path.
fn here(path: &Path) -> &Path {
    if path.as_os_str().is_empty() { Path::new(".") } else { path }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_of_the_guest_stay_inside() {
        let outer = tempfile::tempdir().unwrap();
        let root = outer.path().join("root");
        std::fs::create_dir_all(root.join("real")).unwrap();
        std::fs::create_dir(outer.path().join("real")).unwrap();
        symlink("/../real", root.join("etc")).unwrap();
        symlink("/etc/shadow", root.join("real/hostname")).unwrap();
        let inside = Root::open(&root).unwrap();
        inside.replace("etc", "hostname", b"web-01\n").unwrap();
        inside.replace("etc", "hostname", b"web-02\n").unwrap();
        assert_eq!(std::fs::read(root.join("real/hostname")).unwrap(), b"web-02\n");
        assert_eq!(std::fs::read_dir(outer.path().join("real")).unwrap().count(), 0);
        assert_eq!(inside.read("/etc/hostname", 100).unwrap(), b"web-02\n");
        assert!(inside.read("/etc/hostname", 3).is_err());
        assert!(inside.has_file("etc/hostname") && inside.has_folder("etc") && !inside.has_folder("usr"));
    }

    #[test]
    fn a_fifo_does_not_hold_us() {
        let root = tempfile::tempdir().unwrap();
        nix::unistd::mkfifo(&root.path().join("report"), Mode::S_IRWXU).unwrap();
        assert!(Root::open(root.path()).unwrap().read("report", 10).is_err());
    }
}

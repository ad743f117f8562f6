//! Files below a root folder. Every path resolves inside it (`openat2` with `RESOLVE_IN_ROOT`), symlinks included.
//!
//! A kernel without openat2 (before 5.6) is refused, not worked around. Writes are atomic and durable: a temporary
//! file beside the target, fsync, rename, fsync of the folder. A leftover temporary file is replaced by the next run.

mod image;
mod label;

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, Flock, FlockArg, OFlag, OpenHow, ResolveFlag, openat2, renameat};
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, fchown, symlinkat, unlinkat};

use super::{Fuse, SysError};

/// Larger files are not what they should be; an error, not a truncated read.
const MAX_READ: u64 = 1 << 20;
/// The search for RSA primes may take so long; systemd gives the identity phase a minute.
const LOCK_LIMIT: Duration = Duration::from_secs(20);
/// Ends the name of every temporary file, so that leftovers are known as ours.
pub(crate) const STAGED: &str = ".firstlight-new";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Symlink,
    Folder,
    Other,
}

/// A temporary file that is written but not yet in place.
#[derive(Debug)]
pub(crate) struct Staged {
    path: String,
    file: File,
}

#[derive(Debug)]
pub(crate) struct Root {
    folder: OwnedFd,
    pub(crate) fuse: Fuse,
    /// Whether each change is made durable by itself.
    syncs: bool,
    /// User and group of what is made anew, where they are not this process's own.
    owner: Option<(u32, u32)>,
    /// What was done, but not as well as it should be.
    notes: RefCell<Vec<String>>,
}

impl Root {
    /// # Errors
    /// The folder is absent or no folder, or openat2 is missing or forbidden.
    pub(crate) fn open(path: &Path, fuse: Fuse) -> Result<Self, SysError> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let folder = nix::fcntl::open(path, flags, Mode::empty())
            .map_err(|errno| SysError::new("open the root", &path.to_string_lossy(), errno))?;
        let root = Self { folder, fuse, syncs: true, owner: None, notes: RefCell::default() };
        // Every read would fail alike without openat2, and "nothing there" is no finding: better not to start.
        root.open_in(".", OFlag::O_RDONLY | OFlag::O_DIRECTORY)
            .map_err(|errno| SysError::new("use openat2 below the root", &path.to_string_lossy(), errno))?;
        Ok(root)
    }

    /// One line for each effect that was done, but not as well as it should be (a file without its label).
    pub(crate) fn take_notes(&self) -> Vec<String> {
        self.notes.take()
    }

    fn open_in(&self, path: &str, flags: OFlag) -> nix::Result<OwnedFd> {
        let how = OpenHow::new()
            .flags(flags | OFlag::O_CLOEXEC | OFlag::O_NOCTTY)
            .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        openat2(&self.folder, path, how)
    }

    /// The folder that holds `path`, and the last name in it.
    fn parent<'p>(&self, path: &'p str) -> nix::Result<(OwnedFd, &'p str)> {
        let (folder, name) = path.rsplit_once('/').unwrap_or((".", path));
        Ok((self.open_in(folder, OFlag::O_RDONLY | OFlag::O_DIRECTORY)?, name))
    }

    /// The bytes of a file; none if there is no such file.
    ///
    /// # Errors
    /// Not readable, no regular file, or larger than a file of that kind may be.
    pub(crate) fn read(&self, path: &str) -> Result<Option<Vec<u8>>, SysError> {
        self.read_up_to(path, MAX_READ)
    }

    /// As [`Root::read`], with a limit of its own, in bytes.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn read_up_to(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, SysError> {
        let failed = |error: io::Error| SysError::new("read", path, error);
        // O_NONBLOCK: a FIFO in place of the file must not hang the boot, nor look like an empty file.
        let file = match self.open_in(path, OFlag::O_RDONLY | OFlag::O_NONBLOCK) {
            Ok(fd) => File::from(fd),
            Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(None),
            Err(errno) => return Err(failed(errno.into())),
        };
        if !file.metadata().map_err(failed)?.is_file() {
            return Err(failed(io::Error::new(io::ErrorKind::IsADirectory, "it is no regular file")));
        }
        let mut bytes = Vec::new();
        file.take(limit + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > limit {
            return Err(failed(io::ErrorKind::FileTooLarge.into()));
        }
        Ok(Some(bytes))
    }

    /// # Errors
    /// As [`Root::read`], and for bytes that are not UTF-8.
    pub(crate) fn read_text(&self, path: &str) -> Result<Option<String>, SysError> {
        let bytes = self.read(path)?;
        let text = bytes.map(String::from_utf8).transpose();
        text.map_err(|error| SysError::new("read", path, io::Error::new(io::ErrorKind::InvalidData, error)))
    }

    /// Names in a folder, sorted; none if it is absent.
    ///
    /// # Errors
    /// Not readable.
    pub(crate) fn list(&self, path: &str) -> Result<Vec<String>, SysError> {
        let failed = |errno: Errno| SysError::new("list", path, errno);
        let fd = match self.open_in(path, OFlag::O_RDONLY | OFlag::O_DIRECTORY) {
            Ok(fd) => fd,
            Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(Vec::new()),
            Err(errno) => return Err(failed(errno)),
        };
        let mut folder = nix::dir::Dir::from_fd(fd).map_err(failed)?;
        let mut names = Vec::new();
        for entry in folder.iter() {
            names.push(entry.map_err(failed)?.file_name().to_string_lossy().into_owned());
        }
        names.retain(|name| name != "." && name != "..");
        names.sort();
        Ok(names)
    }

    fn stat(&self, path: &str) -> Option<FileStat> {
        let (folder, name) = self.parent(path).ok()?;
        fstatat(&folder, name, AtFlags::AT_SYMLINK_NOFOLLOW).ok()
    }

    /// What stands at a path, the last symlink not followed; none if nothing does.
    pub(crate) fn kind(&self, path: &str) -> Option<Kind> {
        let mode = SFlag::from_bits_truncate(self.stat(path)?.st_mode & SFlag::S_IFMT.bits());
        Some(match mode {
            SFlag::S_IFREG => Kind::File,
            SFlag::S_IFLNK => Kind::Symlink,
            SFlag::S_IFDIR => Kind::Folder,
            _ => Kind::Other,
        })
    }

    /// Where a symlink points, as it is written; none if there is no symlink.
    pub(crate) fn link_target(&self, path: &str) -> Option<String> {
        let (folder, name) = self.parent(path).ok()?;
        nix::fcntl::readlinkat(&folder, name).ok()?.into_string().ok()
    }

    /// Permission bits of what stands at a path.
    pub(crate) fn mode(&self, path: &str) -> Option<u32> {
        Some(self.stat(path)?.st_mode & 0o7777)
    }

    /// Numbers of user and group of what stands at a path.
    pub(crate) fn owner(&self, path: &str) -> Option<(u32, u32)> {
        let stat = self.stat(path)?;
        Some((stat.st_uid, stat.st_gid))
    }

    /// Whether a mount stands on this very path; false where the kernel cannot tell (before 5.8).
    pub(crate) fn is_mount(&self, path: &str) -> bool {
        self.parent(path).is_ok_and(|(folder, name)| is_mount_root(folder, name))
    }

    /// When the data was last written, since the epoch. The older of two times counts: anybody may set mtime to the
    /// future, but not ctime; and an overlay that copies a file up (PID 1 only has to open it for writing) makes a new
    /// ctime beside the old mtime.
    pub(crate) fn written_at(&self, path: &str) -> Option<Duration> {
        let stat = self.stat(path)?;
        let time = |seconds, nanoseconds| {
            Some(Duration::new(u64::try_from(seconds).ok()?, u32::try_from(nanoseconds).ok()?))
        };
        Some(time(stat.st_ctime, stat.st_ctime_nsec)?.min(time(stat.st_mtime, stat.st_mtime_nsec)?))
    }

    /// Makes a folder and its parents with mode 0755.
    ///
    /// # Errors
    /// A component cannot be made or is no folder.
    pub(crate) fn make_folder(&self, path: &str) -> Result<(), SysError> {
        let failed = |error: io::Error| SysError::new("make the folder", path, error);
        for (end, _) in path.match_indices('/').chain([(path.len(), "")]) {
            let part = &path[..end];
            if part.is_empty() || self.open_in(part, OFlag::O_RDONLY | OFlag::O_DIRECTORY).is_ok() {
                continue;
            }
            self.fuse.pass().map_err(failed)?;
            let (folder, name) = self.parent(part).map_err(|errno| failed(errno.into()))?;
            mkdirat(&folder, name, Mode::from_bits_truncate(0o755)).map_err(|errno| failed(errno.into()))?;
            self.give(&folder, name).map_err(|errno| failed(errno.into()))?;
            if let Ok(made) = self.open_in(part, OFlag::O_RDONLY | OFlag::O_DIRECTORY) {
                self.notes.borrow_mut().extend(self.label(made, part));
            }
        }
        Ok(())
    }

    /// Writes the temporary file for `path` beside it. Durable only after [`Root::sync`].
    ///
    /// # Errors
    /// Any step failed; a torn temporary file may be left, which the next call replaces.
    pub(crate) fn stage(&self, path: &str, mode: u32, bytes: &[u8]) -> Result<Staged, SysError> {
        let failed = |error: io::Error| SysError::new("write", path, error);
        let errno = |errno: Errno| failed(errno.into());
        let (folder, name) = self.parent(path).map_err(errno)?;
        let staged = staged_name(name);
        self.fuse.pass().map_err(failed)?;
        match unlinkat(&folder, staged.as_str(), UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(error) => return Err(errno(error)),
        }
        self.fuse.pass().map_err(failed)?;
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let fd = nix::fcntl::openat(&folder, staged.as_str(), flags, Mode::from_bits_truncate(0o600))
            .map_err(errno)?;
        let mut file = File::from(fd);
        self.fuse.pass().map_err(failed)?;
        file.write_all(bytes).map_err(failed)?;
        self.give(&folder, &staged).map_err(errno)?;
        fchmod(&file, Mode::from_bits_truncate(mode)).map_err(errno)?;
        self.notes.borrow_mut().extend(self.label(&file, path));
        Ok(Staged { path: path.to_owned(), file })
    }

    /// Makes the bytes of staged files durable, all at once: a file system does many waiting calls in one go.
    ///
    /// # Errors
    /// One of them could not be written.
    pub(crate) fn sync(&self, staged: &[Staged]) -> Result<(), SysError> {
        let failed = |one: &Staged, error: io::Error| SysError::new("synchronize", &one.path, error);
        for one in staged {
            self.fuse.pass().map_err(|error| failed(one, error))?;
        }
        if !self.syncs {
            return Ok(());
        }
        let sync = &|one: &Staged| one.file.sync_all().map_err(|error| failed(one, error));
        let [first, others @ ..] = staged else { return Ok(()) };
        std::thread::scope(|scope| {
            let started: Vec<_> = others.iter().map(|one| (one, scope.spawn(move || sync(one)))).collect();
            let own = sync(first);
            let lost = |_| io::Error::other("the thread ended");
            let joined = started.into_iter().map(|(one, thread)| {
                thread.join().map_err(lost).map_err(|error| failed(one, error)).and_then(|done| done)
            });
            joined.fold(own, Result::and)
        })
    }

    /// Puts what [`Root::stage`] wrote in place. Durable only after [`Root::sync_folder_of`].
    ///
    /// # Errors
    /// The rename failed; a bind mount on the target gives EBUSY.
    pub(crate) fn commit(&self, path: &str) -> Result<(), SysError> {
        let failed = |error: io::Error| SysError::new("replace", path, error);
        self.fuse.pass().map_err(failed)?;
        let (folder, name) = self.parent(path).map_err(|errno| failed(errno.into()))?;
        renameat(&folder, staged_name(name).as_str(), &folder, name).map_err(|errno| failed(errno.into()))
    }

    /// # Errors
    /// The folder cannot be opened or synchronized.
    pub(crate) fn sync_folder_of(&self, path: &str) -> Result<(), SysError> {
        let failed = |error: io::Error| SysError::new("synchronize the folder of", path, error);
        self.fuse.pass().map_err(failed)?;
        if !self.syncs {
            return Ok(());
        }
        let (folder, _) = self.parent(path).map_err(|errno| failed(errno.into()))?;
        File::from(folder).sync_all().map_err(failed)
    }

    /// Replaces a file atomically and durably; makes its folder if there is none.
    ///
    /// # Errors
    /// Any step failed; the old file, if any, is then still whole.
    pub(crate) fn replace(&self, path: &str, mode: u32, bytes: &[u8]) -> Result<(), SysError> {
        if let Some((folder, _)) = path.rsplit_once('/') {
            self.make_folder(folder)?;
        }
        let staged = self.stage(path, mode, bytes)?;
        self.sync(&[staged])?;
        self.commit(path)?;
        self.sync_folder_of(path)
    }

    /// As [`Root::replace`], with user and group; nobody reads the bytes before it has them.
    ///
    /// # Errors
    /// Any step failed; the old file, if any, is then still whole.
    pub(crate) fn replace_owned(
        &self,
        path: &str,
        mode: u32,
        (user, group): (u32, u32),
        bytes: &[u8],
    ) -> Result<(), SysError> {
        if let Some((folder, _)) = path.rsplit_once('/') {
            self.make_folder(folder)?;
        }
        let staged = self.stage(path, 0o400, bytes)?;
        let failed = |errno: Errno| SysError::new("give its owner to", path, errno);
        fchown(&staged.file, Some(user.into()), Some(group.into())).map_err(failed)?;
        fchmod(&staged.file, Mode::from_bits_truncate(mode)).map_err(failed)?;
        self.sync(&[staged])?;
        self.commit(path)?;
        self.sync_folder_of(path)
    }

    /// Removes a file or symlink itself; what is not there is removed already. Not durable by itself.
    ///
    /// # Errors
    /// A folder, or not permitted.
    pub(crate) fn remove(&self, path: &str) -> Result<(), SysError> {
        let failed = |error: io::Error| SysError::new("remove", path, error);
        self.fuse.pass().map_err(failed)?;
        let removed =
            self.parent(path).and_then(|(folder, name)| unlinkat(&folder, name, UnlinkatFlags::NoRemoveDir));
        match removed {
            Ok(()) | Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(()),
            Err(errno) => Err(failed(errno.into())),
        }
    }

    /// Replaces what stands at `path` by a symlink, atomically.
    ///
    /// # Errors
    /// Any step failed.
    pub(crate) fn link(&self, path: &str, target: &str) -> Result<(), SysError> {
        let failed = |error: io::Error| SysError::new("link", path, error);
        let (folder, name) = self.parent(path).map_err(|errno| failed(errno.into()))?;
        let staged = staged_name(name);
        self.fuse.pass().map_err(failed)?;
        let _ = unlinkat(&folder, staged.as_str(), UnlinkatFlags::NoRemoveDir); // a leftover, or nothing
        self.fuse.pass().map_err(failed)?;
        symlinkat(target, &folder, staged.as_str()).map_err(|errno| failed(errno.into()))?;
        self.give(&folder, &staged).map_err(|errno| failed(errno.into()))?;
        self.commit(path)?;
        self.sync_folder_of(path)
    }

    /// Holds other runs of this program off until dropped; none where the file cannot be made (a read-only root has
    /// nothing to protect), or where another run holds it for too long, which is noted.
    ///
    /// A file of its own, which only root can open: a folder that others may read could be locked by anybody.
    pub(crate) fn lock(&self, path: &str) -> Option<Flock<File>> {
        for (end, _) in path.match_indices('/') {
            if let Ok((folder, name)) = self.parent(&path[..end]) {
                let _ = mkdirat(&folder, name, Mode::from_bits_truncate(0o755)); // it may be there
            }
        }
        let (folder, name) = self.parent(path).ok()?;
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let fd = nix::fcntl::openat(&folder, name, flags, Mode::from_bits_truncate(0o600)).ok()?;
        let mut file = File::from(fd);
        let end = Instant::now() + LOCK_LIMIT;
        loop {
            file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(held) => return Some(held),
                Err((file, Errno::EWOULDBLOCK)) if Instant::now() < end => file,
                Err((_, errno)) => {
                    let note = format!("/{path} is locked by another run ({errno}): gone on without it");
                    self.notes.borrow_mut().push(note);
                    return None;
                }
            };
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Whether a mount stands on `path` itself, the last symlink not followed.
pub(super) fn is_mount_root(folder: impl std::os::fd::AsFd, path: &str) -> bool {
    use rustix::fs::{AtFlags, StatxAttributes, StatxFlags, statx};
    let found = statx(folder, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::TYPE);
    found.is_ok_and(|found| found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

/// Name of the temporary file for `name`, in the same folder.
pub(crate) fn staged_name(name: &str) -> String {
    format!(".{name}{STAGED}")
}

//! What is mounted where, how large it is, and whether it takes a write. May hang: call it through [`super::aside()`].

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::fcntl::OFlag;
use nix::sys::statvfs::statvfs;

use super::{SysError, random_bytes};

const MOUNT_INFO: &str = "/proc/self/mountinfo";

/// Bytes of a file system, for everybody and for those who are not root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Space {
    pub total: u64,
    pub available: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mount {
    pub fstype: String,
    pub source: String,
}

/// # Errors
/// The path is not there, or its file system does not answer.
pub(crate) fn space_of(path: &Path) -> Result<Space, SysError> {
    let found = statvfs(path).map_err(|errno| SysError::new("measure", &path.to_string_lossy(), errno))?;
    let bytes = |blocks: u64| blocks.saturating_mul(found.fragment_size());
    Ok(Space { total: bytes(found.blocks()), available: bytes(found.blocks_available()) })
}

/// What is mounted at this very path, the uppermost if several are; none if the path is no mount point.
///
/// # Errors
/// The kernel's list cannot be read.
pub(crate) fn mount_at(path: &str) -> Result<Option<Mount>, SysError> {
    // Raw bytes: a mount point's name may be anything.
    let list = std::fs::read(MOUNT_INFO).map_err(|error| SysError::new("read", MOUNT_INFO, error))?;
    Ok(find(&String::from_utf8_lossy(&list), path))
}

/// The last line wins: it is the uppermost mount. Source: proc_pid_mountinfo(5).
fn find(list: &str, path: &str) -> Option<Mount> {
    let mount = |line: &str| {
        let (left, right) = line.split_once(" - ")?;
        let mut words = right.split(' ');
        let at = left.split(' ').nth(4)?;
        let found = Mount { fstype: words.next()?.to_owned(), source: unescape(words.next()?) };
        (unescape(at) == path).then_some(found)
    };
    list.lines().rev().find_map(mount)
}

/// Octal escapes of space, tab, newline and backslash.
fn unescape(text: &str) -> String {
    let mut out = text.to_owned();
    for (escape, plain) in [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")] {
        out = out.replace(escape, plain);
    }
    out
}

/// Writes a few bytes into the folder and to the disk, and leaves nothing: a file without a name where the file
/// system can, else one whose name is gone before its bytes are there.
///
/// # Errors
/// The file system takes no writes.
pub(crate) fn prove_writable(folder: &Path) -> Result<(), SysError> {
    let failed = |error: io::Error| SysError::new("write into", &folder.to_string_lossy(), error);
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    let nameless = options.clone().custom_flags(OFlag::O_TMPFILE.bits()).open(folder);
    let mut file = match nameless {
        Ok(file) => file,
        // Not every file system can (NFS, vfat); the kernel says so in either way.
        Err(error) if matches!(error.raw_os_error(), Some(nix::libc::EOPNOTSUPP | nix::libc::EISDIR)) => {
            let random = random_bytes::<8>().map(|byte| format!("{byte:02x}")).concat();
            let path = folder.join(format!(".firstlight-probe-{random}"));
            let file = options.create_new(true).open(&path).map_err(failed)?;
            std::fs::remove_file(&path).map_err(failed)?;
            file
        }
        Err(error) => return Err(failed(error)),
    };
    file.write_all(b"firstlight").and_then(|()| file.sync_all()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_uppermost_mount_at_a_path_is_found() {
        let list = "22 1 0:20 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n\
            30 22 0:30 / /data rw - autofs systemd-1 rw\n\
            31 30 8:16 / /data rw,noatime shared:9 master:1 - xfs /dev/sdb1 rw\n\
            32 22 0:32 / /with\\040space rw - tmpfs tmpfs rw\nodd line\n";
        let mount = |fstype: &str, source: &str| Some(Mount { fstype: fstype.into(), source: source.into() });
        assert_eq!(find(list, "/data"), mount("xfs", "/dev/sdb1"));
        assert_eq!(find(list, "/with space"), mount("tmpfs", "tmpfs"));
        assert_eq!(find(list, "/dat"), None);
        assert_eq!(find("", "/"), None);
    }

    #[test]
    fn a_proof_of_writing_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        prove_writable(folder.path()).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(prove_writable(&folder.path().join("absent")).is_err());
        assert!(prove_writable(Path::new("/proc/self")).is_err());
    }
}

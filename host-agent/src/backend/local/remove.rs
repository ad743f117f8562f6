//! Removes a guest's folder: never through a link, never across a mount point.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, umount2};

use super::names::Names;
use super::stamp::{self, Standing, file_fault};
use crate::backend::Placement;
use crate::outcome::Fault;

/// How often to try, 50 ms apart.
const PATIENCE: u32 = 200;

/// Removes the guest's folder if it carries the job's stamp, and what a crash left half removed. Blocks. Repeatable.
///
/// The folder first gets a name that shows whose it is, so that a crash in the middle leaves no folder without a stamp.
pub(super) fn remove_guest(names: &Names, guest: &Placement) -> Result<(), Fault> {
    let (name, job) = (&guest.plan.name, guest.job.as_str());
    let gone = names.transit(name, job, "gone");
    remove_tree(&gone)?;
    if stamp::standing(names, guest) == Standing::Ours {
        let folder = names.folder(name).path;
        // Before it is renamed: the mount table shows where things are mounted, by name.
        unmount_below(&folder)?;
        fs::rename(&folder, &gone)
            .map_err(|error| file_fault("set the guest's folder aside", &folder, &error))?;
        remove_tree(&gone)?;
    }
    remove_tree(&names.transit(name, job, "new"))
}

/// Removes a folder of ours with all that is in it. Blocks. Repeatable.
pub(super) fn remove_tree(path: &Path) -> Result<(), Fault> {
    if fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        return Ok(());
    }
    unmount_below(path)?;
    let mut attempt = 0;
    loop {
        attempt += 1;
        match fs::remove_dir_all(path) {
            // A program that is just dying, or was only stopped (tar, whose companion was), may still have put a file there.
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty && attempt < PATIENCE => {
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(file_fault("remove a folder", path, &error));
            }
            _ => return Ok(()),
        }
    }
}

fn unmount_below(folder: &Path) -> Result<(), Fault> {
    for mount in mounts_below(&mount_table()?, folder).iter().rev() {
        // What cannot be unmounted is found below.
        let _ = umount2(mount, MntFlags::UMOUNT_NOFOLLOW | MntFlags::MNT_DETACH);
    }
    match mounts_below(&mount_table()?, folder).first() {
        None => Ok(()),
        Some(mount) => Err(Fault::new(
            "still-mounted",
            format!("{} is not removed: something is mounted at {}", folder.display(), mount.display()),
        )
        .with_hint(format!("umount -R {}", mount.display()))),
    }
}

fn mount_table() -> Result<String, Fault> {
    let table = Path::new("/proc/self/mountinfo");
    fs::read_to_string(table).map_err(|error| file_fault("read the mount table", table, &error))
}

/// Mount points at the folder or below it, in the order of mounting.
fn mounts_below(table: &str, folder: &Path) -> Vec<PathBuf> {
    let points = table.lines().filter_map(|line| line.split(' ').nth(4));
    points.map(unescape).filter(|point| point.starts_with(folder)).collect()
}

/// proc(5): space, tab, line end and backslash are written as three octal digits.
fn unescape(field: &str) -> PathBuf {
    let mut text = field.to_owned();
    for (escaped, plain) in [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")] {
        text = text.replace(escaped, plain);
    }
    PathBuf::from(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_mounts_below_and_only_there() {
        let table = "1 0 0:1 / / rw - ext4 x rw\n2 1 0:2 / /s/guests/a\\040b/root rw - tmpfs t rw\n\
                     3 1 0:2 / /s/guests/ab rw - tmpfs t rw\n4 2 0:2 / /s/guests/a\\040b/root/x rw - tmpfs t rw\n";
        assert_eq!(
            mounts_below(table, Path::new("/s/guests/a b")),
            [PathBuf::from("/s/guests/a b/root"), PathBuf::from("/s/guests/a b/root/x")]
        );
    }

    #[test]
    fn links_are_removed_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let kept = folder.path().join("kept");
        fs::create_dir(&kept).unwrap();
        fs::write(kept.join("file"), "x").unwrap();
        let doomed = folder.path().join("doomed");
        fs::create_dir(&doomed).unwrap();
        std::os::unix::fs::symlink(&kept, doomed.join("link")).unwrap();
        remove_tree(&doomed).unwrap();
        remove_tree(&doomed).unwrap();
        assert!(kept.join("file").exists() && !doomed.exists());
    }
}

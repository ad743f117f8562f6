//! A cgroup of our own around every process that we leave running: it names them all, and ends them all at once.
//!
//! Facts from: Linux Documentation/admin-guide/cgroup-v2.rst (cgroup.kill since 5.14, cgroup.events).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::outcome::Fault;

const PATIENCE: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(3);

/// Where cgroup2 is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hierarchy {
    pub mount: PathBuf,
    /// Whether that is /sys/fs/cgroup, as systemd-nspawn needs it to be.
    pub pure: bool,
}

/// Finds cgroup2 in the mount table.
pub(super) fn find() -> Result<Hierarchy, Fault> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    parse_mounts(&table).ok_or_else(|| {
        Fault::new("no-cgroup2", "no cgroup2 file system is mounted on this machine")
            .with_hint("mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified, or boot with systemd.unified_cgroup_hierarchy=1")
    })
}

fn parse_mounts(table: &str) -> Option<Hierarchy> {
    let mounts = table.lines().filter_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        (right.split(' ').next()? == "cgroup2").then(|| left.split(' ').nth(4).map(PathBuf::from))?
    });
    let standard = Path::new("/sys/fs/cgroup");
    // The standard places first: others may be private mounts of some service.
    let best = mounts.min_by_key(|mount| (mount != standard, !mount.starts_with(standard)))?;
    Some(Hierarchy { pure: best == standard, mount: best })
}

/// Whether any process lives in the cgroup or below it. An absent cgroup is empty.
pub(super) fn populated(cgroup: &Path) -> bool {
    fs::read_to_string(cgroup.join("cgroup.events"))
        .is_ok_and(|events| events.lines().any(|line| line == "populated 1"))
}

/// All processes in the cgroup and below it.
pub(super) fn processes(cgroup: &Path) -> Vec<i32> {
    let mut found = Vec::new();
    for folder in tree(cgroup) {
        let text = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
        found.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()).filter(|pid| *pid > 0));
    }
    found
}

/// The cgroup and all below it, parents first.
fn tree(cgroup: &Path) -> Vec<PathBuf> {
    let mut all = vec![cgroup.to_owned()];
    let mut next = 0;
    while let Some(folder) = all.get(next).cloned() {
        next += 1;
        let children = fs::read_dir(folder).into_iter().flatten().flatten();
        all.extend(
            children.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|e| e.path()),
        );
    }
    all
}

/// Kills everything in the cgroup, waits until all is dead, and removes it. Repeatable.
pub(super) async fn remove(cgroup: &Path) -> Result<(), Fault> {
    let deadline = Instant::now() + PATIENCE;
    while cgroup.exists() {
        if populated(cgroup) {
            // An error shows below: the cgroup stays populated.
            let _ = fs::write(cgroup.join("cgroup.kill"), "1");
        } else if remove_tree(cgroup).is_ok() {
            break;
        }
        if Instant::now() > deadline {
            let left = processes(cgroup);
            return Err(Fault::new("cgroup-stuck", format!("{} cannot be emptied: {left:?}", cgroup.display()))
                .with_hint("a process in uninterruptible sleep (state D) waits for storage or network; look at it with ps"));
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

fn remove_tree(cgroup: &Path) -> io::Result<()> {
    for folder in tree(cgroup).iter().rev() {
        match fs::remove_dir(folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Removes a cgroup only if it holds nothing.
pub(super) fn remove_if_empty(cgroup: &Path) {
    // Not empty or not there: both are as they should be.
    let _ = fs::remove_dir(cgroup);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_cgroup2_in_pure_and_hybrid_tables() {
        let pure = "29 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n";
        let found = parse_mounts(pure).unwrap();
        assert!(found.pure);
        let hybrid = "1 1 0:1 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
                      2 1 0:2 / /mnt/other rw shared:4 - cgroup2 cgroup2 rw\n\
                      3 1 0:2 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let found = parse_mounts(hybrid).unwrap();
        assert_eq!((found.mount.as_path(), found.pure), (Path::new("/sys/fs/cgroup/unified"), false));
        assert_eq!(parse_mounts("1 1 0:1 / / rw - ext4 /dev/vda rw\n\n - \nx"), None);
    }

    #[tokio::test]
    async fn what_is_absent_is_empty_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let absent = folder.path().join("none");
        assert!(!populated(&absent));
        remove(&absent).await.unwrap();
    }
}

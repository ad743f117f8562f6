//! A disk of a golden with a kernel: `machine.img` (ext4, no partitions), and the kernel beside it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::run;

const DISK: &str = "machine.img";
const KERNEL: &str = "machine.vmlinuz";
/// In bytes; mostly a hole.
const SIZE: u64 = 1 << 30;

pub fn disk(folder: &Path) -> PathBuf {
    folder.join(DISK)
}

pub fn kernel(folder: &Path) -> PathBuf {
    folder.join(KERNEL)
}

pub(super) fn is_there(folder: &Path) -> bool {
    [DISK, KERNEL].iter().all(|name| folder.join(name).is_file())
}

/// Makes both files of an archive; takes a few seconds and neither loop devices nor mounts.
pub(super) fn make(archive: &Path, folder: &Path) -> Result<()> {
    let unpacked = tempfile::tempdir_in(folder).context("a folder for the image cannot be made")?;
    run::must(
        run::command(["tar", "--extract", "--numeric-owner", "--file"])
            .arg(archive)
            .arg("-C")
            .arg(unpacked.path()),
    )?;
    fs::copy(newest(&unpacked.path().join("boot"), "vmlinuz-")?, folder.join(KERNEL))
        .context("the kernel cannot be copied")?;
    let partial = folder.join("machine.partial.img");
    File::create(&partial)?.set_len(SIZE)?;
    run::must(run::command(["mkfs.ext4", "-q", "-F", "-d"]).arg(unpacked.path()).arg(&partial))?;
    fs::rename(&partial, folder.join(DISK)).context("the image cannot be put in place")
}

fn newest(boot: &Path, prefix: &str) -> Result<PathBuf> {
    let entries = fs::read_dir(boot).context("the golden has no /boot")?.flatten();
    let named = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix));
    named.map(|entry| entry.path()).max().with_context(|| format!("the golden has no /boot/{prefix}*"))
}

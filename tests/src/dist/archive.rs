//! The tarball, and the checksums of all that is in the folder.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use firstlight_shared::wire::sha256_hex;

use super::{Order, gzipped_by, stage};
use crate::golden::Layer;
use crate::run;

pub(super) const SUMS: &str = "SHA256SUMS";

/// `NAME-VERSION-MACHINE.tar.gz`, with one folder of that name: what it has is laid out as in the root of a system.
pub(super) fn make(order: &Order, tree: &Layer, moment: u64, folder: &Path) -> Result<()> {
    let staged = stage(order, "tar")?;
    tree.write_to(&staged.join(order.stem()))?;
    let packed = tempfile::NamedTempFile::new()?;
    run::must(
        run::command([
            "tar",
            "--create",
            "--format=gnu",
            "--sort=name",
            "--owner=0",
            "--group=0",
            "--numeric-owner",
        ])
        // Modes of folders depend on umask.
        .args(["--mode=u+rwX,go=rX"])
        .arg(format!("--mtime=@{moment}"))
        .arg("--file")
        .arg(packed.path())
        .arg("--directory")
        .arg(&staged)
        .arg(order.stem()),
    )?;
    let path = folder.join(format!("{}.tar.gz", order.stem()));
    let level = if order.quick { "-1" } else { "-9" };
    fs::write(&path, gzipped_by(level, &fs::read(packed.path())?)?)
        .with_context(|| format!("{} cannot be written", path.display()))
}

/// As `sha256sum *` prints them; `sha256sum -c SHA256SUMS` checks.
pub(super) fn checksums(folder: &Path) -> Result<()> {
    let mut names: Vec<String> = fs::read_dir(folder)?
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name != SUMS)
        .collect();
    names.sort();
    let mut text = String::new();
    for name in names {
        text.push_str(&format!("{}  {name}\n", sha256_hex(&fs::read(folder.join(&name))?)));
    }
    fs::write(folder.join(SUMS), text).context("the checksums cannot be written")
}

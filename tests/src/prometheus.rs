//! `promtool`, for alert rules and metrics.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::{paths, run};

/// Prometheus' own judge; fetched once. Debian's package is unpacked and not installed: installing it would start a server.
///
/// # Errors
/// This is no Debian, or there is no way to its packages.
pub fn promtool() -> Result<PathBuf> {
    let folder = paths::scratch().join("tools").join("prometheus");
    let program = folder.join("usr/bin/promtool");
    if program.is_file() {
        return Ok(program);
    }
    let parent = folder.parent().context("a folder of tools")?;
    fs::create_dir_all(parent).with_context(|| format!("in {}", parent.display()))?;
    let fetched = tempfile::tempdir_in(parent).context("a folder for a package")?;
    let download = || {
        let mut apt = run::command(["apt-get", "-qq", "download", "prometheus"]);
        run::must(apt.current_dir(fetched.path()))
    };
    // A fresh machine has no package lists yet.
    download()
        .or_else(|_| run::must(&mut run::command(["apt-get", "-qq", "update"])).and_then(|_| download()))?;
    let package = fs::read_dir(fetched.path())?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|end| end == "deb"))
        .context("apt-get fetched no package")?;
    let unpacked = fetched.path().join("unpacked");
    run::must(run::command(["dpkg-deb", "-x"]).arg(&package).arg(&unpacked))?;
    // Two tests may do this at once: the first one's stays.
    if fs::rename(&unpacked, &folder).is_err() && !program.is_file() {
        anyhow::bail!("{} has no promtool", folder.display());
    }
    Ok(program)
}

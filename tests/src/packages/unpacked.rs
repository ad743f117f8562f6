//! Programs of Debian packages that are unpacked and not installed: installing would start a server, or bring much along.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::{paths, run};

/// `program` (as `usr/bin/promtool`) of a package, or of `package/release`; fetched once. It has to run with what every Debian has.
///
/// # Errors
/// This is no Debian, or there is no way to its packages.
pub fn unpacked(package: &str, program: &str) -> Result<PathBuf> {
    let name = package.split('/').next().unwrap_or(package);
    let folder = paths::scratch().join("tools").join(name);
    let program = folder.join(program);
    if program.is_file() {
        return Ok(program);
    }
    let parent = folder.parent().context("a folder of tools")?;
    fs::create_dir_all(parent).with_context(|| format!("in {}", parent.display()))?;
    let fetched = tempfile::tempdir_in(parent).context("a folder for a package")?;
    let download = || {
        let mut apt = run::command(["apt-get", "-qq", "download", package]);
        run::must(apt.current_dir(fetched.path()))
    };
    // A fresh machine has no package lists yet.
    download()
        .or_else(|_| run::must(&mut run::command(["apt-get", "-qq", "update"])).and_then(|_| download()))?;
    let deb = fs::read_dir(fetched.path())?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|end| end == "deb"))
        .context("apt-get fetched no package")?;
    let unpacked = fetched.path().join("unpacked");
    run::must(run::command(["dpkg-deb", "-x"]).arg(&deb).arg(&unpacked))?;
    // Two tests may do this at once: the first one's stays.
    if fs::rename(&unpacked, &folder).is_err() && !program.is_file() {
        anyhow::bail!("{} is not there", program.display());
    }
    Ok(program)
}

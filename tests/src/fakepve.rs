//! PyPI's `fakepve`: a server that speaks Proxmox's API and the schema it checks requests with, both made by others.
//!
//! It is licensed under the AGPL: installed for tests, beside the repository, and never a part of it.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::{packages, paths, run};

/// Exactly these: what they check must not change under the tests.
const REQUIREMENTS: [&str; 2] = ["fakepve==0.5.0", "aiohttp==3.14.5"];
/// Is there once all of it is.
const MARK: &str = "complete";

/// A Python that has the package; made once, from PyPI.
///
/// # Errors
/// There is no Python, or no way to the packages.
pub fn ensure() -> Result<PathBuf> {
    let folder = paths::scratch().join("tools").join(REQUIREMENTS[0]);
    let python = folder.join("bin/python");
    // An environment dies with the Python that it was made with.
    if folder.join(MARK).is_file() && imports(&python) {
        return Ok(python);
    }
    packages::ensure(packages::PYTHON)?;
    // Debian keeps it in a package of its own.
    if run::must(&mut run::command(["python3", "-m", "ensurepip", "--version"])).is_err() {
        packages::install(&["python3-venv"])?;
    }
    eprintln!("installing {}", REQUIREMENTS.join(" "));
    run::must(run::command(["python3", "-m", "venv", "--clear"]).arg(&folder))?;
    run::must(
        std::process::Command::new(&python)
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
            .args(REQUIREMENTS),
    )
    .context("fakepve cannot be installed from PyPI")?;
    std::fs::write(folder.join(MARK), "").with_context(|| format!("in {}", folder.display()))?;
    Ok(python)
}

fn imports(python: &Path) -> bool {
    run::must(std::process::Command::new(python).args(["-c", "import fakepve.server"])).is_ok()
}

//! Programs from PyPI that only tests use, each in an environment of its own beside the repository.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::{packages, paths, run};

/// Is there once all of an environment is.
const MARK: &str = "complete";

/// The Python of an environment with these packages; made once, and called as the first of them. `probe`: a line of Python
/// that works there.
///
/// # Errors
/// There is no Python, or no way to the packages.
pub fn environment(requirements: &[&str], probe: &str) -> Result<PathBuf> {
    let name = requirements.first().context("no package is asked for")?;
    let folder = paths::scratch().join("tools").join(name);
    let python = folder.join("bin/python");
    // An environment dies with the Python that it was made with.
    if folder.join(MARK).is_file() && works(&python, probe) {
        return Ok(python);
    }
    packages::ensure(packages::PYTHON)?;
    // Debian keeps it in a package of its own.
    if run::must(&mut run::command(["python3", "-m", "ensurepip", "--version"])).is_err() {
        packages::install(&["python3-venv"])?;
    }
    eprintln!("installing {}", requirements.join(" "));
    run::must(run::command(["python3", "-m", "venv", "--clear"]).arg(&folder))?;
    run::must(
        Command::new(&python)
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
            .args(requirements),
    )
    .with_context(|| format!("{name} cannot be installed from PyPI"))?;
    std::fs::write(folder.join(MARK), "").with_context(|| format!("in {}", folder.display()))?;
    Ok(python)
}

fn works(python: &Path, probe: &str) -> bool {
    run::must(Command::new(python).args(["-c", probe])).is_ok()
}

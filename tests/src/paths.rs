//! Where things are, and the variables by which `cargo xtask test` hands them to the tests.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The companion that the tests run.
pub const COMPANION_VARIABLE: &str = "FIRSTLIGHT_BIN";
/// The guest's static binary that is baked into the goldens.
pub const GUEST_VARIABLE: &str = "FIRSTLIGHT_GUEST_BIN";
/// The folder of goldens, one `VARIANT.tar` each, and `login_key`.
pub const GOLDENS_VARIABLE: &str = "FIRSTLIGHT_GOLDENS";
/// A Python that has the package `fakepve`.
pub const FAKEPVE_VARIABLE: &str = "FIRSTLIGHT_FAKEPVE";
/// `ansible-playbook`.
pub const ANSIBLE_VARIABLE: &str = "FIRSTLIGHT_ANSIBLE";
/// axe-core's script.
pub const AXE_VARIABLE: &str = "FIRSTLIGHT_AXE";
/// A folder of packages: `1` and `2` by revision, `again` for comparison, `arm64` where the long matrices are wanted.
pub const PACKAGES_VARIABLE: &str = "FIRSTLIGHT_PACKAGES";
/// Where a benchmark appends its figures, as JSON lines.
pub const FIGURES_VARIABLE: &str = "FIRSTLIGHT_FIGURES";
/// Set by `cargo xtask test --full`: run the long matrices too.
pub const FULL_VARIABLE: &str = "FIRSTLIGHT_FULL";
/// Of a matrix on a real server, only the cases whose words hold this, to look into them again.
pub const ONLY_VARIABLE: &str = "FIRSTLIGHT_ONLY";

/// The repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the package is a folder of the workspace")
        .to_owned()
}

/// The folder for everything that the commands make, ignored by git.
pub fn scratch() -> PathBuf {
    root().join(".firstlight")
}

/// Where goldens are kept from run to run.
pub fn goldens() -> PathBuf {
    scratch().join("cache")
}

/// Cargo's output folder.
pub fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |folder| root().join(folder))
}

/// A path that `cargo xtask test` passed.
///
/// # Panics
/// Where it did not: a test that finds nothing to test must never count as passed.
pub fn given(variable: &str) -> PathBuf {
    let Some(value) = env::var_os(variable) else {
        panic!("{variable} is not set: run `cargo xtask test`, which builds what this test needs");
    };
    let path = PathBuf::from(value);
    assert!(path.exists(), "{variable} names {}, which is not there: run `cargo xtask test`", path.display());
    path
}

/// Whether the long matrices are wanted.
pub fn full() -> bool {
    env::var_os(FULL_VARIABLE).is_some()
}

/// The host's target triple, as rustc tells it.
pub fn host_triple() -> Result<String> {
    let version = crate::run::must(std::process::Command::new("rustc").arg("-vV"))?;
    let line = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(line.context("`rustc -vV` names no host")?.to_owned())
}

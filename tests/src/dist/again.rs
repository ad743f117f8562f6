//! `cargo xtask package --twice`: whether somebody else would get the same packages of this commit.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::archive::SUMS;
use crate::args::PackageArguments;
use crate::{build, paths, run};

/// Makes them a second time from a clone of the commit, in another folder and from nothing, and compares.
///
/// # Errors
/// There is something that is not committed, the second build fails, or a file differs.
pub(super) fn compare(arguments: &PackageArguments, first: &Path) -> Result<()> {
    let git = || {
        let mut git = run::command(["git"]);
        git.current_dir(paths::root());
        git
    };
    let open = run::must(git().args(["status", "--porcelain"]))?;
    ensure!(open.is_empty(), "commit first: the second build is one of the commit, and these differ\n{open}");
    let place = tempfile::Builder::new().prefix("firstlight-again-").tempdir()?;
    let checkout = place.path().join("checkout");
    run::must(git().args(["clone", "--quiet", "--no-hardlinks", "."]).arg(&checkout))?;
    eprintln!("building once more, in {}", checkout.display());
    let mut cargo = build::cargo();
    cargo.args(["run", "--quiet", "--package", "firstlight-tests", "--bin", "xtask", "--", "package"]);
    cargo.args(["--revision", &arguments.revision.to_string()]);
    if let Some(target) = &arguments.target {
        cargo.args(["--target", target]);
    }
    if arguments.dev {
        cargo.arg("--dev");
    }
    // Nothing of the first build is taken over.
    for variable in ["CARGO_TARGET_DIR", paths::COMPANION_VARIABLE, paths::GUEST_VARIABLE] {
        cargo.env_remove(variable);
    }
    run::must(cargo.current_dir(&checkout))?;
    let sums = |folder: &Path| {
        let path = folder.join(SUMS);
        fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))
    };
    let differ = differing(&sums(first)?, &sums(&checkout.join("target/packages"))?);
    ensure!(differ.is_empty(), "not the same when they are built again: {}", differ.join(", "));
    eprintln!("the same to the byte when they are built again");
    Ok(())
}

/// Files of the second list that the first has otherwise or not at all. The first may have more: packages of other machines.
fn differing(first: &str, second: &str) -> Vec<String> {
    let first: BTreeSet<&str> = first.lines().collect();
    let other = second.lines().filter(|line| !first.contains(line));
    other.map(|line| line.split_once("  ").map_or(line, |(_, name)| name).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_named() {
        for (first, second, differ) in [
            ("aa  one.deb\nbb  two.rpm\n", "aa  one.deb\n", &[][..]),
            ("aa  one.deb\n", "ab  one.deb\n", &["one.deb"]),
            ("", "ab  one.deb\n", &["one.deb"]),
        ] {
            assert_eq!(differing(first, second), differ);
        }
    }
}

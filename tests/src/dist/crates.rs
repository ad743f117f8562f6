//! Which crates are linked into a program, as cargo resolves them for it alone.
//!
//! Macros and build scripts are not: nothing of theirs is in the program but what they wrote.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::Product;
use crate::{build, paths, run};

/// A crate that is linked in.
#[derive(Debug, Clone)]
pub(super) struct Crate {
    pub name: String,
    pub version: String,
    /// An SPDX expression.
    pub licence: Option<String>,
    pub repository: Option<String>,
    /// Where its sources are on this machine.
    pub folder: PathBuf,
    /// SHA-256 of its archive, as Cargo.lock has it; none: a crate of this repository.
    pub checksum: Option<String>,
    /// Keys of the crates it uses.
    pub uses: Vec<String>,
}

impl Crate {
    /// `NAME VERSION`.
    pub(super) fn key(&self) -> String {
        format!("{} {}", self.name, self.version)
    }

    pub(super) fn is_ours(&self) -> bool {
        self.checksum.is_none()
    }
}

/// All of them, sorted, the program's own among them.
pub(super) fn linked(product: Product, target: &str) -> Result<Vec<Crate>> {
    let wanted = keys(&run::must(
        build::cargo()
            .args(["tree", "--locked", "--package", product.name(), "--target", target, "--prefix", "none"])
            .args(["--edges", "normal,no-proc-macro", "--format", "{p}"]),
    )?);
    let metadata = run::must(build::cargo().args([
        "metadata",
        "--locked",
        "--format-version",
        "1",
        "--filter-platform",
        target,
    ]))?;
    let metadata: Value = serde_json::from_str(&metadata).context("`cargo metadata` prints no JSON")?;
    let sums = checksums(&fs::read_to_string(paths::root().join("Cargo.lock"))?);
    let found = described(&metadata, &wanted, &sums)?;
    ensure!(
        found.len() == wanted.len(),
        "cargo tree and cargo metadata do not agree: {} and {}",
        wanted.len(),
        found.len()
    );
    Ok(found)
}

/// `NAME vVERSION ...` of each line.
fn keys(tree: &str) -> BTreeSet<String> {
    let key = |line: &str| {
        let mut words = line.split_whitespace();
        Some(format!("{} {}", words.next()?, words.next()?.strip_prefix('v')?))
    };
    tree.lines().filter_map(key).collect()
}

/// By `NAME VERSION`.
fn checksums(lock: &str) -> BTreeMap<String, String> {
    let of = |part: &str, name: &str| {
        let start = format!("{name} = \"");
        part.lines().find_map(|line| line.strip_prefix(&start)?.strip_suffix('"').map(str::to_owned))
    };
    let sum =
        |part: &str| Some((format!("{} {}", of(part, "name")?, of(part, "version")?), of(part, "checksum")?));
    lock.split("[[package]]").filter_map(sum).collect()
}

fn described(
    metadata: &Value,
    wanted: &BTreeSet<String>,
    sums: &BTreeMap<String, String>,
) -> Result<Vec<Crate>> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let key = |package: &Value| {
        format!(
            "{} {}",
            package["name"].as_str().unwrap_or_default(),
            package["version"].as_str().unwrap_or_default()
        )
    };
    let packages = list(&metadata["packages"]);
    let by_id: BTreeMap<&str, String> =
        packages.iter().filter_map(|package| Some((package["id"].as_str()?, key(package)))).collect();
    let uses: BTreeMap<String, Vec<String>> = list(&metadata["resolve"]["nodes"])
        .iter()
        .filter_map(|node| {
            let mut uses: Vec<String> = list(&node["deps"])
                .iter()
                .filter_map(|dep| {
                    by_id.get(dep["pkg"].as_str()?).filter(|key| wanted.contains(*key)).cloned()
                })
                .collect();
            uses.sort();
            uses.dedup();
            Some((by_id.get(node["id"].as_str()?)?.clone(), uses))
        })
        .collect();
    let mut found = Vec::new();
    for package in packages.iter().filter(|package| wanted.contains(&key(package))) {
        let manifest = PathBuf::from(package["manifest_path"].as_str().context("a package without a place")?);
        found.push(Crate {
            name: text(&package["name"]).context("a package without a name")?,
            version: text(&package["version"]).context("a package without a version")?,
            licence: text(&package["license"]).map(|licence| licence.replace('/', " OR ")),
            repository: text(&package["repository"]),
            folder: manifest.parent().context("a manifest without a folder")?.to_owned(),
            checksum: sums.get(&key(package)).cloned(),
            uses: uses.get(&key(package)).cloned().unwrap_or_default(),
        });
    }
    found.sort_by_key(Crate::key);
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cargo_prints_is_read() {
        let tree = "a v1.0.0 (/x)\nb v2.0.0\n\nb v2.0.0 (*)\n";
        assert_eq!(keys(tree).into_iter().collect::<Vec<_>>(), ["a 1.0.0", "b 2.0.0"]);
        let lock = "version = 4\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\n\n[[package]]\nname = \"b\"\nversion = \"2.0.0\"\nchecksum = \"ff\"\n";
        assert_eq!(
            checksums(lock).into_iter().collect::<Vec<_>>(),
            [("b 2.0.0".to_owned(), "ff".to_owned())]
        );
    }
}

//! `cargo xtask mutants`: cargo-mutants changes the code that decides, piece by piece; the unit tests must notice each change.
//!
//! Changes that mean nothing are listed in .cargo/mutants.toml, with the reason. Lines that tests run say less: a line can be
//! run by a test that would not notice if it did something else.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use comfy_table::presets;
use serde_json::Value;

use crate::{build, packages, paths};

/// The version that the list of exceptions was made with.
const INSTALL: &str = "cargo install --locked cargo-mutants@27.1.0";

/// Code that decides, and the tests that judge it.
struct Area {
    name: &'static str,
    package: &'static str,
    /// Where its tables are.
    targets: &'static [&'static str],
    /// Of these tests, those with such a part in their name; empty: all.
    tests: &'static [&'static str],
    files: &'static [&'static str],
}

const AREAS: &[Area] = &[
    Area {
        name: "beacon",
        package: "firstlight-shared",
        targets: &["--lib"],
        tests: &["beacon"],
        files: &[
            "shared/src/beacon/decode.rs",
            "shared/src/beacon/frame.rs",
            "shared/src/beacon/mod.rs",
            "shared/src/beacon/pieces.rs",
            "shared/src/beacon/report.rs",
        ],
    },
    Area {
        name: "identity",
        package: "firstlight-guest",
        targets: &["--lib"],
        tests: &["identity"],
        files: &["guest-agent/src/identity/decide.rs"],
    },
    Area {
        name: "journal",
        package: "firstlight",
        targets: &["--lib"],
        tests: &["job::"],
        files: &[
            "host-agent/src/job/deadline.rs",
            "host-agent/src/job/fold.rs",
            "host-agent/src/job/phase.rs",
        ],
    },
    Area {
        name: "verdict",
        package: "firstlight",
        targets: &["--lib"],
        tests: &["bringup::lookout", "intake::"],
        files: &["host-agent/src/bringup/lookout/judge.rs", "host-agent/src/intake/verdict.rs"],
    },
    // The servers' words are facts that were recorded; the tables over them are the contract tests.
    Area {
        name: "errors",
        package: "firstlight",
        targets: &["--lib", "--test", "incus", "--test", "proxmox"],
        tests: &["contract", "verdict"],
        files: &[
            "host-agent/src/backend/incus/client/verdict/classify.rs",
            "host-agent/src/backend/incus/client/verdict/retry.rs",
            "host-agent/src/backend/incus/client/verdict/text.rs",
            "host-agent/src/backend/proxmox/client/verdict/classify.rs",
            "host-agent/src/backend/proxmox/client/verdict/retry.rs",
            "host-agent/src/backend/proxmox/client/verdict/text.rs",
        ],
    },
];

/// What became of the mutants of one file.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Fates {
    /// A test failed, or did not end.
    caught: u32,
    missed: u32,
    /// Was no valid program.
    unviable: u32,
}

/// Runs one area, or all of them, and prints what became of the mutants of each file. `shard` is `K/N`: that part of them.
///
/// # Errors
/// cargo-mutants is missing or cannot work, or mutants lived on; it names them as it finds them.
pub fn mutants(area: Option<&str>, shard: Option<&str>) -> Result<()> {
    let chosen: Vec<&Area> = AREAS.iter().filter(|one| area.is_none_or(|area| area == one.name)).collect();
    let names: Vec<_> = AREAS.iter().map(|area| area.name).collect();
    ensure!(!chosen.is_empty(), "there is no area `{}`, only {}", area.unwrap_or_default(), names.join(", "));
    ensure!(installed(), "cargo-mutants is missing: `{INSTALL}`");
    let mut table = comfy_table::Table::new();
    table
        .load_style(presets::UTF8_BORDERS_ONLY)
        .set_header(["file", "mutants", "caught", "missed", "unviable"]);
    let mut missed = 0;
    for area in chosen {
        eprintln!("{}: changing {} files", area.name, area.files.len());
        for (file, fates) in run(area, shard)? {
            let Fates { caught, missed: lived, unviable } = fates;
            let numbers =
                [caught + lived + unviable, caught, lived, unviable].map(|number| number.to_string());
            table.add_row(std::iter::once(file).chain(numbers));
            missed += lived;
        }
    }
    println!("{table}");
    ensure!(
        missed == 0,
        "no test noticed {missed} mutants: what is missing is a test, or a reason in .cargo/mutants.toml"
    );
    Ok(())
}

fn run(area: &Area, shard: Option<&str>) -> Result<BTreeMap<String, Fates>> {
    let output = paths::scratch().join("mutants").join(area.name);
    fs::create_dir_all(&output).with_context(|| format!("{} cannot be made", output.display()))?;
    let mut cargo = build::cargo();
    cargo.args(["mutants", "--no-shuffle", "--colors", "never", "--package", area.package, "--output"]);
    cargo.arg(&output).args(area.files.iter().flat_map(|file| ["--file", file]));
    cargo.args(shard.iter().flat_map(|shard| ["--shard", shard]));
    // For building and for running alike: no other test is built.
    cargo.args(area.targets.iter().map(|word| format!("--cargo-arg={word}")));
    cargo.args(["--", "--"]).args(area.tests);
    // It works on a copy of the sources, of which dependencies are built once for all runs.
    cargo.env("CARGO_TARGET_DIR", paths::target().join("mutants"));
    let status = cargo.status().context("cargo cannot be started")?;
    // 2: mutants were missed; 3: a test did not end. All else is no answer.
    match status.code() {
        Some(0 | 2 | 3) => fates(&read(&output.join("mutants.out/outcomes.json"))?),
        _ => bail!("cargo-mutants ended with {status}; what it did is in {}", output.display()),
    }
}

fn read(path: &Path) -> Result<Value> {
    let text = fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is no JSON", path.display()))
}

/// By file, from `outcomes.json` of cargo-mutants.
fn fates(outcomes: &Value) -> Result<BTreeMap<String, Fates>> {
    let mut files: BTreeMap<String, Fates> = BTreeMap::new();
    for outcome in outcomes["outcomes"].as_array().context("cargo-mutants told no outcomes")? {
        // The other scenario is the unchanged code.
        let Some(file) = outcome["scenario"]["Mutant"]["file"].as_str() else { continue };
        let fates = files.entry(file.to_owned()).or_default();
        match outcome["summary"].as_str() {
            Some("CaughtMutant" | "Timeout") => fates.caught += 1,
            Some("MissedMutant") => fates.missed += 1,
            Some("Unviable") => fates.unviable += 1,
            other => bail!("cargo-mutants told an outcome that is not known here: {other:?}"),
        }
    }
    Ok(files)
}

/// Where cargo finds its subcommands.
fn installed() -> bool {
    let own = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".cargo")));
    packages::present("cargo-mutants") || own.is_some_and(|own| own.join("bin/cargo-mutants").is_file())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_file_of_an_area_is_there_and_belongs_to_its_package() {
        for area in AREAS {
            for file in area.files {
                let folder = file.split('/').next().unwrap();
                let manifest = fs::read_to_string(paths::root().join(folder).join("Cargo.toml")).unwrap();
                assert!(manifest.contains(&format!("name = \"{}\"", area.package)), "{}: {file}", area.name);
                assert!(paths::root().join(file).is_file(), "{}: there is no {file}", area.name);
            }
        }
    }

    #[test]
    fn outcomes_are_counted_by_file_and_an_unknown_one_is_no_success() {
        let mutant =
            |file: &str, summary: &str| json!({"scenario": {"Mutant": {"file": file}}, "summary": summary});
        let known = json!({"outcomes": [
            {"scenario": "Baseline", "summary": "Success"},
            mutant("a.rs", "CaughtMutant"), mutant("a.rs", "Timeout"), mutant("a.rs", "MissedMutant"),
            mutant("b.rs", "Unviable"),
        ]});
        let found = fates(&known).unwrap();
        assert_eq!(found["a.rs"], Fates { caught: 2, missed: 1, unviable: 0 });
        assert_eq!(found["b.rs"], Fates { caught: 0, missed: 0, unviable: 1 });
        assert_eq!(found.len(), 2);
        assert!(fates(&json!({"outcomes": [mutant("a.rs", "Failure")]})).is_err());
        assert!(fates(&json!({})).is_err());
    }
}

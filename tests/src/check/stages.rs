//! What the stages are.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use serde_json::Value;

use super::Stage;
use crate::golden::{self, Variant};
use crate::{ansible, build, fakepve, packages, paths, run};

/// The part that needs neither root nor network.
pub(super) fn plain(full: bool) -> Result<Vec<Stage>> {
    let mut stages = vec![
        Stage::new("fmt", cargo(&["fmt", "--all", "--check"])),
        Stage::new(
            "clippy",
            cargo(&[
                "clippy",
                "--quiet",
                "--workspace",
                "--all-targets",
                "--all-features",
                "--",
                "-D",
                "warnings",
            ]),
        ),
        Stage::new("unit", {
            let mut unit = cargo(&["test", "--quiet", "--no-fail-fast", "--workspace"]);
            lengthen(&mut unit, full);
            unit
        }),
        Stage::new("doc", {
            let mut doc = cargo(&["doc", "--quiet", "--workspace", "--no-deps", "--document-private-items"]);
            doc.env("RUSTDOCFLAGS", "-D warnings");
            doc
        }),
    ];
    // In CI nothing is skipped: a tool that is missing there fails its stage.
    let strict = std::env::var_os("CI").is_some();
    match deny() {
        Some(deny) => stages.push(Stage::new("deny", deny)),
        None if strict => stages.push(Stage::new("deny", Command::new("cargo-deny"))),
        None => println!("deny         skipped: cargo-deny is not installed"),
    }
    let scripts = shell_scripts()?;
    if strict || packages::present("shellcheck") {
        let mut shellcheck = Command::new("shellcheck");
        shellcheck.args(scripts);
        stages.push(Stage::new("shellcheck", shellcheck));
    } else {
        println!("shellcheck   skipped: it is not installed");
    }
    Ok(stages)
}

/// The companion's library on a real PostgreSQL, and several companions on one.
pub(super) fn with_postgresql(full: bool) -> Result<Stage> {
    packages::ensure(packages::POSTGRESQL)?;
    let mut tests =
        cargo(&["test", "--quiet", "--no-fail-fast", "--package", "firstlight", "--features", "e2e"]);
    for name in postgresql_tests()? {
        tests.args(["--test", &name]);
    }
    lengthen(&mut tests, full);
    Ok(Stage::new("postgresql", tests))
}

/// Runs among the units with the embedded store, and again with the feature, on the real server as well.
const ON_BOTH: &str = "store";

/// The test programs that the companion builds only with the feature; the others have run among the units.
fn postgresql_tests() -> Result<Vec<String>> {
    let metadata = run::must(&mut cargo(&["metadata", "--no-deps", "--format-version", "1"]))?;
    let metadata: Value = serde_json::from_str(&metadata)?;
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let packages = list(&metadata["packages"]);
    let companion = packages.iter().filter(|package| package["name"] == "firstlight");
    let wanted = |target: &Value| {
        list(&target["kind"]).contains(&"test".into())
            && list(&target["required-features"]).contains(&"e2e".into())
    };
    let mut names = companion
        .flat_map(|package| list(&package["targets"]))
        .filter(wanted)
        .filter_map(|target| target["name"].as_str().map(str::to_owned))
        .collect::<Vec<_>>();
    // Without a name cargo would run all that ran before, and none of these.
    anyhow::ensure!(!names.is_empty(), "no test of the companion needs the feature `e2e`");
    names.push(ON_BOTH.to_owned());
    Ok(names)
}

/// Proxmox's client and backend against a server and a schema that others made, and what other tools are told to run.
pub(super) fn with_others(full: bool) -> Result<Stage> {
    let python = fakepve::ensure()?;
    let ansible = ansible::ensure()?;
    let mut tests =
        cargo(&["test", "--quiet", "--no-fail-fast", "--package", "firstlight", "--features", "e2e"]);
    tests.args(["--test", "proxmox", "--", "conformance::"]).env(paths::FAKEPVE_VARIABLE, python);
    tests.env(paths::ANSIBLE_VARIABLE, ansible);
    lengthen(&mut tests, full);
    Ok(Stage::new("conformance", tests))
}

/// Passes `--full` on.
fn lengthen(tests: &mut Command, full: bool) {
    if full {
        tests.env(paths::FULL_VARIABLE, "1");
    }
}

/// The part with real guests: builds what they need, then runs the end-to-end tests.
pub(super) fn with_guests(full: bool) -> Result<Stage> {
    anyhow::ensure!(
        nix::unistd::geteuid().is_root(),
        "real guests need root; `cargo xtask test --fast` is the part without"
    );
    packages::ensure(packages::GUESTS)?;
    packages::ensure(packages::TESTS)?;
    packages::ensure_incus()?;
    let programs = build::programs(false)?;
    let goldens = golden::ensure(&programs.guest, Variant::ALL)?;
    let mut tests =
        cargo(&["test", "--quiet", "--no-fail-fast", "--package", "firstlight-tests", "--features", "e2e"]);
    tests.args(["--test", "e2e", "--", "--test-threads=2"]);
    tests.env(paths::COMPANION_VARIABLE, programs.companion).env(paths::GUEST_VARIABLE, programs.guest);
    tests.env(paths::GOLDENS_VARIABLE, goldens);
    lengthen(&mut tests, full);
    Ok(Stage::new("end to end", tests))
}

fn cargo(words: &[&str]) -> Command {
    let mut cargo = build::cargo();
    cargo.args(words);
    cargo
}

/// Without the advisories: their database comes over the network.
fn deny() -> Option<Command> {
    let own = paths::scratch().join("tools/bin/cargo-deny");
    let program = if own.is_file() { own } else { PathBuf::from("cargo-deny") };
    (program.is_absolute() || packages::present("cargo-deny")).then(|| {
        let mut deny = Command::new(program);
        deny.args(["--log-level", "error", "check", "bans", "licenses", "sources"]);
        deny
    })
}

/// Every script in the repository that begins with a shell's name.
fn shell_scripts() -> Result<Vec<PathBuf>> {
    let listed = run::must(
        run::command(["git", "ls-files", "--cached", "--others", "--exclude-standard"])
            .current_dir(paths::root()),
    )?;
    let is_shell = |path: &Path| {
        let text = std::fs::read(path).unwrap_or_default();
        let first = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
        first.starts_with(b"#!") && (first.ends_with(b"sh") || first.ends_with(b"bash"))
    };
    Ok(listed.lines().map(|line| paths::root().join(line)).filter(|path| is_shell(path)).collect())
}

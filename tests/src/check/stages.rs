//! What the stages are.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::Stage;
use crate::build::Programs;
use crate::golden::{self, Variant};
use crate::{ansible, audit, axe, build, dist, fakepve, packages, paths, run};

/// What tests run against that is not of the repository: servers of others, goldens, both programs.
#[derive(Debug)]
pub(super) struct Ground {
    /// The Python that has a Proxmox API made by others, and its schema.
    fakepve: PathBuf,
    ansible: PathBuf,
    axe: PathBuf,
    programs: Programs,
    goldens: PathBuf,
    packages: PathBuf,
}

/// What can be had while the first stages work: it seldom takes more than one processor.
#[derive(Debug)]
pub(super) struct Beside {
    fakepve: PathBuf,
    ansible: PathBuf,
    axe: PathBuf,
}

/// Installs all that tests need besides the toolchain; makes the goldens' bases, and the guest's program.
pub(super) fn beside() -> Result<Beside> {
    anyhow::ensure!(
        nix::unistd::geteuid().is_root(),
        "real servers and guests need root; `cargo xtask test --fast` is the part without"
    );
    for wanted in [packages::POSTGRESQL, packages::GUESTS, packages::TESTS, packages::BROWSER] {
        packages::ensure(wanted)?;
    }
    packages::ensure_incus()?;
    dist::prepare()?;
    // Its profile has a target folder, and so a lock, of its own.
    build::guest()?;
    let beside =
        Beside { fakepve: fakepve::ensure()?, ansible: ansible::ensure()?, axe: axe::ensure_script()? };
    golden::ensure_bases(Variant::ALL)?;
    Ok(beside)
}

/// The goldens with both programs, and their packages; once the companion's tests are built.
pub(super) fn ground(Beside { fakepve, ansible, axe }: Beside, full: bool) -> Result<Ground> {
    let programs = build::programs_of_tests()?;
    let goldens = golden::ensure(&programs.guest, Variant::ALL)?;
    let packages = dist::for_tests(&programs, full)?;
    Ok(Ground { fakepve, ansible, axe, programs, goldens, packages })
}

/// What takes moments.
pub(super) fn looks() -> Result<Vec<Stage>> {
    let mut stages = vec![Stage::new("fmt", cargo(&["fmt", "--all", "--check"]))];
    // In CI nothing is skipped: a tool that is missing there fails its stage.
    let strict = std::env::var_os("CI").is_some();
    match deny() {
        Some(deny) => stages.push(Stage::new("deny", deny)),
        None if strict => stages.push(Stage::new("deny", Command::new("cargo-deny"))),
        None => println!("deny         skipped: cargo-deny is not installed"),
    }
    if strict || packages::present("shellcheck") {
        let mut shellcheck = Command::new("shellcheck");
        shellcheck.args(shell_scripts()?);
        stages.push(Stage::new("shellcheck", shellcheck));
    } else {
        println!("shellcheck   skipped: it is not installed");
    }
    Ok(stages)
}

pub(super) fn clippy() -> Stage {
    let words =
        ["clippy", "--quiet", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"];
    Stage::new("clippy", cargo(&words))
}

/// The companion as it is shipped: what tests depend on lends it no feature that its own manifest forgot.
pub(super) fn alone() -> Stage {
    Stage::new("alone", cargo(&["check", "--quiet", "--package", "firstlight"]))
}

pub(super) fn doc() -> Stage {
    let mut doc = cargo(&["doc", "--quiet", "--workspace", "--no-deps", "--document-private-items"]);
    doc.env("RUSTDOCFLAGS", "-D warnings");
    Stage::new("doc", doc)
}

/// What the programs are made of does not change by itself, what is known of it does: only where it can be had.
pub(super) fn audit() -> Option<Stage> {
    if !audit::reachable() {
        println!(
            "audit        not looked at: the advisories cannot be had from here (`cargo xtask audit --database DIR`)"
        );
        return None;
    }
    let mut audit = Command::new(std::env::current_exe().unwrap_or_else(|_| "xtask".into()));
    audit.arg("audit");
    Some(Stage::new("audit", audit))
}

/// One build for all: with the feature, each program of the companion's is another.
const WITH_GROUND: [&str; 2] = ["--features", "firstlight/e2e"];

/// The programs of the tests that need a ground, while it is made.
pub(super) fn unit_programs() -> Stage {
    let mut build = cargo(&["test", "--quiet", "--no-run"]);
    build.args(super::UNITS).args(WITH_GROUND);
    Stage::new("unit build", build)
}

/// Without a ground, the part that needs neither root nor network; with it, the companion's tests on real servers, too.
pub(super) fn units(ground: Option<&Ground>, full: bool) -> Stage {
    let mut unit = cargo(&["test", "--quiet", "--no-fail-fast"]);
    unit.args(super::UNITS);
    if let Some(ground) = ground {
        unit.args(WITH_GROUND);
        unit.env(paths::FAKEPVE_VARIABLE, &ground.fakepve).env(paths::ANSIBLE_VARIABLE, &ground.ansible);
        unit.env(paths::GOLDENS_VARIABLE, &ground.goldens);
    }
    lengthen(&mut unit, full);
    Stage::new("unit", unit)
}

/// Passes `--full` on.
fn lengthen(tests: &mut Command, full: bool) {
    if full {
        tests.env(paths::FULL_VARIABLE, "1");
    }
}

/// The part with real guests.
pub(super) fn guests(ground: &Ground, full: bool) -> Stage {
    let mut tests =
        cargo(&["test", "--quiet", "--no-fail-fast", "--package", "firstlight-tests", "--features", "e2e"]);
    tests.args(["--test", "e2e", "--test", "browser", "--", "--test-threads=2"]);
    let Ground { programs, goldens, axe, packages, .. } = ground;
    tests.env(paths::COMPANION_VARIABLE, &programs.companion).env(paths::GUEST_VARIABLE, &programs.guest);
    tests.env(paths::GOLDENS_VARIABLE, goldens).env(paths::AXE_VARIABLE, axe);
    tests.env(paths::PACKAGES_VARIABLE, packages);
    lengthen(&mut tests, full);
    Stage::new("end to end", tests)
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

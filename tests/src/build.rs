//! Building the two programs.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::{packages, paths, run};

/// The programs that were built.
#[derive(Debug, Clone)]
pub struct Programs {
    pub companion: PathBuf,
    pub guest: PathBuf,
}

/// Builds both, or takes those that the environment names.
pub fn programs(release: bool) -> Result<Programs> {
    programs_with(|| companion(release))
}

/// The companion that cargo made for its tests, and the guest's program: nothing is built twice. The features of tests
/// change no program.
pub fn programs_of_tests() -> Result<Programs> {
    programs_with(|| built(paths::target().join("debug/firstlight")))
}

fn programs_with(companion: impl FnOnce() -> Result<PathBuf>) -> Result<Programs> {
    if let (Some(companion), Some(guest)) =
        (env::var_os(paths::COMPANION_VARIABLE), env::var_os(paths::GUEST_VARIABLE))
    {
        return Ok(Programs { companion: companion.into(), guest: guest.into() });
    }
    Ok(Programs { companion: companion()?, guest: guest()? })
}

fn companion(release: bool) -> Result<PathBuf> {
    let mut cargo = cargo();
    cargo.args(["build", "--package", "firstlight"]).args(release.then_some("--release"));
    eprintln!("building the companion");
    run::must(&mut cargo)?;
    built(paths::target().join(if release { "release" } else { "debug" }).join("firstlight"))
}

/// Builds the guest's static binary, or takes the one that the environment names.
///
/// The guest's flags are given for its own build only: the companion needs no static libc.
pub fn guest() -> Result<PathBuf> {
    if let Some(guest) = env::var_os(paths::GUEST_VARIABLE) {
        return Ok(guest.into());
    }
    let triple = paths::host_triple()?;
    eprintln!("building the guest's static binary");
    run::must(cargo().args(["build", "--config", "guest-agent/static.toml", "--profile", "guest"]).args([
        "--target",
        &triple,
        "--package",
        "firstlight-guest",
    ]))?;
    built(paths::target().join(triple).join("guest").join("firstlight-guest"))
}

/// Builds the guest's static binary for another machine, with Debian's cross compiler: ring is partly C.
pub fn guest_for(target: &str) -> Result<PathBuf> {
    if target == paths::host_triple()? {
        return guest();
    }
    let machine = target.split('-').next().unwrap_or_default();
    ensure!(
        target == "aarch64-unknown-linux-gnu",
        "there is no cross compiler for {target} here: only aarch64-unknown-linux-gnu is known"
    );
    packages::ensure(packages::CROSS)?;
    if !Path::new("/usr/aarch64-linux-gnu/lib/libc.a").exists() {
        packages::install(&["libc6-dev-arm64-cross"])?;
    }
    run::must(run::command(["rustup", "target", "add", target]).current_dir(paths::root()))
        .context("the standard library of the other machine cannot be had")?;
    eprintln!("building the guest's static binary for {machine}");
    let mut cargo = cargo();
    cargo.args(["build", "--locked", "--config", "guest-agent/static.toml", "--profile", "guest"]);
    cargo.args(["--target", target, "--package", "firstlight-guest"]);
    cargo.env(format!("CC_{}", target.replace('-', "_")), format!("{machine}-linux-gnu-gcc"));
    run::must(&mut cargo)?;
    built(paths::target().join(target).join("guest").join("firstlight-guest"))
}

/// Builds one of the companion's benchmarks, and says where it is.
pub fn bench(name: &str, dev: bool) -> Result<PathBuf> {
    let mut cargo = cargo();
    cargo.args(["bench", "--no-run", "--message-format=json-render-diagnostics"]);
    cargo.args(["--package", "firstlight", "--bench", name]);
    if dev {
        cargo.args(["--profile", "dev"]);
    }
    eprintln!("building the {name}{}", if dev { "" } else { ", optimised: the first time takes minutes" });
    let told = run::must(&mut cargo)?;
    let program = told.lines().find_map(|line| {
        let artifact: serde_json::Value = serde_json::from_str(line).ok()?;
        let ours = artifact["reason"] == "compiler-artifact" && artifact["target"]["name"] == name;
        artifact["executable"].as_str().filter(|_| ours).map(PathBuf::from)
    });
    built(program.with_context(|| format!("cargo does not say where the {name} is"))?)
}

/// Cargo in the repository, as quiet as it can be.
pub fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(paths::root()).env("CARGO_TERM_COLOR", "never").env("RUST_BACKTRACE", "0");
    cargo.env_remove("RUSTFLAGS");
    cargo
}

fn built(path: PathBuf) -> Result<PathBuf> {
    ensure!(path.is_file(), "cargo built no {}", path.display());
    Ok(path)
}

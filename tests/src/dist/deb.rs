//! The .deb: cargo-deb packs the staged tree, as `[package.metadata.deb]` in the program's Cargo.toml says.
//!
//! cargo-deb is installed below `.firstlight/tools`, unoptimised and without its own xz: 40 seconds of one processor. (The
//! wheel on PyPI is version 2 of 2023, which knows no sysusers.d.)

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{Order, VERSION, stage};
use crate::golden::Layer;
use crate::{build, paths, run};

const CARGO_DEB: &str = "3.8.0";

/// The pinned cargo-deb.
pub(super) fn tool() -> Result<PathBuf> {
    let folder = paths::scratch().join(format!("tools/cargo-deb-{CARGO_DEB}"));
    let program = folder.join("bin/cargo-deb");
    if !program.is_file() {
        eprintln!("installing cargo-deb {CARGO_DEB}; this is done once");
        let mut cargo = build::cargo();
        cargo
            .args(["install", "--quiet", "--locked", "--debug", "--no-default-features", "--root"])
            .arg(&folder);
        cargo.arg(format!("cargo-deb@{CARGO_DEB}")).env_remove("CARGO_TARGET_DIR");
        run::must(&mut cargo).context("cargo-deb could not be installed; can cargo reach its registry?")?;
    }
    Ok(program)
}

/// Debian's name of the machine.
fn architecture(machine: &str) -> &str {
    match machine {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// `NAME_VERSION-REVISION_ARCHITECTURE.deb`
fn name(order: &Order) -> String {
    let (product, machine) = (order.product.name(), architecture(order.machine()));
    format!("{product}_{VERSION}-{}_{machine}.deb", order.revision)
}

pub(super) fn make(order: &Order, tree: &Layer, moment: u64, folder: &Path) -> Result<()> {
    tree.write_to(&stage(order, "deb")?)?;
    let mut pack = std::process::Command::new(tool()?);
    pack.current_dir(paths::root()).env("SOURCE_DATE_EPOCH", moment.to_string());
    pack.args(["--no-build", "--no-strip", "--locked", "--quiet", "--compress-system"]);
    pack.args(["--package", order.product.name(), "--deb-revision", &order.revision.to_string()]);
    if order.quick {
        pack.arg("--fast");
    }
    if !order.is_native() {
        pack.args(["--target", &order.target]);
    }
    run::must(pack.arg("--output").arg(folder.join(name(order))))?;
    Ok(())
}

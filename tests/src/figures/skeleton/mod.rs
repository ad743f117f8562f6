//! `cargo xtask bench skeleton`: one whole bring-up and the identity phase, each against the bare way.

mod bring_up;
mod identity;

use anyhow::{Result, ensure};

use super::Table;
use crate::golden::{self, Variant};
use crate::{build, packages};

/// # Errors
/// Not root, a tool is missing, or a bring-up failed.
pub fn skeleton(release: bool) -> Result<()> {
    ensure!(nix::unistd::geteuid().is_root(), "the figures need real guests: run this as root");
    packages::ensure(packages::GUESTS)?;
    let programs = build::programs(release)?;
    let goldens = golden::ensure(&programs.guest, &[Variant::Agent, Variant::Floor])?;
    let mut table = Table::default();
    let pairs = bring_up::measure(&programs.companion, &goldens)?;
    let bare = ("unpack, boot, keys by a shell unit, until sshd greets", &*pairs.floor);
    table.ratio("bring-up of one guest: `up` to done", &pairs.ours, bare, 1.10);
    let pairs = identity::measure(&goldens)?;
    table.ratio("identity phase, as a unit", &pairs.ours, ("`ssh-keygen -A`", &pairs.floor), 0.20);
    table.print();
    Ok(())
}

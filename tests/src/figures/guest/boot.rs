//! Whole first boots: until ssh answers, and cloud-init's stages before it.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::super::Pairs;
use super::unit;
use crate::golden::{self, Variant};
use crate::guest::{Leader, bare};

/// Boots with us and with baked keys in turns, each as a first boot, until sshd greets.
pub(super) fn until_ssh(goldens: &Path, boots: usize) -> Result<Pairs> {
    let ours = bare::Root::unpack(&golden::archive(goldens, Variant::Agent))?;
    let stock = bare::Root::unpack(&golden::archive(goldens, Variant::Stock))?;
    nix::unistd::sync();
    let mut pairs = Pairs::default();
    // The first pair warms the page cache and is not counted.
    for run in 0..=boots {
        let of_ours = ssh_time(&ours, true)?;
        let of_stock = ssh_time(&stock, false)?;
        if run > 0 {
            pairs.ours.push(of_ours);
            pairs.floor.push(of_stock);
        }
    }
    Ok(pairs)
}

fn ssh_time(root: &bare::Root, forget_keys: bool) -> Result<Duration> {
    unboot(&root.path(), forget_keys)?;
    let start = Instant::now();
    let booted = root.boot("bench")?;
    booted.await_ssh()?;
    Ok(start.elapsed())
}

/// The identity unit and, in the same boots, cloud-init's stages that sshd waits for.
pub(super) fn beside_cloud_init(goldens: &Path, boots: usize) -> Result<Pairs> {
    let root = bare::Root::unpack(&golden::archive(goldens, Variant::Cloud))?;
    // Nobody gives addresses here, and waiting for one is not cloud-init's share.
    let wait = "etc/systemd/system/network-online.target.wants/systemd-networkd-wait-online.service";
    fs::remove_file(root.path().join(wait)).context("the golden does not wait for the network any more")?;
    nix::unistd::sync();
    let mut pairs = Pairs::default();
    for run in 0..=boots {
        unboot(&root.path(), true)?;
        let booted = root.boot("bench")?;
        let (guest, _) = booted.settled()?;
        let ours = unit::spent(guest, unit::IDENTITY)?;
        let theirs = cloud_init(guest).context("no unit of cloud-init ran in this boot")?;
        if run > 0 {
            pairs.ours.push(ours);
            pairs.floor.push(theirs);
        }
    }
    Ok(pairs)
}

/// Makes a root that has booted as good as new.
fn unboot(root: &Path, forget_keys: bool) -> Result<()> {
    for folder in ["var/lib/firstlight", "var/lib/cloud", "var/log/journal"] {
        let _ = fs::remove_dir_all(root.join(folder)); // not there before the first boot
    }
    fs::write(root.join("etc/machine-id"), "")?;
    let _ = fs::remove_file(root.join("etc/hostname"));
    if forget_keys {
        for entry in fs::read_dir(root.join("etc/ssh"))?.flatten() {
            if entry.file_name().to_string_lossy().starts_with("ssh_host_") {
                fs::remove_file(entry.path())?;
            }
        }
    }
    Ok(())
}

/// The stages that are ordered before sshd, by the names of cloud-init 24.3 and later, and before; none if none ran.
fn cloud_init(guest: Leader) -> Option<Duration> {
    let units = [
        "cloud-init-main.service",
        "cloud-init-local.service",
        "cloud-init-network.service",
        "cloud-init.service",
    ];
    units.iter().filter_map(|unit| unit::spent(guest, unit).ok()).reduce(|sum, time| sum + time)
}

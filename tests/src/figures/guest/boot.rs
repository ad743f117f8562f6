//! Whole first boots: until ssh answers, and cloud-init's share of the way there.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::super::Pairs;
use super::unit;
use crate::golden::{self, Variant};
use crate::guest::bare;

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

/// The identity unit and, in the same boots, the units of cloud-init on the critical chain to sshd.
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
        let chain =
            guest.run(&["/usr/bin/systemd-analyze", "--no-pager", "critical-chain", "ssh.service"])?;
        let theirs = share_of(&chain.stdout, "cloud-");
        let theirs = theirs.with_context(|| format!("cloud-init is not on the chain: {}", chain.said()))?;
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

/// Sum of the `+TIME` of the chain's units whose names begin so; none if there is no such unit.
fn share_of(chain: &str, prefix: &str) -> Option<Duration> {
    let times = chain.lines().filter_map(|line| {
        let unit = line.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
        if !unit.starts_with(prefix) {
            return None;
        }
        span(unit.split_once(" +")?.1)
    });
    times.reduce(|sum, time| sum + time)
}

/// systemd's way to write a span: `1min 2.345s`, `567ms`, `12us`.
fn span(text: &str) -> Option<Duration> {
    let mut sum = Duration::ZERO;
    for word in text.split_whitespace() {
        let unit = word.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        let number: f64 = word[..word.len() - unit.len()].parse().ok()?;
        let seconds = match unit {
            "min" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" => 1e-6,
            _ => return None,
        };
        sum += Duration::from_secs_f64(number * seconds);
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_of_a_chain_is_the_sum_of_its_units() {
        let chain = "The time when unit became active or started is printed after the \"@\" character.\n\n\
            ssh.service +21ms\n\u{2514}\u{2500}basic.target @1.2s\n  \u{2514}\u{2500}cloud-init-network.service @1.1s +1.050s\n\
            \u{20}   \u{2514}\u{2500}cloud-init-local.service @300ms +550ms\n      \u{2514}\u{2500}systemd-journald.socket @100ms\n";
        assert_eq!(share_of(chain, "cloud-"), Some(Duration::from_millis(1600)));
        assert_eq!(share_of(chain, "other-"), None);
        assert_eq!(span("1min 2.5s"), Some(Duration::from_millis(62_500)));
        assert_eq!(span("soon"), None);
    }
}

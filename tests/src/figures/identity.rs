//! The identity phase in a real guest, from exec to exit as the guest's systemd times it, against `ssh-keygen -A`.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::Pairs;
use crate::golden::{self, Variant};
use crate::guest::{Leader, bare};

const RUNS: usize = 30;
const FORGET: &str = "rm -rf /etc/ssh/ssh_host_* /var/lib/firstlight /run/firstlight";

/// What must be over before sshd may start, and the same with the late RSA key.
pub(super) fn measure(goldens: &Path) -> Result<(Pairs, Pairs)> {
    let root = bare::Root::unpack(&golden::archive(goldens, Variant::Silent))?;
    let booted = root.boot("bench")?;
    let (guest, _) = booted.settled()?;
    let mut to_sshd = Pairs::default();
    let mut whole = Pairs::default();
    for run in 0..=RUNS {
        let ours = timed(guest, &format!("ours-{run}"), "/usr/bin/firstlight-guest identity")?;
        let late = timed_late(guest, run)?;
        let floor = timed(guest, &format!("floor-{run}"), "/usr/bin/ssh-keygen -A")?;
        if run > 0 {
            to_sshd.ours.push(ours);
            to_sshd.floor.push(floor);
            whole.ours.push(ours + late);
            whole.floor.push(floor);
        }
    }
    Ok((to_sshd, whole))
}

/// Forgets all keys, then runs one command as a unit.
fn timed(guest: Leader, name: &str, command: &str) -> Result<Duration> {
    guest.run(&["/bin/sh", "-c", FORGET])?;
    unit_time(guest, name, command)
}

/// `report` right after an identity phase: makes the pending RSA key, then everything else of the late phase.
fn timed_late(guest: Leader, run: usize) -> Result<Duration> {
    unit_time(guest, &format!("late-{run}"), "/usr/bin/firstlight-guest report")
}

fn unit_time(guest: Leader, name: &str, command: &str) -> Result<Duration> {
    let unit = format!("bench-{name}.service");
    let unit_option = format!("--unit={unit}");
    let mut words = vec![
        "/usr/bin/systemd-run",
        "--quiet",
        &unit_option,
        "-p",
        "Type=oneshot",
        "-p",
        "RemainAfterExit=yes",
    ];
    words.extend(command.split(' '));
    let ran = guest.run(&words)?;
    ensure!(ran.ok(), "`{command}` failed in the guest: {}", ran.said());
    let shown = guest.run(&[
        "/usr/bin/systemctl",
        "show",
        &unit,
        "-p",
        "ExecMainStartTimestampMonotonic,ExecMainExitTimestampMonotonic",
    ])?;
    guest.run(&["/usr/bin/systemctl", "stop", &unit])?;
    let stamp = |name: &str| -> Result<u64> {
        let line = shown
            .stdout
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .context("systemd shows no times")?;
        Ok(line.trim_start_matches('=').parse()?)
    };
    let spent =
        stamp("ExecMainExitTimestampMonotonic")?.saturating_sub(stamp("ExecMainStartTimestampMonotonic")?);
    Ok(Duration::from_micros(spent))
}

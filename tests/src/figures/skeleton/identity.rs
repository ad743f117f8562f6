//! The identity phase in a real guest, from exec to exit as the guest's systemd times it, against `ssh-keygen -A`.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::super::Pairs;
use crate::golden::{self, Variant};
use crate::guest::{Leader, bare};

const RUNS: usize = 30;
const FORGET: &str = "rm -rf /etc/ssh/ssh_host_* /var/lib/firstlight /run/firstlight";

/// What must be over before sshd may start. RSA is made later, so that it never holds sshd up; `ssh-keygen -A` makes it
/// at once: that is the point of the comparison.
pub(super) fn measure(goldens: &Path) -> Result<Pairs> {
    let root = bare::Root::unpack(&golden::archive(goldens, Variant::Silent))?;
    let booted = root.boot("bench")?;
    let (guest, _) = booted.settled()?;
    // The unpacked root goes to the disk now, not under the first fsync that is timed.
    nix::unistd::sync();
    let mut pairs = Pairs::default();
    // The first pair warms the page cache and is not counted.
    for run in 0..=RUNS {
        let ours = timed(guest, &format!("ours-{run}"), "/usr/bin/firstlight-guest identity")?;
        let floor = timed(guest, &format!("floor-{run}"), "/usr/bin/ssh-keygen -A")?;
        if run > 0 {
            pairs.ours.push(ours);
            pairs.floor.push(floor);
        }
    }
    Ok(pairs)
}

/// Forgets all keys, then runs one command as a unit.
fn timed(guest: Leader, name: &str, command: &str) -> Result<Duration> {
    guest.run(&["/bin/sh", "-c", FORGET])?;
    unit_time(guest, name, command)
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

//! The identity phase as the unit that it is, beside a unit of the same options that runs `/bin/true`.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::guest::Leader;
use crate::paths;

pub(super) const IDENTITY: &str = "firstlight-identity.service";
pub(super) const OURS: &str = "bench-identity.service";
pub(super) const TRUE: &str = "bench-true.service";

/// Writes both units into a root that is not running.
pub(super) fn prepare(root: &Path) -> Result<()> {
    let unit = fs::read_to_string(paths::root().join("units/guest").join(IDENTITY))?;
    let begins = |line: &&str| line.starts_with("ExecStart=");
    ensure!(unit.lines().filter(begins).count() == 1, "{IDENTITY} starts other than one program");
    // Without [Install]: nothing wants them, so that the boot is as it was.
    let unit = unit.split("[Install]").next().unwrap_or_default();
    // Each is started again and again, so it must stop.
    let ours: Vec<&str> = unit.lines().filter(|line| !line.starts_with("RefuseManualStop=")).collect();
    let of_true: Vec<&str> =
        ours.iter().map(|line| if begins(line) { "ExecStart=/bin/true" } else { line }).collect();
    let folder = root.join("etc/systemd/system");
    for (name, lines) in [(OURS, ours), (TRUE, of_true)] {
        fs::write(folder.join(name), format!("{}\n", lines.join("\n")))?;
    }
    Ok(())
}

/// From the start of the job until what waits for the unit may go on.
pub(super) fn start(guest: Leader, unit: &str) -> Result<Duration> {
    let ran = guest.run(&["/usr/bin/systemctl", "start", unit])?;
    ensure!(ran.ok(), "{unit} cannot be started: {}", ran.said());
    let spent = spent(guest, unit)?;
    let ran = guest.run(&["/usr/bin/systemctl", "stop", unit])?;
    ensure!(ran.ok(), "{unit} cannot be stopped: {}", ran.said());
    Ok(spent)
}

/// The same of a unit that is up.
pub(super) fn spent(guest: Leader, unit: &str) -> Result<Duration> {
    const STAMPS: [&str; 2] = ["InactiveExitTimestampMonotonic=", "ActiveEnterTimestampMonotonic="];
    let shown = guest.run(&["/usr/bin/systemctl", "show", unit])?;
    let stamp = |name: &str| -> Result<u64> {
        let value = shown.stdout.lines().find_map(|line| line.strip_prefix(name));
        Ok(value.with_context(|| format!("systemd shows no times of {unit}"))?.parse()?)
    };
    let (left, entered) = (stamp(STAMPS[0])?, stamp(STAMPS[1])?);
    ensure!(0 < left && left <= entered, "{unit} has not become active");
    Ok(Duration::from_micros(entered - left))
}

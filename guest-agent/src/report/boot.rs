//! Where the boot's time went, as `systemd-analyze time` computes it. Source: src/analyze/analyze-time-data.c of systemd.

use firstlight_shared::error::Chain;
use firstlight_shared::wire::{BootTiming, UnitTiming};

use crate::bus::{Bus, BusError, UnitTimes};

/// Ours, and those that stand between the boot and somebody who wants to log in; in any order.
const UNITS: [&str; 12] = [
    "cloud-init.service",
    "cloud-init-local.service",
    "dbus.service",
    "firstlight-identity.service",
    "firstlight-report.service",
    "multi-user.target",
    "network-online.target",
    "ssh.service",
    "ssh.socket",
    "sshd.service",
    "sshd.socket",
    "systemd-networkd.service",
];

const EVIDENCE_TIMER: &str = "firstlight-evidence.timer";

/// Timestamps of systemd's manager in microseconds, 0 where there is none. Firmware and loader count backwards from
/// the kernel's start, the others forwards.
#[derive(Debug, Clone, Copy, Default)]
struct Stamps {
    firmware: u64,
    loader: u64,
    initrd: u64,
    userspace: u64,
    finish: u64,
    /// Not set in a container: there the kernel's phases are another machine's.
    security_start: u64,
    soft_reboot: u64,
}

/// What systemd tells of this boot.
#[derive(Debug, Default)]
pub(super) struct BootFacts {
    pub timing: Option<BootTiming>,
    /// systemd's own version.
    pub systemd: Option<String>,
}

/// Without systemd or its bus there is nothing to tell.
pub(super) async fn observe(bus: &Bus) -> BootFacts {
    let systemd = bus.manager_text("Version").await.ok();
    if systemd.is_none() {
        return BootFacts::default();
    }
    let timing = timing(bus).await;
    let timing =
        timing.inspect_err(|error| eprintln!("warning: the boot's times are not known: {}", Chain(error)));
    BootFacts { timing: timing.ok(), systemd }
}

/// Whether evidence goes out by itself; none if nobody knows.
pub(super) async fn evidence_timer(bus: &Bus) -> Option<bool> {
    let state = bus.active_state(EVIDENCE_TIMER).await.ok()?;
    Some(state.is_some_and(|state| state == "active"))
}

async fn timing(bus: &Bus) -> Result<BootTiming, BusError> {
    let [firmware, loader, initrd, userspace, finish, security_start, soft_reboot] = bus
        .manager_numbers([
            "FirmwareTimestampMonotonic",
            "LoaderTimestampMonotonic",
            "InitRDTimestampMonotonic",
            "UserspaceTimestampMonotonic",
            "FinishTimestampMonotonic",
            "SecurityStartTimestampMonotonic",
            "SoftRebootStartTimestampMonotonic",
        ])
        .await?;
    let stamps = Stamps { firmware, loader, initrd, userspace, finish, security_start, soft_reboot };
    let mut times = Vec::new();
    for unit in UNITS {
        times.extend(bus.unit_times(unit).await?);
    }
    Ok(BootTiming { units: units(userspace, &times), ..phases(stamps) })
}

fn phases(stamps: Stamps) -> BootTiming {
    let ms = |from: u64, to: u64| (to > 0 && to >= from).then(|| (to - from) / 1000);
    let userspace_ms = ms(stamps.userspace, stamps.finish);
    // A container has no kernel of its own; after a soft reboot those phases are the earlier boot's.
    if stamps.security_start == 0 || stamps.soft_reboot > 0 {
        return BootTiming { userspace_ms, ..BootTiming::default() };
    }
    let kernel_done = if stamps.initrd > 0 { stamps.initrd } else { stamps.userspace };
    BootTiming {
        firmware_ms: ms(stamps.loader, stamps.firmware),
        loader_ms: ms(0, stamps.loader),
        kernel_ms: ms(0, kernel_done),
        initrd_ms: if stamps.initrd > 0 { ms(stamps.initrd, stamps.userspace) } else { None },
        userspace_ms,
        units: Vec::new(),
    }
}

/// Those that started in this boot, in that order, once each: one may have several names.
fn units(userspace: u64, times: &[UnitTimes]) -> Vec<UnitTiming> {
    let mut started: Vec<&UnitTimes> =
        times.iter().filter(|unit| unit.inactive_exit >= userspace && unit.inactive_exit > 0).collect();
    started.sort_by(|a, b| (a.inactive_exit, &a.id).cmp(&(b.inactive_exit, &b.id)));
    started.dedup_by(|a, b| a.id == b.id);
    let timing = |unit: &&UnitTimes| UnitTiming {
        unit: unit.id.clone(),
        started_ms: (unit.inactive_exit - userspace) / 1000,
        took_ms: unit.active_enter.checked_sub(unit.inactive_exit).map(|took| took / 1000),
    };
    started.iter().map(timing).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_are_those_of_systemd_analyze() {
        // Of a real machine, for which `systemd-analyze time` says: 5.004s (firmware) + 2.001s (loader) +
        // 1.500s (kernel) + 3.250s (initrd) + 6.249s (userspace).
        let whole = Stamps {
            firmware: 7_005_000,
            loader: 2_001_000,
            initrd: 1_500_000,
            userspace: 4_750_000,
            finish: 10_999_999,
            security_start: 4_760_000,
            soft_reboot: 0,
        };
        let expected = BootTiming {
            firmware_ms: Some(5004),
            loader_ms: Some(2001),
            kernel_ms: Some(1500),
            initrd_ms: Some(3250),
            userspace_ms: Some(6249),
            units: vec![],
        };
        assert_eq!(phases(whole), expected);
        let bare = Stamps { firmware: 0, loader: 0, initrd: 0, ..whole };
        let bare = phases(bare);
        assert_eq!((bare.firmware_ms, bare.loader_ms, bare.kernel_ms), (None, None, Some(4750)));
        assert_eq!(bare.initrd_ms, None);
        for only_userspace in [Stamps { security_start: 0, ..whole }, Stamps { soft_reboot: 1, ..whole }] {
            let expected = BootTiming { userspace_ms: Some(6249), ..BootTiming::default() };
            assert_eq!(phases(only_userspace), expected);
        }
        assert_eq!(phases(Stamps { finish: 0, ..whole }).userspace_ms, None);
    }

    #[test]
    fn units_stand_in_the_order_of_their_start_once_each() {
        let times =
            |id: &str, inactive_exit, active_enter| UnitTimes { id: id.into(), inactive_exit, active_enter };
        let found = units(
            1_000_000,
            &[
                times("ssh.service", 1_500_000, 1_600_500),
                times("ssh.service", 1_500_000, 1_600_500),
                times("a.service", 1_200_000, 0),
                times("never.service", 0, 0),
                times("before.service", 900_000, 950_000),
            ],
        );
        let timing = |unit: &str, started_ms, took_ms| UnitTiming { unit: unit.into(), started_ms, took_ms };
        assert_eq!(found, [timing("a.service", 200, None), timing("ssh.service", 500, Some(100))]);
    }
}

//! Whether the clone's network comes up: Proxmox writes a container's configuration before each start, for one kind of
//! network each.
//!
//! Source: pve-container, src/PVE/LXC/Setup/{Debian,Ubuntu,Fedora}.pm (setup_network, setup_init).

use firstlight_shared::items::EntryKind;

use super::super::collect::Facts;
use super::super::finding::{Finding, Severity, Target};
use super::super::wanted::UNITS;

const IFUP: &str = "usr/bin/ifup";
const NETWORKD: &str = "usr/lib/systemd/systemd-networkd";
const INTERFACES: &str = "etc/network/interfaces";

pub(super) fn check(facts: &Facts, target: Target) -> Vec<Finding> {
    if target != Target::ProxmoxLxc {
        return Vec::new();
    }
    let mut findings = Vec::new();
    match distribution(facts).as_deref() {
        Some("debian" | "devuan") if !facts.has(IFUP) => {
            let finding = Finding::new("no-ifupdown", Severity::Error, "ifupdown", format!("/{INTERFACES}"));
            findings.push(
                finding
                    .danger("Proxmox writes the container's network into this file alone, and nothing in the golden reads it: no clone gets an address")
                    .fix("install ifupdown (or ifupdown2)"),
            );
        }
        Some("debian" | "devuan") if !enabled(facts, "networking.service") => {
            let finding = Finding::new(
                "networking-not-enabled",
                Severity::Error,
                "ifupdown",
                "/etc/systemd/system/multi-user.target.wants/networking.service",
            );
            findings.push(
                finding
                    .danger("ifupdown is there and does not run at boot: what Proxmox writes into /etc/network/interfaces comes to nothing")
                    .fix("systemctl --root=ROOT enable networking.service"),
            );
        }
        Some("debian" | "devuan") if enabled(facts, "systemd-networkd.service") => {
            let finding = Finding::new(
                "two-networks",
                Severity::Warning,
                "network by systemd-networkd",
                "/etc/systemd/system/multi-user.target.wants/systemd-networkd.service",
            );
            findings.push(
                finding
                    .danger("Proxmox configures ifupdown and presets networkd off, on a first boot only: here both would run")
                    .fix("systemctl --root=ROOT disable systemd-networkd.service, unless it serves other interfaces"),
            );
        }
        Some("ubuntu" | "fedora") if !facts.has(NETWORKD) => {
            let finding = Finding::new(
                "no-networkd",
                Severity::Error,
                "network by systemd-networkd",
                format!("/{NETWORKD}"),
            );
            findings.push(
                finding
                    .danger("Proxmox writes files of networkd for this distribution, and nothing in the golden reads them: no clone gets an address")
                    .fix("install systemd-networkd"),
            );
        }
        _ => {}
    }
    findings
}

/// `ID` of os-release.
fn distribution(facts: &Facts) -> Option<String> {
    let text = ["etc/os-release", "usr/lib/os-release"].iter().find_map(|path| facts.text(path))?;
    let id = text.lines().find_map(|line| line.trim().strip_prefix("ID="))?;
    Some(id.trim_matches(['"', '\'']).to_ascii_lowercase())
}

/// A link in somebody's `wants` or `requires`.
fn enabled(facts: &Facts, unit: &str) -> bool {
    UNITS.iter().any(|folder| {
        let folder = format!("{folder}/");
        facts.entries.range(folder.clone()..).take_while(|(path, _)| path.starts_with(&folder)).any(
            |(path, entry)| {
                let mut parts = path[folder.len()..].split('/');
                let wants =
                    parts.next().is_some_and(|part| part.ends_with(".wants") || part.ends_with(".requires"));
                wants && parts.next() == Some(unit) && entry.kind != EntryKind::Folder
            },
        )
    })
}

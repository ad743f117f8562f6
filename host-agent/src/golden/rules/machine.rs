//! The configuration in a machine's archive of Proxmox.

use super::super::collect::Facts;
use super::super::finding::{Finding, Severity};
use super::super::read::MACHINE_CONFIG;
use super::proxmox::is_numbered;
use crate::backend::proxmox::client::endpoint::node::ArchiveConfig;
use crate::backend::proxmox::client::properties::Properties;

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let Some(text) = facts.documents.get(MACHINE_CONFIG) else { return Vec::new() };
    let config = ArchiveConfig(text.clone());
    let mut findings: Vec<Finding> =
        config.values().into_iter().filter_map(|(key, value)| line(key, value)).collect();
    let agent = config.get("agent").unwrap_or_default();
    if !agent.split(',').any(|part| matches!(part, "1" | "enabled=1")) {
        findings.push(
            told("vm-no-agent", Severity::Warning, "the QEMU guest agent", "agent")
                .danger("Proxmox can neither read a clone's report nor tell its addresses")
                .fix("`qm set VMID --agent 1` on the golden's guest, with qemu-guest-agent in it"),
        );
    }
    findings.push(
        Finding::new("disks-not-looked-at", Severity::Warning, "the disks in the archive", "/")
            .danger("only the configuration was looked at: nothing is proven about the system on its disks")
            .fix("lint the root that the disk was made of"),
    );
    findings
}

fn told(rule: &'static str, severity: Severity, item: &str, key: &str) -> Finding {
    Finding::new(rule, severity, item, format!("/{MACHINE_CONFIG}: {key}"))
}

fn line(key: &str, value: &str) -> Option<Finding> {
    let set = matches!(value, "1" | "yes" | "on" | "true");
    let without = format!("`qm set VMID --delete {key}` on the golden's guest, and make its backup again");
    let finding = match key {
        "args" => told("vm-args", Severity::Error, "arguments for QEMU", key)
            .danger("they work as root on the node with each start of each clone")
            .fix(without),
        "hookscript" => told("vm-hookscript", Severity::Error, "a script that runs on the node", key)
            .danger("each start of each clone runs it as root on the node, if a file of that name is there")
            .fix(without),
        "template" if set => told("vm-template", Severity::Error, "a template", key)
            .danger("what is restored from it is a template again, which does not start")
            .fix("make the backup of a guest that is no template"),
        "onboot" if set => told("vm-onboot", Severity::Warning, "start at boot", key)
            .danger("every clone starts with its node, those that nobody uses any more too")
            .fix(without),
        "protection" if set => told("vm-protection", Severity::Warning, "protection", key)
            .danger("no clone, and nothing that a failed bring-up left, can be removed before somebody clears it")
            .fix(without),
        "smbios1" if value.contains("uuid=") => told("vm-uuid", Severity::Warning, "the machine's UUID", key)
            .danger("a restore without `--unique` keeps it, and with it a machine-id that systemd derives from it")
            .fix("nothing, if each clone is given its own; else restore with --unique"),
        "vmstate" | "lock" => told("vm-state", Severity::Warning, "a state or lock of the golden's guest", key)
            .danger("the golden's guest was at work when the backup was made")
            .fix("stop it, and make its backup again"),
        _ if (is_numbered(key, "hostpci") || is_numbered(key, "usb")) && is_of_host(value) => {
            told("vm-host-device", Severity::Error, "a device of the node", key)
                .danger("Proxmox restores it for root alone, and another node has another device there")
                .fix(without)
        }
        _ if is_numbered(key, "net") => {
            let Ok(card) = value.parse::<Properties>();
            let mac = card.mac()?;
            told("vm-mac", Severity::Warning, &format!("the MAC {mac}"), key)
                .danger("a restore without `--unique` keeps it: two guests of one address on the network")
                .fix("nothing, if each clone is given its own; else restore with --unique")
        }
        _ if is_disk(key) && left_out(value) => {
            told("vm-disk-left-out", Severity::Warning, "a disk that is not in the backup", key)
                .danger("the clone does not have it")
                .fix("set `backup=1` on it, if it belongs to the golden")
        }
        "cipassword" | "sshkeys" => told("vm-cloud-init-login", Severity::Warning, "a login for cloud-init", key)
            .danger("every clone gets it")
            .fix(without),
        _ => return None,
    };
    Some(finding)
}

fn is_of_host(value: &str) -> bool {
    !value.split(',').any(|part| part.starts_with("mapping=") || part == "spice" || part == "host=spice")
}

fn is_disk(key: &str) -> bool {
    ["ide", "sata", "scsi", "virtio"].iter().any(|bus| is_numbered(key, bus))
}

fn left_out(value: &str) -> bool {
    let Ok(disk) = value.parse::<Properties>();
    let is_medium = disk.get("media") == Some("cdrom") || value.contains("cloudinit");
    !is_medium && disk.get("backup").is_some_and(|flag| matches!(flag, "0" | "no" | "off" | "false"))
}

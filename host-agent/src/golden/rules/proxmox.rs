//! The configuration in a container's backup. What it holds comes with every restore, and Proxmox looks at little of it.

use super::super::collect::Facts;
use super::super::finding::{Finding, Severity};
use super::super::wanted::PCT;
use crate::backend::proxmox::client::endpoint::node::ArchiveConfig;
use crate::backend::proxmox::client::properties::Properties;

/// How environment stands in such a file.
const ENVIRONMENT: [&str; 2] = ["lxc.environment", "lxc.environment.runtime"];

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let Some(text) = facts.text(PCT) else { return Vec::new() };
    let config = ArchiveConfig(text);
    let mut findings = Vec::new();
    for (key, value) in config.values() {
        findings.extend(line(key, value));
    }
    if config.get("unprivileged") != Some("1") {
        findings.push(
            told("pct-privileged", Severity::Warning, "a privileged container", "unprivileged")
                .danger("root in the clone is root on the node; Proxmox makes a container privileged whose archive does not say otherwise")
                .fix("restore the golden's guest once as unprivileged, and make the backup of that one"),
        );
    }
    findings
}

fn told(rule: &'static str, severity: Severity, item: &str, key: &str) -> Finding {
    Finding::new(rule, severity, item, format!("/{PCT}: {key}"))
}

fn line(key: &str, value: &str) -> Vec<Finding> {
    let set = matches!(value, "1" | "yes" | "on" | "true");
    let without =
        |key: &str| format!("`pct set VMID --delete {key}` on the golden's guest, and make its backup again");
    let finding = match key {
        "hookscript" => told("pct-hookscript", Severity::Error, "a script that runs on the node", key)
            .danger("each start of each clone runs it as root on the node, if a file of that name is there")
            .fix(without(key)),
        "template" if set => told("pct-template", Severity::Error, "a template", key)
            .danger("what is restored from it is a template again, which does not start")
            .fix("make the backup of a guest that is no template"),
        "onboot" if set => told("pct-onboot", Severity::Warning, "start at boot", key)
            .danger("every clone starts with its node, those that nobody uses any more too")
            .fix(without(key)),
        "protection" if set => told("pct-protection", Severity::Warning, "protection", key)
            .danger("no clone, and nothing that a failed bring-up left, can be removed before somebody clears it")
            .fix(without(key)),
        "lock" => told("pct-lock", Severity::Warning, "a lock", key)
            .danger("the golden's guest was at work when the backup was made")
            .fix("wait until the guest is idle, and make its backup again"),
        "hostname" => told("pct-hostname", Severity::Note, "the golden's host name", key)
            .danger("a clone that is given no name has this one")
            .fix("nothing, if each clone is given a name"),
        "ostype" if value == "unmanaged" => told("pct-unmanaged", Severity::Warning, "an unmanaged system", key)
            .danger("Proxmox writes neither network nor host name into the clone")
            .fix("set the ostype of the distribution on the golden's guest"),
        "features" => return features(value),
        "env" => environment(key, value),
        _ if ENVIRONMENT.contains(&key) => environment(key, value),
        _ if key.starts_with("lxc.") => told("pct-raw-line", Severity::Error, "a line handed to LXC as it is", key)
            .danger("it works as root on the node; a restore by a token drops it, and the clone is not what the golden was")
            .fix("take the line out of /etc/pve/lxc/VMID.conf of the golden's guest, and make its backup again"),
        _ if is_numbered(key, "net") => return interface(key, value),
        _ if is_numbered(key, "mp") => return mount(key, value),
        _ if is_numbered(key, "dev") => told("pct-host-device", Severity::Error, "a device of the node", key)
            .danger("Proxmox restores it for root alone, and another node has another device there")
            .fix(without(key)),
        "rootfs" if !value.contains("size=") => told("pct-no-size", Severity::Warning, "the size of the root disk", key)
            .danger("a restore does not know how large to make it")
            .fix("give each guest a `disk`"),
        _ => return Vec::new(),
    };
    vec![finding]
}

/// Values are not shown: passwords stand there.
fn environment(key: &str, value: &str) -> Finding {
    let name = value.split('=').next().unwrap_or_default();
    told("pct-environment", Severity::Warning, &format!("the variable {name}"), key)
        .danger("every clone has it in the environment of PID 1, and every user of the node can read it")
        .fix("bring secrets into each guest when it is made; remove the line from the golden's guest")
}

fn features(value: &str) -> Vec<Finding> {
    let Ok(features) = value.parse::<Properties>();
    let mut findings = Vec::new();
    for (name, value) in features.pairs() {
        let is_root_only = match name {
            "mount" => true,
            "mknod" | "force_rw_sys" => value == "1",
            _ => false,
        };
        if is_root_only {
            findings.push(
                told("pct-feature", Severity::Warning, &format!("the feature {name}"), "features")
                    .danger("it lets the clone do on the node what containers may not; only root may set it")
                    .fix(format!(
                        "`pct set VMID --features` without {name} on the golden's guest, if it does without"
                    )),
            );
        }
    }
    if features.get("nesting") != Some("1") {
        findings.push(
            told("pct-no-nesting", Severity::Note, "the feature nesting", "features")
                .danger("systemd of today cannot isolate its services without it: some fail, and starting is slow")
                .fix("`pct set VMID --features nesting=1` on the golden's guest"),
        );
    }
    findings
}

fn interface(key: &str, value: &str) -> Vec<Finding> {
    let Ok(card) = value.parse::<Properties>();
    let mut findings = Vec::new();
    if let Some(mac) = card.mac() {
        findings.push(
            told("pct-mac", Severity::Warning, &format!("the MAC {mac}"), key)
                .danger("a restore without `--unique` keeps it: two guests of one address on the network")
                .fix("nothing, if each clone is given its own; else restore with --unique"),
        );
    }
    if let Some(address) = card.get("ip").filter(|ip| !matches!(*ip, "dhcp" | "manual")) {
        findings.push(
            told("pct-address", Severity::Error, &format!("the address {address}"), key)
                .danger("every clone that is given no other has it")
                .fix("`pct set VMID --netN ...,ip=dhcp` on the golden's guest, and make its backup again"),
        );
    }
    findings
}

fn mount(key: &str, value: &str) -> Vec<Finding> {
    let Ok(mount) = value.parse::<Properties>();
    let volume = mount.unnamed().or_else(|| mount.get("volume")).unwrap_or_default();
    if !volume.contains(':') || volume.starts_with('/') {
        return vec![
            told("pct-host-mount", Severity::Error, "a folder or device of the node", key)
                .danger("Proxmox restores it for root alone, and each clone would share it")
                .fix(format!(
                    "`pct set VMID --delete {key}` on the golden's guest, and make its backup again"
                )),
        ];
    }
    let mut findings = Vec::new();
    if mount.get("backup").is_none_or(|flag| matches!(flag, "0" | "no" | "off" | "false")) {
        findings.push(
            told("pct-mount-left-out", Severity::Warning, "a volume that is not in the backup", key)
                .danger("the clone gets an empty one: what the golden had there is missing")
                .fix("set `backup=1` on it, if its files belong to the golden"),
        );
    }
    if mount.get("size").is_none() {
        findings.push(
            told("pct-no-size", Severity::Warning, "the size of a volume", key)
                .danger("a restore does not know how large to make it")
                .fix("name it with a size in the spec"),
        );
    }
    findings
}

pub(super) fn is_numbered(key: &str, stem: &str) -> bool {
    key.strip_prefix(stem)
        .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()))
}

//! What an image or an export of Incus says of the instance.

use super::super::collect::Facts;
use super::super::finding::{Finding, Severity};
use super::super::place::INDEX;

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let Some(index) = facts.documents.get(INDEX) else { return Vec::new() };
    let mut findings = Vec::new();
    let mut seen = Vec::new();
    for line in index.lines().map(str::trim) {
        let Some((key, value)) = line.split_once(':') else { continue };
        let value = value.trim().trim_matches(['"', '\'']);
        if let Some(finding) = judge(key, value).filter(|_| !seen.contains(&key)) {
            seen.push(key);
            findings.push(finding);
        }
    }
    findings
}

fn judge(key: &str, value: &str) -> Option<Finding> {
    let told = |rule, severity, item: &str| Finding::new(rule, severity, item, format!("/{INDEX}: {key}"));
    let without =
        format!("`incus config unset INSTANCE {key}` on the golden's instance, and export it again");
    let set = value == "true";
    let finding = match key {
        "security.privileged" if set => told("incus-privileged", Severity::Warning, "a privileged container")
            .danger("root in the clone is root on the server"),
        "boot.autostart" if set => told("incus-autostart", Severity::Warning, "start at boot")
            .danger("every clone starts with its server, those that nobody uses any more too"),
        "security.protection.delete" if set => told("incus-protection", Severity::Warning, "protection")
            .danger(
                "no clone, and nothing that a failed bring-up left, can be removed before somebody clears it",
            ),
        "raw.lxc" | "raw.qemu" | "raw.qemu.conf" | "raw.apparmor" | "raw.idmap" | "raw.seccomp"
            if !value.is_empty() =>
        {
            told("incus-raw", Severity::Error, "lines that are handed on as they are")
                .danger("they work as root on the server with each start of each clone")
        }
        "user.user-data" | "cloud-init.user-data" | "cloud-init.vendor-data" | "user.vendor-data" => {
            told("incus-user-data", Severity::Warning, "data for cloud-init")
                .danger("every clone runs it, and gets whatever secret is in it")
        }
        _ if key.starts_with("environment.") => {
            told("incus-environment", Severity::Warning, "an environment variable")
                .danger("every clone has it in its environment")
        }
        _ if key.starts_with("volatile.") && key.ends_with(".hwaddr") => {
            return Some(
                told("incus-mac", Severity::Warning, &format!("the MAC {value}"))
                    .danger("an import keeps it: two guests of one address on the network")
                    .fix(
                        "nothing, if each clone is given its own; else publish an image and launch from that",
                    ),
            );
        }
        _ => return None,
    };
    Some(finding.fix(without))
}

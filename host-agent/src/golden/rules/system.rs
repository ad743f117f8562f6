//! Whether it is a system that can boot.

use super::super::collect::Facts;
use super::super::finding::{Finding, Severity};
use super::super::wanted::SYSTEMD;

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !facts.has(SYSTEMD) {
        let finding = Finding::new("no-systemd", Severity::Error, "systemd", format!("/{SYSTEMD}"));
        findings.push(
            finding
                .danger("the guest agent runs as units of systemd: nothing would renew a clone, or tell that it is ready")
                .fix("make the golden of a system with systemd"),
        );
    }
    if !["etc/os-release", "usr/lib/os-release"].iter().any(|path| facts.has(path)) {
        let finding =
            Finding::new("no-os-release", Severity::Warning, "name of the system", "/usr/lib/os-release");
        findings.push(
            finding
                .danger("systemd-nspawn and others start no root without it")
                .fix("install the distribution's base files"),
        );
    }
    findings
}

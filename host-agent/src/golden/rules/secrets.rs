//! Private keys and tokens anywhere else than where the identity table looks.

use super::super::collect::Facts;
use super::super::finding::{Finding, Severity};

/// What packages ship: samples, and keys of their tests.
const SHIPPED: [&str; 6] =
    ["usr/share/", "usr/lib/", "usr/include/", "usr/src/", "usr/libexec/", "var/lib/dpkg/"];

/// `known` are paths that are told already.
pub(super) fn check(facts: &Facts, known: &[String]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, kind) in &facts.secrets {
        let shown = format!("/{path}");
        if known.contains(&shown) {
            continue;
        }
        let is_shipped = SHIPPED.iter().any(|folder| path.starts_with(folder));
        let finding = match is_shipped {
            true => Finding::new("shipped-key", Severity::Note, kind, shown)
                .danger("it lies where packages keep their samples; if it is used, everybody has it")
                .fix("see that nothing uses it"),
            false => Finding::new("private-key", Severity::Error, kind, shown)
                .danger("every clone has it, and whoever gets one clone")
                .fix("remove it; bring secrets into each guest when it is made (`[[guest.secrets]]` of a spec)"),
        };
        findings.push(finding);
    }
    findings
}

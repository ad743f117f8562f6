//! The rules: each is a pure function over what was collected.

mod agent;
mod identity;
mod incus;
mod machine;
mod network;
mod proxmox;
mod secrets;
mod system;

use super::collect::{Facts, Sealed};
use super::finding::{Finding, Severity, Target};

/// Every finding, the worst first, then by rule and path.
pub(super) fn judge(facts: &Facts, target: Target) -> Vec<Finding> {
    let mut findings = Vec::new();
    if has_root(facts) {
        findings.extend(system::check(facts));
        findings.extend(identity::check(facts, target));
        let known: Vec<String> = findings.iter().map(|finding| finding.path.clone()).collect();
        findings.extend(secrets::check(facts, &known));
        findings.extend(agent::check(facts));
        findings.extend(network::check(facts, target));
    }
    findings.extend(proxmox::check(facts));
    findings.extend(machine::check(facts));
    findings.extend(incus::check(facts));
    findings.extend(unseen(facts));
    findings.sort_by(|one, other| {
        other.severity.cmp(&one.severity).then_with(|| (one.rule, &one.path).cmp(&(other.rule, &other.path)))
    });
    findings.dedup();
    findings
}

/// A configuration alone has none.
pub(super) fn has_root(facts: &Facts) -> bool {
    facts.entries.keys().any(|path| path == "etc" || path.starts_with("etc/"))
}

/// What could not be looked at is never taken for clean.
fn unseen(facts: &Facts) -> Vec<Finding> {
    let warn = |(path, why): &(String, String)| {
        Finding::new("not-looked-at", Severity::Warning, "a part that could not be looked at", path)
            .danger(format!("nothing is proven about it: {why}"))
            .fix("run it as root, or on the golden as a tar")
    };
    let sealed = |part: &Sealed| {
        Finding::new("format-not-read", Severity::Warning, &part.what, format!("/{}", part.path))
            .danger(format!("{} is not read here: nothing is proven about what is in it", part.what))
            .fix(part.next)
    };
    facts.unseen.iter().map(warn).chain(facts.sealed.iter().map(sealed)).collect()
}

#[cfg(test)]
mod tests;

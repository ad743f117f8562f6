//! Checks, network and facts of a report, as lines.

use firstlight_shared::check::{CheckResult, Verdict};
use firstlight_shared::wire::{Facts, Interface, Report};

use super::bound::{self, Cuts};
use super::identity::word;
use super::page::{CheckCounts, CheckLine, Fact, InterfaceLine};

const CHECKS: usize = 200;
const INTERFACES: usize = 50;
const ADDRESSES: usize = 50;

pub(super) fn counts(checks: &[CheckResult]) -> CheckCounts {
    let of = |verdict: Verdict| checks.iter().filter(|check| check.verdict == verdict).count();
    CheckCounts {
        passed: of(Verdict::Pass),
        failed: of(Verdict::Fail),
        unknown: of(Verdict::Unknown),
        skipped: of(Verdict::Skip),
        blocking: checks.iter().filter(|check| check.blocks_readiness()).count(),
    }
}

/// What an operator must see first comes first, and else the guest's order.
pub(super) fn checks(checks: &[CheckResult], cuts: &mut Cuts) -> Vec<CheckLine> {
    let mut sorted: Vec<&CheckResult> = checks.iter().collect();
    sorted.sort_by_key(|check| match (check.blocks_readiness(), check.verdict) {
        (true, _) => 0,
        (false, Verdict::Fail) => 1,
        (false, Verdict::Unknown) => 2,
        (false, _) => 3,
    });
    let one = |check: &&CheckResult| CheckLine {
        id: bound::word(&check.id),
        verdict: check.verdict.as_str().to_owned(),
        severity: word(&check.severity),
        blocks: check.blocks_readiness(),
        reason: bound::line(&check.reason),
        took_ms: bound::time(check.elapsed_ms),
    };
    cuts.first("checks", &sorted, CHECKS).iter().map(one).collect()
}

pub(super) fn network(interfaces: &[Interface], cuts: &mut Cuts) -> Vec<InterfaceLine> {
    let shown = cuts.first("interfaces", interfaces, INTERFACES);
    let mut lines = Vec::with_capacity(shown.len());
    for interface in shown {
        let addresses = cuts.first("addresses", &interface.addresses, ADDRESSES);
        lines.push(InterfaceLine {
            name: bound::word(&interface.name),
            mac: interface.mac.filter(|mac| mac.0 != [0; 6]).map(|mac| mac.to_string()),
            up: interface.up,
            addresses: addresses.iter().map(|one| format!("{}/{}", one.address, one.prefix)).collect(),
        });
    }
    lines
}

pub(super) fn facts(report: &Report) -> Vec<Fact> {
    let Facts {
        os,
        kernel,
        architecture,
        virtualization,
        cpus,
        memory_bytes,
        systemd,
        cpu_model,
        root_fstype,
        disk_bytes,
        disk_free_bytes,
    } = &report.facts;
    let size = |bytes: &Option<u64>| bytes.map(bytes_in_words);
    let text = |text: &Option<String>| text.as_deref().map(bound::line);
    let facts = [
        ("system", text(os)),
        ("kernel", text(kernel)),
        ("architecture", Some(bound::word(architecture)).filter(|text| !text.is_empty())),
        ("virtualization", text(virtualization)),
        ("systemd", text(systemd)),
        ("processors", cpus.map(|cpus| cpus.to_string())),
        ("processor", text(cpu_model)),
        ("memory", size(memory_bytes)),
        ("root file system", text(root_fstype)),
        ("disk", size(disk_bytes)),
        ("free on it", size(disk_free_bytes)),
        ("boot id", text(&report.boot_id)),
        ("age recipient", text(&report.identity.age_recipient)),
        (
            "evidence timer",
            report.evidence_timer.map(|on| if on { "on".to_owned() } else { "off".to_owned() }),
        ),
    ];
    let fact = |(name, value): (&str, Option<String>)| Some(Fact { name: name.to_owned(), value: value? });
    facts.into_iter().filter_map(fact).collect()
}

/// `7.5 GiB`: one digit behind the point, cut and not rounded.
fn bytes_in_words(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut tenths = u128::from(bytes) * 10;
    let mut unit = "B";
    for next in units {
        if tenths < 10_240 {
            break;
        }
        tenths /= 1024;
        unit = next;
    }
    if unit == "B" { format!("{bytes} B") } else { format!("{}.{} {unit}", tenths / 10, tenths % 10) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_words() {
        for (bytes, words) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (2_147_483_648, "2.0 GiB"),
            (8_053_063_680, "7.5 GiB"),
            (u64::MAX, "15.9 EiB"),
        ] {
            assert_eq!(bytes_in_words(bytes), words);
        }
    }
}

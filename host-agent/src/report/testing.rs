//! What tests make pages of.

use firstlight_shared::wire::{Report, Trust};
use serde_json::{Value, json};

use crate::bringup::ReportView;
use crate::job::Recorded;

pub(super) fn journal(events: &[(u64, Value)]) -> Vec<Recorded> {
    let one = |(seq, (at_ms, event)): (u64, &(u64, Value))| Recorded {
        seq,
        at_ms: *at_ms,
        event: serde_json::from_value(event.clone()).unwrap(),
    };
    (0..).zip(events).map(one).collect()
}

/// A report in which all is well, that came at this time.
pub(super) fn report_view(received_at_ms: u64) -> ReportView {
    ReportView {
        sha256: "5b".repeat(32),
        guest: "web-01".into(),
        job: "0193".into(),
        claim_id: "c1".into(),
        received_at_ms,
        source: "10.77.0.10".into(),
        trust: Trust::Attested,
        report: serde_json::from_value(report()).unwrap(),
    }
}

/// A report with something in every field.
pub(super) fn report() -> Value {
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";
    let report = json!({
        "version": 1, "report_id": "00112233445566778899aabbccddeeff",
        "agent": {"name": "firstlight-guest", "version": "0.1.0"},
        "claim_id": "c1", "boot_id": "b1", "made_at_ms": 1, "state": "ready",
        "identity": {
            "decision": "renew", "reason": "paper",
            "machine_id": {"derived": "a71b01436ed74066bbb87007c5ed713d", "state": "fresh", "reboot_required": false,
                "prediction": {"source": "container-uuid", "holds": true}},
            "hostname": {"current": "web-01", "expected": "web-01", "ok": true},
            "ssh_host_keys": [{"type": "ssh-ed25519", "public_key": key,
                "fingerprint": "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU"}],
            "removed_host_keys": ["SHA256:golden"], "pending": ["rsa"], "problems": ["clock is not set"],
            "items": [{"item": "dhcp-duid", "action": "renewed", "detail": "/var/lib/dhcp/duid"}],
            "age_recipient": "age1paper",
        },
        "network": [{"name": "eth0", "mac": "02:f1:57:6a:25:6d", "up": true,
            "addresses": [{"address": "10.77.0.10", "prefix": 24}]}],
        "checks": [{"id": "sshd", "severity": "required", "verdict": "pass", "reason": "paper", "elapsed_ms": 1,
            "seen": "x"}],
        "facts": {"os": "Debian GNU/Linux 13", "kernel": "6.12.48", "architecture": "x86_64",
            "virtualization": "systemd-nspawn", "cpus": 2, "memory_bytes": 2_147_483_648_u64, "systemd": "257",
            "cpu_model": "paper", "root_fstype": "ext4", "disk_bytes": 8_589_934_592_u64,
            "disk_free_bytes": 7_516_192_768_u64},
        "timings_ms": {"boot_to_report": 2500, "identity": 400},
        "boot": {"userspace_ms": 2100, "units": [{"unit": "ssh.service", "started_ms": 800, "took_ms": 20}]},
        "secrets": [{"path": "/etc/age.key", "sha256_prefix": "ba7816bf", "mode": "0400", "owner": "root:root",
            "problem": "p"}],
        "evidence_timer": true,
    });
    serde_json::from_value::<Report>(report.clone()).unwrap();
    report
}

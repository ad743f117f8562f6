//! Reports as guests make them, for tests.

use std::collections::BTreeMap;

use firstlight_shared::check::{CheckResult, Severity, Verdict};
use firstlight_shared::secret::Secret;
use firstlight_shared::wire::{
    Agent, Claim, Decision, Envelope, Facts, HostKey, Hostname, Identity, Interface, MachineIdOutcome,
    MachineIdState, Report, ReportState,
};
use ssh_key::{Algorithm, PrivateKey};

pub(crate) fn key() -> PrivateKey {
    PrivateKey::random(&mut ssh_key::rand_core::OsRng, Algorithm::Ed25519).unwrap()
}

pub(crate) fn report(claim: Option<&str>, key: &PrivateKey) -> Report {
    Report {
        version: 1,
        report_id: hex::encode(rand::random::<[u8; 16]>()),
        agent: Agent { name: "firstlight-guest".into(), version: "0".into() },
        claim_id: claim.map(Into::into),
        boot_id: None,
        made_at_ms: 1,
        state: ReportState::Ready,
        identity: Identity {
            decision: Decision::Renew,
            reason: String::new(),
            machine_id: MachineIdOutcome {
                derived: Some("9a6548b8a4034ed2a72d62da6f19aa08".parse().unwrap()),
                state: MachineIdState::Fresh,
                reboot_required: false,
                prediction: None,
            },
            hostname: Hostname { current: "web-01".into(), expected: None, ok: true },
            ssh_host_keys: vec![HostKey::of(key.public_key()).unwrap()],
            removed_host_keys: vec![],
            pending: vec![],
            problems: vec![],
            items: vec![],
            age_recipient: None,
        },
        network: vec![Interface {
            name: "eth0".into(),
            mac: Some("02:f1:57:00:00:01".parse().unwrap()),
            up: true,
            addresses: vec![],
        }],
        checks: vec![check("sshd", Verdict::Pass)],
        facts: Facts::default(),
        timings_ms: BTreeMap::new(),
        boot: None,
        secrets: Vec::new(),
        evidence_timer: None,
    }
}

pub(crate) fn check(id: &str, verdict: Verdict) -> CheckResult {
    CheckResult {
        id: id.into(),
        severity: Severity::Required,
        verdict,
        reason: "because".into(),
        elapsed_ms: 1,
        seen: None,
    }
}

pub(crate) fn claim(id: &str, secret: &[u8]) -> Claim {
    Claim::new(id, Some(Secret::new(secret.to_vec())))
}

pub(crate) fn sealed(claim: &Claim, key: &PrivateKey) -> Vec<u8> {
    seal(&report(Some(&claim.id), key), claim, key)
}

pub(crate) fn seal(report: &Report, claim: &Claim, key: &PrivateKey) -> Vec<u8> {
    serde_json::to_vec(&Envelope::seal(report, key, Some(claim)).unwrap()).unwrap()
}

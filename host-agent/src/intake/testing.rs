//! Reports as guests make them, for tests.

use firstlight_shared::check::{CheckResult, Severity, Verdict};
use firstlight_shared::secret::Secret;
use firstlight_shared::wire::{Claim, Envelope, Report};
use firstlight_tests::guest::fake::well;
use ssh_key::{Algorithm, PrivateKey};

pub(crate) fn key() -> PrivateKey {
    PrivateKey::random(&mut ssh_key::rand_core::OsRng, Algorithm::Ed25519).unwrap()
}

pub(crate) fn report(claim: Option<&str>, key: &PrivateKey) -> Report {
    let mut report = well("web-01", claim, key.public_key()).unwrap();
    report.identity.machine_id.derived = Some("9a6548b8a4034ed2a72d62da6f19aa08".parse().unwrap());
    report.network[0].mac = Some("02:f1:57:00:00:01".parse().unwrap());
    report
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

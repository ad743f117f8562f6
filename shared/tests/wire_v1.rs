//! Wire format v1 must not change: the files in `golden/` were written by the first release and are read by all later ones.

#![expect(clippy::unwrap_used, reason = "a test stops where it is surprised")]

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

use firstlight_shared::check::{CheckResult, Severity, Verdict};
use firstlight_shared::error::Code;
use firstlight_shared::secret::Secret;
use firstlight_shared::wire::{
    Address, Agent, Claim, Decision, Envelope, Facts, HostKey, Hostname, Identity, Interface,
    MachineIdOutcome, MachineIdState, Report, ReportState,
};
use proptest::prelude::*;
use ssh_key::PrivateKey;
use ssh_key::private::{Ed25519Keypair, KeypairData};

const GOLDEN: &str = include_str!("golden/envelope-v1.json");

/// A key from a fixed seed, so that the golden file can be made again byte by byte.
fn key() -> PrivateKey {
    PrivateKey::new(KeypairData::Ed25519(Ed25519Keypair::from_seed(&[42; 32])), "").unwrap()
}

fn claim() -> Claim {
    let secret = Some(Secret::new(vec![7; 32]));
    Claim {
        version: 1,
        id: "0b6c4d1e9f".into(),
        secret,
        intent: None,
        hostname: None,
        url: None,
        pin: None,
        machine_id: None,
        secrets: Vec::new(),
    }
}

fn report() -> Report {
    Report {
        version: 1,
        report_id: "000102030405060708090a0b0c0d0e0f".into(),
        agent: Agent { name: "firstlight-guest".into(), version: "0.1.0".into() },
        claim_id: Some("0b6c4d1e9f".into()),
        boot_id: Some("3bd1e2c0-3f3c-4f0e-8e42-6b8c2f3d1a90".into()),
        made_at_ms: 1_790_000_000_000,
        state: ReportState::Ready,
        identity: Identity {
            decision: Decision::Renew,
            reason: "no stamp: a new guest".into(),
            machine_id: MachineIdOutcome {
                derived: Some("9a6548b8a4034ed2a72d62da6f19aa08".parse().unwrap()),
                state: MachineIdState::Fresh,
                reboot_required: false,
                prediction: None,
            },
            hostname: Hostname { current: "web-01".into(), expected: Some("web-01".into()), ok: true },
            ssh_host_keys: vec![HostKey::of(key().public_key()).unwrap()],
            removed_host_keys: vec![],
            pending: vec!["rsa".into()],
            problems: vec![],
            items: vec![],
            age_recipient: None,
        },
        network: vec![Interface {
            name: "eth0".into(),
            mac: Some("02:f1:57:00:00:01".parse().unwrap()),
            up: true,
            addresses: vec![Address { address: "10.77.0.10".parse().unwrap(), prefix: 24 }],
        }],
        checks: vec![CheckResult {
            id: "system-running".into(),
            severity: Severity::Required,
            verdict: Verdict::Pass,
            reason: "running".into(),
            elapsed_ms: 12,
            seen: None,
        }],
        facts: Facts { architecture: "x86_64".into(), ..Facts::default() },
        timings_ms: BTreeMap::from([("identity".to_owned(), 9)]),
        boot: None,
        secrets: Vec::new(),
        evidence_timer: None,
    }
}

#[test]
fn the_first_release_is_still_written_and_read() {
    let envelope = Envelope::parse(GOLDEN.as_bytes()).unwrap();
    let opened = envelope.open().unwrap();
    assert_eq!(opened.report, report());
    assert!(!opened.ephemeral_key);
    assert!(envelope.binding_holds(claim().secret.as_ref().unwrap()));
    assert!(!envelope.binding_holds(&Secret::new(vec![8; 32])));
    // ed25519 signs deterministically: today's code writes the very same envelope.
    assert_eq!(Envelope::seal(&report(), &key(), Some(&claim())).unwrap(), envelope);
}

#[test]
fn openssh_verifies_the_signature() {
    let envelope = Envelope::parse(GOLDEN.as_bytes()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (signers, signature) = (folder.path().join("signers"), folder.path().join("report.sig"));
    std::fs::write(&signers, format!("guest {}\n", envelope.signing_key)).unwrap();
    std::fs::write(&signature, &envelope.signature).unwrap();
    let verify = |text: &str| {
        let mut child = Command::new("ssh-keygen")
            .args(["-Y", "verify", "-I", "guest", "-n", "report.v1@firstlight", "-f"])
            .arg(&signers)
            .arg("-s")
            .arg(&signature)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("ssh-keygen is needed: install openssh-client");
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        child.wait().unwrap().success()
    };
    assert!(verify(&envelope.report));
    assert!(!verify(&envelope.report.replace("web-01", "web-02")));
}

#[test]
fn newer_versions_are_named_not_guessed() {
    let newer = GOLDEN.replacen("\"version\": 1", "\"version\": 2", 1);
    assert_ne!(newer, GOLDEN);
    assert_eq!(Envelope::parse(newer.as_bytes()).unwrap_err().code(), "unknown-version");
}

#[test]
fn an_ephemeral_key_is_told_apart() {
    let other = PrivateKey::new(KeypairData::Ed25519(Ed25519Keypair::from_seed(&[43; 32])), "").unwrap();
    assert!(Envelope::seal(&report(), &other, None).unwrap().open().is_err(), "the report names a claim");
    let unclaimed = Report { claim_id: None, ..report() };
    assert!(Envelope::seal(&unclaimed, &other, None).unwrap().open().unwrap().ephemeral_key);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Any change of any byte of the envelope is noticed, or changes nothing that was signed.
    #[test]
    fn a_changed_byte_is_noticed(position in 0..GOLDEN.len(), byte in any::<u8>()) {
        let mut bytes = GOLDEN.as_bytes().to_vec();
        bytes[position] = byte;
        if let Ok(envelope) = Envelope::parse(&bytes) && let Ok(opened) = envelope.open() {
            prop_assert_eq!(opened.report, report());
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Envelope::parse(&bytes).map(|envelope| envelope.open());
    }
}

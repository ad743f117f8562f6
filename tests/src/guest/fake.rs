//! A guest that is not one: it makes reports with the code that real guests use, and sends what it likes.
//!
//! It speaks through curl, whose `--pinnedpubkey` is an independent judge of the pin.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use firstlight_shared::check::{CheckResult, Severity, Verdict};
use firstlight_shared::ids::{MacAddress, MachineId};
use firstlight_shared::wire::{
    Address, Agent, Claim, Decision, Envelope, Facts, HostKey, Hostname, Identity, Interface,
    MachineIdOutcome, MachineIdState, REPORT_VERSION, Report, ReportState,
};
use ssh_key::rand_core::{OsRng, RngCore as _};
use ssh_key::{Algorithm, PrivateKey, PublicKey};

use crate::run;

/// The answer of a report listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub body: String,
}

impl Answer {
    /// The code of a refusal.
    pub fn refusal(&self) -> Option<String> {
        let body: serde_json::Value = serde_json::from_str(&self.body).ok()?;
        Some(body.get("code")?.as_str()?.to_owned())
    }
}

/// A machine that never was, with keys of its own.
#[derive(Debug)]
pub struct FakeGuest {
    pub key: PrivateKey,
    machine_id: MachineId,
    pub hostname: String,
    pub mac: Option<MacAddress>,
    pub address: Option<std::net::IpAddr>,
}

/// What a guest of this name and this key reports when all is well: its identity was renewed, one check passed, and one
/// interface without an address is up.
///
/// # Errors
/// It is no key of a host.
pub fn well(hostname: &str, claim_id: Option<&str>, key: &PublicKey) -> Result<Report> {
    Ok(Report {
        version: REPORT_VERSION,
        report_id: MachineId::from_random(random()).expose(),
        agent: Agent { name: "firstlight-guest".into(), version: "0.0.0-paper".into() },
        claim_id: claim_id.map(str::to_owned),
        boot_id: None,
        made_at_ms: 1,
        state: ReportState::Ready,
        identity: Identity {
            decision: Decision::Renew,
            reason: "paper".into(),
            machine_id: MachineIdOutcome {
                derived: Some(MachineId::from_random(random()).derived()),
                state: MachineIdState::Fresh,
                reboot_required: false,
                prediction: None,
            },
            hostname: Hostname { current: hostname.to_owned(), expected: None, ok: true },
            ssh_host_keys: vec![HostKey::of(key)?],
            removed_host_keys: vec![],
            pending: vec![],
            problems: vec![],
            items: vec![],
            age_recipient: None,
        },
        network: vec![Interface { name: "eth0".into(), mac: None, up: true, addresses: vec![] }],
        checks: vec![CheckResult {
            id: "sshd".into(),
            severity: Severity::Required,
            verdict: Verdict::Pass,
            reason: "paper".into(),
            elapsed_ms: 1,
            seen: None,
        }],
        facts: Facts::default(),
        timings_ms: BTreeMap::new(),
        boot: None,
        secrets: Vec::new(),
        evidence_timer: None,
    })
}

fn random() -> [u8; 16] {
    let mut random = [0; 16];
    OsRng.fill_bytes(&mut random);
    random
}

impl FakeGuest {
    pub fn new(hostname: &str) -> Result<Self> {
        Ok(Self {
            key: PrivateKey::random(&mut OsRng, Algorithm::Ed25519)?,
            machine_id: MachineId::from_random(random()),
            hostname: hostname.to_owned(),
            mac: None,
            address: None,
        })
    }

    /// A report in which all is well.
    pub fn report(&self, claim: Option<&Claim>) -> Result<Report> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
        let mut report = well(&self.hostname, claim.map(|claim| claim.id.as_str()), self.key.public_key())?;
        report.made_at_ms = u64::try_from(now)?;
        report.identity.machine_id.derived = Some(self.machine_id.derived());
        report.identity.hostname.expected = Some(self.hostname.clone());
        for interface in &mut report.network {
            interface.mac = self.mac;
            interface.addresses.extend(self.address.map(|address| Address { address, prefix: 24 }));
        }
        for check in &mut report.checks {
            check.id = "system-running".into();
        }
        report.timings_ms.insert("identity".into(), 1);
        Ok(report)
    }

    /// The report, signed and bound to the claim.
    pub fn envelope(&self, claim: Option<&Claim>) -> Result<Envelope> {
        Ok(Envelope::seal(&self.report(claim)?, &self.key, claim)?)
    }
}

/// Posts an envelope from a network namespace to where the claim says.
pub fn send(namespace: &str, claim: &Claim, envelope: &Envelope) -> Result<Answer> {
    send_bytes(namespace, claim, &serde_json::to_vec(envelope)?)
}

/// Posts any bytes.
pub fn send_bytes(namespace: &str, claim: &Claim, bytes: &[u8]) -> Result<Answer> {
    let url = claim.url.as_deref().context("the claim names no url")?;
    let pin = claim.pin.context("the claim has no pin")?;
    let mut body = tempfile::NamedTempFile::new()?;
    body.write_all(bytes)?;
    let ran = run::must(
        run::command(["ip", "netns", "exec", namespace, "curl", "--silent", "--show-error", "--insecure"])
            .args(["--max-time", "20", "--noproxy", "*", "--header", "content-type: application/json"])
            .args(["--pinnedpubkey", &pin.to_string(), "--write-out", "\n%{http_code}", "--data-binary"])
            .arg(format!("@{}", body.path().display()))
            .arg(format!("{url}{}", firstlight_shared::paths::REPORT_ENDPOINT)),
    )?;
    let (body, status) = ran.rsplit_once('\n').context("curl gave no status")?;
    Ok(Answer { status: status.parse()?, body: body.to_owned() })
}

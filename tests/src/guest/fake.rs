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
use ssh_key::{Algorithm, PrivateKey};

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

impl FakeGuest {
    pub fn new(hostname: &str) -> Result<Self> {
        let mut random = [0; 16];
        OsRng.fill_bytes(&mut random);
        Ok(Self {
            key: PrivateKey::random(&mut OsRng, Algorithm::Ed25519)?,
            machine_id: MachineId::from_random(random),
            hostname: hostname.to_owned(),
            mac: None,
            address: None,
        })
    }

    /// A report in which all is well.
    pub fn report(&self, claim: Option<&Claim>) -> Result<Report> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
        let mut random = [0; 16];
        OsRng.fill_bytes(&mut random);
        Ok(Report {
            version: REPORT_VERSION,
            report_id: MachineId::from_random(random).expose(),
            agent: Agent { name: "firstlight-guest".into(), version: "0.0.0-fake".into() },
            claim_id: claim.map(|claim| claim.id.clone()),
            boot_id: None,
            made_at_ms: u64::try_from(now)?,
            state: ReportState::Ready,
            identity: Identity {
                decision: Decision::Renew,
                reason: "a fake".into(),
                machine_id: MachineIdOutcome {
                    derived: Some(self.machine_id.derived()),
                    state: MachineIdState::Fresh,
                    reboot_required: false,
                    prediction: None,
                },
                hostname: Hostname {
                    current: self.hostname.clone(),
                    expected: Some(self.hostname.clone()),
                    ok: true,
                },
                ssh_host_keys: vec![HostKey::of(self.key.public_key())?],
                removed_host_keys: vec![],
                pending: vec![],
                problems: vec![],
                items: vec![],
                age_recipient: None,
            },
            network: vec![Interface {
                name: "eth0".into(),
                mac: self.mac,
                up: true,
                addresses: self.address.map(|address| Address { address, prefix: 24 }).into_iter().collect(),
            }],
            checks: vec![CheckResult {
                id: "system-running".into(),
                severity: Severity::Required,
                verdict: Verdict::Pass,
                reason: "a fake".into(),
                elapsed_ms: 1,
                seen: None,
            }],
            facts: Facts::default(),
            timings_ms: BTreeMap::from([("identity".into(), 1)]),
            boot: None,
            secrets: Vec::new(),
            evidence_timer: None,
        })
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

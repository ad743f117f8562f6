//! Puts the report together and chooses the key that signs it.

use std::collections::BTreeMap;

use firstlight_shared::check::CheckResult;
use firstlight_shared::wire::{
    Agent, Claim, Decision, HostKey, Hostname, Identity, ItemAction, MachineIdOutcome, MachineIdState,
    REPORT_VERSION, Report, ReportState, SecretOutcome,
};
use ssh_key::rand_core::OsRng;
use ssh_key::{Algorithm, PrivateKey};
use zeroize::Zeroizing;

use super::boot::BootFacts;
use super::facts;
use crate::identity::{Outcome, PendingOutcome};
use crate::keys::{self, KeyType, Private};
use crate::paths;
use crate::secrets;
use crate::sys::{Machine, millis, random_bytes};

#[derive(Debug)]
pub(super) struct Parts<'a> {
    pub machine: &'a Machine,
    pub outcome: Option<&'a Outcome>,
    pub claim: Option<&'a Claim>,
    pub checks: Vec<CheckResult>,
    pub checks_ms: u64,
    pub boot: BootFacts,
    pub evidence_timer: Option<bool>,
    pub pending: PendingOutcome,
    pub problems: Vec<String>,
}

pub(super) fn build(parts: Parts<'_>) -> (Report, PrivateKey) {
    let machine = parts.machine;
    let failed = parts.outcome.is_none_or(|outcome| outcome.failure.is_some());
    let state = match parts.checks.iter().any(CheckResult::blocks_readiness) {
        _ if failed => ReportState::Failed,
        true => ReportState::Degraded,
        false => ReportState::Ready,
    };
    let mut timings_ms = parts.outcome.map(|outcome| outcome.timings_ms.clone()).unwrap_or_default();
    add_timings(&mut timings_ms, &parts);
    let report = Report {
        version: REPORT_VERSION,
        report_id: random_bytes::<16>().iter().map(|byte| format!("{byte:02x}")).collect(),
        agent: Agent {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        },
        claim_id: parts.claim.map(|claim| claim.id.clone()),
        boot_id: machine.root.read_text(paths::BOOT_ID).ok().flatten().map(|id| id.trim().to_owned()),
        made_at_ms: machine.clock().now_ms(),
        state,
        network: machine.interfaces(),
        facts: facts::gather(machine, parts.boot.systemd.clone()),
        timings_ms,
        boot: parts.boot.timing.clone(),
        secrets: secrets_now(&parts),
        evidence_timer: parts.evidence_timer,
        identity: identity_now(&parts),
        checks: parts.checks,
    };
    // A key of the golden that could not be removed must not vouch for anything.
    let own = if failed { None } else { host_key(machine) };
    (report, own.unwrap_or_else(ephemeral))
}

fn add_timings(timings_ms: &mut BTreeMap<String, u64>, parts: &Parts<'_>) {
    timings_ms.insert("checks".to_owned(), parts.checks_ms);
    if parts.pending.made {
        timings_ms.insert("rsa".to_owned(), parts.pending.elapsed_ms);
    }
    if let Some(age) = parts.machine.age_of_boot() {
        timings_ms.insert("boot_to_report".to_owned(), millis(age));
    }
}

/// As the early phase found them; where it knew of no claim, as they are now.
fn secrets_now(parts: &Parts<'_>) -> Vec<SecretOutcome> {
    let Some(outcome) = parts.outcome else { return Vec::new() };
    if outcome.failure.is_none() && outcome.claim_id.is_none() {
        return secrets::settle(parts.machine, parts.claim);
    }
    outcome.secrets.clone()
}

/// The early phase's outcome, brought up to date with what the late one made.
fn identity_now(parts: &Parts<'_>) -> Identity {
    let Some(outcome) = parts.outcome else { return identity_unknown(parts) };
    let mut identity = outcome.identity.clone();
    if let Some(failure) = &outcome.failure {
        identity.problems.insert(0, failure.message.clone());
    }
    for item in identity.items.iter_mut().filter(|item| parts.pending.items.contains(&item.item)) {
        item.action = ItemAction::Renewed;
    }
    if outcome.failure.is_none() {
        identity.pending.clone_from(&parts.pending.left);
    }
    if let Ok(found) = keys::scan(&parts.machine.root) {
        let usable =
            found.keys.iter().filter(|k| matches!(k.private, Private::Readable(_) | Private::Opaque));
        identity.ssh_host_keys =
            usable.filter_map(|key| key.key()).filter_map(|key| HostKey::of(key).ok()).collect();
        // A golden's key that could not be removed is nobody's to encrypt for.
        identity.age_recipient = keys::age_recipient(&found).filter(|_| outcome.failure.is_none());
    }
    // Both phases read the same configuration and claim, and may have the same to say of it.
    for problem in parts.pending.problems.iter().chain(&parts.problems) {
        if !identity.problems.contains(problem) {
            identity.problems.push(problem.clone());
        }
    }
    identity
}

fn identity_unknown(parts: &Parts<'_>) -> Identity {
    let reason = "the identity phase left no outcome in this boot";
    let mut problems = vec![reason.to_owned()];
    problems.extend(parts.problems.iter().cloned());
    Identity {
        decision: Decision::UnknownHistory,
        reason: reason.to_owned(),
        machine_id: MachineIdOutcome {
            derived: None,
            state: MachineIdState::Invalid,
            reboot_required: false,
            prediction: None,
        },
        hostname: Hostname {
            current: parts.machine.kernel_hostname().unwrap_or_default(),
            expected: None,
            ok: false,
        },
        ssh_host_keys: Vec::new(),
        removed_host_keys: Vec::new(),
        pending: Vec::new(),
        problems,
        items: Vec::new(),
        age_recipient: None,
    }
}

fn host_key(machine: &Machine) -> Option<PrivateKey> {
    let found = keys::scan(&machine.root).ok()?;
    let path = found.place_of(KeyType::Ed25519).private;
    let bytes = Zeroizing::new(machine.root.read(&path).ok()??);
    let key = PrivateKey::from_openssh(&*bytes).ok()?;
    (key.algorithm() == Algorithm::Ed25519 && !key.is_encrypted()).then_some(key)
}

/// Signs where there is no ed25519 host key; the report's reader sees that it is none of the host keys.
fn ephemeral() -> PrivateKey {
    let pair = ssh_key::private::Ed25519Keypair::random(&mut OsRng);
    PrivateKey::from(pair)
}

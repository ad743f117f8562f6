//! Reads everything again from the disk: only what is found there goes into the stamp and the report.

use firstlight_shared::error::{Chain, Code};
use firstlight_shared::wire::{Decision, HostKey, Hostname, Identity, MachineIdOutcome, MachineIdState};

use super::apply::Applied;
use super::hosts::HostnameOwner;
use super::machine_id::{MachineIdFile, broken_prediction, classify};
use super::observe::Observation;
use super::plan::{Plan, hostname_problem, is_goldens};
use crate::keys::{self, HostKeys, KeyFile, KeyType, Private};
use crate::paths;
use crate::sys::{Kind, Machine};

/// The only reasons to keep sshd down: no key, a golden's key, or no way to tell.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum IdentityError {
    #[error("no fresh host key could be made")]
    NoHostKey,
    #[error("a host key of the golden is still there: {names}")]
    GoldenKey { names: String },
    /// Never taken for "none is left".
    #[error("whether a host key of the golden is left cannot be told")]
    Unreadable,
}

impl Code for IdentityError {
    fn code(&self) -> &'static str {
        match self {
            Self::NoHostKey => "no-host-key",
            Self::GoldenKey { .. } => "golden-host-key",
            Self::Unreadable => "host-keys-unreadable",
        }
    }
}

/// What was found, and whether sshd may start.
pub(crate) fn verify(
    machine: &Machine,
    seen: &Observation,
    plan: &Plan,
    applied: &Applied,
) -> (Identity, Option<IdentityError>) {
    let mut problems: Vec<String> = plan.problems.iter().chain(&applied.problems).cloned().collect();
    let scanned = keys::scan(&machine.root);
    let failure = match &scanned {
        Ok(now) => judge_keys(seen, plan, applied, now),
        Err(error) => {
            problems.push(Chain(error).to_string());
            Some(IdentityError::Unreadable)
        }
    };
    let now = scanned.unwrap_or_default();
    problems.extend(
        now.keys
            .iter()
            .filter(|key| is_broken(&now, key, plan))
            .map(|key| format!("the host key {} is not whole", key.name)),
    );
    // A public half alone is no key that this machine has.
    let has_private = |key: &&KeyFile| matches!(key.private, Private::Readable(_) | Private::Opaque);
    let present: Vec<HostKey> = now
        .keys
        .iter()
        .filter(has_private)
        .filter_map(KeyFile::key)
        .filter_map(|key| HostKey::of(key).ok())
        .collect();
    let removed_host_keys = seen
        .keys
        .keys
        .iter()
        .filter_map(KeyFile::fingerprint)
        .filter(|old| !present.iter().any(|key| key.fingerprint == *old))
        .collect();
    let identity = Identity {
        decision: plan.decision,
        reason: plan.reason.clone(),
        machine_id: verify_machine_id(machine, seen, plan, &mut problems),
        hostname: verify_hostname(machine, seen, plan, &mut problems),
        ssh_host_keys: present,
        removed_host_keys,
        pending: plan.pending_keys.iter().chain(&plan.pending_items).cloned().collect(),
        problems,
        items: applied.items.clone(),
        age_recipient: None,
    };
    (identity, failure)
}

fn judge_keys(seen: &Observation, plan: &Plan, applied: &Applied, now: &HostKeys) -> Option<IdentityError> {
    let made =
        |key: &KeyFile| key.is_whole() && applied.made.iter().any(|made| Some(&made.public) == key.key());
    let foreign = |key: &&KeyFile| match plan.decision {
        Decision::Renew => !made(key),
        _ => is_goldens(seen, key),
    };
    let names: Vec<&str> = now.keys.iter().filter(foreign).map(|key| key.name.as_str()).collect();
    if !names.is_empty() {
        return Some(IdentityError::GoldenKey { names: names.join(", ") });
    }
    // A key of a form that is not read here, without its public half: it may be one that golden.json names.
    let keeps = matches!(plan.decision, Decision::UnknownHistory | Decision::RestoreFirst);
    let has_record = seen.golden.as_ref().is_some_and(|golden| !golden.host_keys.is_empty());
    let unknowable = |key: &KeyFile| key.private == Private::Opaque && key.fingerprint().is_none();
    if keeps && has_record && now.keys.iter().any(unknowable) {
        return Some(IdentityError::Unreadable);
    }
    let usable = |key: &KeyFile| matches!(key.private, Private::Readable(_) | Private::Opaque);
    (plan.needs_keys && !now.keys.iter().any(usable)).then_some(IdentityError::NoHostKey)
}

/// A configured key that sshd would refuse and that is not left to the report phase.
fn is_broken(now: &HostKeys, key: &KeyFile, plan: &Plan) -> bool {
    let pending = plan
        .pending_keys
        .iter()
        .filter_map(|name| KeyType::parse(name))
        .any(|kind| now.place_of(kind).name == key.name);
    !pending && !key.is_whole() && key.private != Private::Opaque
}

fn verify_machine_id(
    machine: &Machine,
    seen: &Observation,
    plan: &Plan,
    problems: &mut Vec<String>,
) -> MachineIdOutcome {
    let bytes = machine.root.read(paths::MACHINE_ID).ok().flatten();
    let now = classify(bytes.as_deref());
    let unchanged = now == seen.machine_id;
    let mut state = plan.machine_id.state();
    if state == MachineIdState::Renewed && unchanged {
        problems.push("the machine-id could not be renewed".to_owned());
        state = MachineIdState::Invalid;
    }
    // Fresh in the eyes of the clock, but an earlier run of this boot made it, not systemd.
    if state == MachineIdState::Fresh && seen.reboot_required {
        state = MachineIdState::Renewed;
    }
    let MachineIdFile::Valid(id) = now else {
        return MachineIdOutcome {
            derived: None,
            state: MachineIdState::Invalid,
            reboot_required: false,
            prediction: None,
        };
    };
    if machine.root.kind(paths::DBUS_MACHINE_ID) == Some(Kind::File) && plan.decision == Decision::Renew {
        problems.push("D-Bus keeps a machine-id of its own".to_owned());
    }
    let reboot_required = machine.live && machine.root.kind(paths::REBOOT_REQUIRED).is_some();
    let claimed = seen.claim.as_ref().and_then(|claim| claim.machine_id);
    let prediction = seen.origins.predict(claimed, id.derived());
    // Where the source itself is at fault, the plan says so already.
    if !problems.iter().any(|problem| problem.starts_with("predictable duplicate")) {
        problems.extend(broken_prediction(prediction.as_ref(), state));
    }
    MachineIdOutcome { derived: Some(id.derived()), state, reboot_required, prediction }
}

fn verify_hostname(
    machine: &Machine,
    seen: &Observation,
    plan: &Plan,
    problems: &mut Vec<String>,
) -> Hostname {
    let file = || machine.root.read_text(paths::HOSTNAME).ok().flatten().map(|text| text.trim().to_owned());
    let current = machine.kernel_hostname().or_else(file).unwrap_or_default();
    let ok = match &plan.hostname.expected {
        Some(expected) => *expected == current,
        None => hostname_problem(seen, &current).is_none() && (!current.is_empty() || !machine.live),
    };
    if let Some(expected) = plan.hostname.expected.as_ref().filter(|_| !ok) {
        let whose = match plan.hostname.owner {
            HostnameOwner::Guest => "",
            HostnameOwner::Proxmox => ": Proxmox VE writes it at each start, change it there",
        };
        problems.push(format!("the host name is `{current}`, `{expected}` is expected{whose}"));
    }
    Hostname { current, expected: plan.hostname.expected.clone(), ok }
}

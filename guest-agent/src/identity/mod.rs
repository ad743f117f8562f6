//! The identity phase: observe → plan (pure) → apply → verify → stamp. Synchronous, early in the boot, fast.
//!
//! A crash at any point is followed by a run that ends whole: the stamp is written last, and without it everything
//! is renewed again. sshd is ordered after this phase and requires it.

mod apply;
mod decide;
mod observe;
mod outcome;
mod plan;
mod stamp;
mod verify;

pub(crate) use observe::observe;
pub(crate) use outcome::{Failure, Outcome, load as load_outcome, save as save_outcome};
pub(crate) use plan::{MachineIdPlan, Plan, plan};
pub(crate) use stamp::{Stamp, StampState, load as load_stamp, save as save_stamp};

use std::collections::BTreeMap;

use firstlight_shared::error::{Chain, Code};
use firstlight_shared::wire::{Decision, Identity};

use crate::items;
use crate::keys::KeyFile;
use crate::paths;
use crate::sys::{Machine, Stopwatch, millis};

/// Runs the phase. The outcome also stands in /run/firstlight/identity.json where the root is the running one.
pub(crate) fn run(machine: &Machine) -> Outcome {
    let watch = Stopwatch::start();
    // Another run may be at work; without a state folder yet there is nothing to wait for.
    let _lock = machine.root.lock(paths::STATE_DIR);
    let mut timings_ms = BTreeMap::new();
    if let Some(age) = machine.age_of_boot() {
        timings_ms.insert("boot_to_identity_start".to_owned(), millis(age));
    }
    let seen = observe(machine);
    let plan = plan_with_items(machine, &seen);
    let applied = apply::apply(machine, &seen, &plan);
    let (mut identity, failure) = verify::verify(machine, &seen, &plan, &applied);
    if failure.is_none() && plan.restamp {
        let saved = save_stamp(&machine.root, &stamp_of(machine, &seen, &plan, &identity));
        if let Err(error) = saved {
            identity.problems.push(format!("{}: the next boot will renew again", Chain(&error)));
        }
    }
    timings_ms.insert("identity".to_owned(), watch.elapsed_ms());
    if let Some(age) = machine.age_of_boot() {
        timings_ms.insert("boot_to_identity".to_owned(), millis(age));
    }
    let mut outcome = Outcome {
        version: 1,
        failure: failure.map(|error| Failure { code: error.code().to_owned(), message: error.to_string() }),
        identity,
        claim_id: seen.claim.as_ref().map(|claim| claim.id.clone()),
        finished_at_ms: machine.clock().now_ms(),
        timings_ms,
    };
    if machine.live
        && let Err(error) = save_outcome(&machine.root, &outcome)
    {
        outcome.identity.problems.push(Chain(&error).to_string());
    }
    outcome
}

/// The plan for what was seen. Later boots, which renew nothing, do not spend their time on looking for items.
pub(crate) fn plan_with_items(machine: &Machine, seen: &observe::Observation) -> Plan {
    let mut plan = plan(seen);
    if plan.decision == Decision::Renew {
        plan.items = items::find_at_first_boot(&machine.root);
    }
    plan
}

fn stamp_of(machine: &Machine, seen: &observe::Observation, plan: &Plan, identity: &Identity) -> Stamp {
    let machine_id = identity.machine_id.derived;
    let mut evidence = seen.evidence.clone();
    evidence.machine_id = machine_id;
    evidence.container_uuid = evidence.container_uuid.filter(|uuid| Some(*uuid) != machine_id);
    let claim_id = seen.claim.as_ref().map(|claim| claim.id.clone());
    Stamp {
        version: stamp::STAMP_VERSION,
        agent: env!("CARGO_PKG_VERSION").to_owned(),
        made_at_ms: machine.clock().now_ms(),
        decision: plan.decision,
        evidence,
        // A run without a claim does not forget the one that made this machine.
        claim_id: claim_id.or_else(|| seen.stamp.valid()?.claim_id.clone()),
        host_keys: identity.ssh_host_keys.iter().map(|key| key.fingerprint.clone()).collect(),
        pending: identity.pending.clone(),
    }
}

/// Makes the pending keys of the early phase; the stamp then names what is left.
///
/// Returns one line per problem. Takes the time that RSA takes: call it off the runtime's thread.
pub(crate) fn make_pending(machine: &Machine, pending: &[String]) -> PendingOutcome {
    let watch = Stopwatch::start();
    let _lock = machine.root.lock(paths::STATE_DIR);
    let mut outcome = PendingOutcome::default();
    for kind in pending.iter().filter_map(|name| crate::keys::KeyType::parse(name)) {
        match make_one(machine, kind) {
            Ok(made) => outcome.made |= made,
            Err(problem) => {
                outcome.left.push(kind.as_str().to_owned());
                outcome.problems.push(problem);
            }
        }
    }
    if let StampState::Valid(mut stamp) = load_stamp(&machine.root) {
        stamp.pending.clone_from(&outcome.left);
        if let Ok(keys) = crate::keys::scan(&machine.root) {
            stamp.host_keys = keys.keys.iter().filter_map(KeyFile::fingerprint).collect();
        }
        if let Err(error) = save_stamp(&machine.root, &stamp) {
            outcome.problems.push(Chain(&error).to_string());
        }
    }
    outcome.elapsed_ms = watch.elapsed_ms();
    outcome
}

#[derive(Debug, Default)]
pub(crate) struct PendingOutcome {
    pub made: bool,
    pub left: Vec<String>,
    pub problems: Vec<String>,
    pub elapsed_ms: u64,
}

/// Whether a key was made; false if a whole one is there already (an earlier run was cut off before the stamp).
fn make_one(machine: &Machine, kind: crate::keys::KeyType) -> Result<bool, String> {
    let scan = || crate::keys::scan(&machine.root).map_err(|error| Chain(&error).to_string());
    let name = kind.file_name();
    let before = scan()?;
    let old = before.named(&name);
    if old.is_some_and(KeyFile::is_whole) {
        return Ok(false);
    }
    let made = [crate::keys::make(kind).map_err(|error| Chain(&error).to_string())?];
    let old: Vec<&KeyFile> = old.into_iter().collect();
    crate::keys::install(&machine.root, &made, &old).map_err(|error| Chain(&error).to_string())?;
    let verified =
        scan()?.named(&name).is_some_and(|key| key.is_whole() && key.key() == Some(&made[0].public));
    if verified { Ok(true) } else { Err(format!("the host key {name} did not verify")) }
}

#[cfg(test)]
mod tests;

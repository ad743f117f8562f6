//! The identity phase: observe → plan (pure) → apply → verify → stamp. Synchronous, early in the boot, fast.
//!
//! A crash at any point is followed by a run that ends whole: the stamp is written last, and without it everything
//! is renewed again. sshd is ordered after this phase and requires it.

mod adopt;
mod apply;
mod decide;
mod hosts;
mod machine_id;
mod observe;
mod outcome;
mod pending;
mod plan;
mod reboot;
mod stamp;
mod verify;

pub(crate) use adopt::{AdoptError, Adopted, adopt};
#[cfg(feature = "fuzzing")]
pub(crate) use hosts::{Signs, owner as hostname_owner, rename as rename_hosts};
pub(crate) use machine_id::{MachineIdFile, classify as classify_machine_id};
pub(crate) use observe::observe;
pub(crate) use outcome::{Failure, Outcome, load as load_outcome, save as save_outcome};
pub(crate) use pending::{PendingOutcome, make_pending};
pub(crate) use plan::{CloudInitPlan, MachineIdPlan, Plan, plan};
#[cfg(feature = "fuzzing")]
pub(crate) use stamp::parse as parse_stamp;
pub(crate) use stamp::{Stamp, StampState, load as load_stamp, save as save_stamp};

use std::collections::BTreeMap;
use std::time::Duration;

use firstlight_shared::error::{Chain, Code};
use firstlight_shared::wire::{Decision, Identity};
use stamp::Unfinished;

use crate::items;
use crate::paths;
use crate::secrets;
use crate::sys::{Machine, Stopwatch, millis};

/// So long the claim may take to come. sshd waits meanwhile; the unit may take a minute in all.
const CLAIM_PATIENCE: Duration = Duration::from_secs(30);

/// Runs the phase. The outcome also stands in /run/firstlight/identity.json where the root is the running one.
pub(crate) fn run(machine: &Machine) -> Outcome {
    let watch = Stopwatch::start();
    // Another run may be at work; without a state folder yet there is nothing to wait for.
    let _lock = machine.root.lock(paths::LOCK);
    let mut timings_ms = BTreeMap::new();
    if let Some(age) = machine.age_of_boot() {
        timings_ms.insert("boot_to_identity_start".to_owned(), millis(age));
    }
    let seen = observe::observe_within(machine, CLAIM_PATIENCE);
    let plan = plan_with_items(machine, &seen);
    let applied = apply::apply(machine, &seen, &plan);
    // After the golden's leftovers are gone.
    let secrets = secrets::settle(machine, seen.claim.as_ref());
    let (mut identity, failure) = verify::verify(machine, &seen, &plan, &applied);
    if failure.is_none() && plan.restamp {
        if !applied.keys_are_durable {
            identity.problems.push(
                "the host keys may not be on the disk: not stamped, the next boot tries again".to_owned(),
            );
        } else if let Err(error) =
            save_stamp(&machine.root, &stamp_of(machine, &seen, &plan, &identity, &applied.unfinished))
        {
            identity.problems.push(format!("{}: the next boot will try again", Chain(&error)));
        }
    }
    let reboot = reboot::wanted(machine, seen.settings.reboot, failure.is_none(), &mut identity);
    identity.problems.extend(secrets::problems(&secrets));
    identity.problems.extend(machine.root.take_notes());
    timings_ms.insert("identity".to_owned(), watch.elapsed_ms());
    if let Some(age) = machine.age_of_boot() {
        timings_ms.insert("boot_to_identity".to_owned(), millis(age));
    }
    let mut outcome = Outcome {
        version: 1,
        failure: failure.map(|error| Failure { code: error.code().to_owned(), message: error.to_string() }),
        identity,
        secrets,
        claim_id: seen.claim.as_ref().map(|claim| claim.id.clone()),
        hostname_changed: plan.hostname.write_file || plan.hostname.set_kernel,
        reboot,
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
        // What was put there for this guest is no leftover.
        plan.items.found.retain(|found| !secrets::is_delivered(seen.claim.as_ref(), &found.path));
        plan.pending_items = items::late(&plan.items);
    } else if let Some(stamp) = seen.stamp.valid() {
        // An earlier boot ended before its late phase had done them.
        plan.pending_items = items::late_among(&stamp.pending);
    }
    plan
}

fn stamp_of(
    machine: &Machine,
    seen: &observe::Observation,
    plan: &Plan,
    identity: &Identity,
    unfinished: &[Unfinished],
) -> Stamp {
    // A machine that is still the same does not forget what it knew of signals that are absent now.
    let known = seen.stamp.valid().filter(|_| {
        matches!(plan.decision, Decision::Keep | Decision::AlreadyProvisioned | Decision::SuspectClone)
    });
    let mut evidence = match known {
        // A suspicion stays one until somebody has spoken.
        Some(stamp) if plan.decision == Decision::SuspectClone => stamp.evidence.clone(),
        Some(stamp) => seen.evidence.or(&stamp.evidence),
        None => seen.evidence.clone(),
    };
    // A machine-id that is still to be replaced says nothing about which machine this is.
    let is_final = !unfinished.contains(&Unfinished::MachineId) && !seen.machine_id_is_mounted;
    evidence.machine_id = identity.machine_id.derived.filter(|_| is_final);
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
        in_image: !seen.runs,
        unfinished: unfinished.to_vec(),
    }
}

#[cfg(test)]
mod tests;

//! What the journal of a bring-up says of its guest: what was asked for, chosen, made and found. Pure.

use std::net::IpAddr;

use firstlight_shared::wire::Claim;
use serde::{Deserialize, Serialize};

use super::spec::GuestSpec;
use crate::backend::{Allocation, GuestPlan, ID_TAKEN, Observed, Placement};
use crate::intake::{BeaconView, Delivered};
use crate::job::State;
use crate::outcome::Fault;

// Steps, by whose names their outputs are found.
pub(super) const ALLOCATE: &str = "allocate";
/// Stands in its place where the guest is somebody else's, with the same output.
pub(super) const ADOPT: &str = "adopt";
pub(super) const RESTORE: &str = "restore";
pub(super) const FINISH: &str = "finish";
pub(super) const DELIVER_SECRETS: &str = "deliver-secrets";
pub(super) const AWAIT_REPORT: &str = "await-report";
pub(super) const VERIFY: &str = "verify";

/// In the output of `await-report`: the beacon that stood then. In that of `verify`: there was nothing else.
pub(super) const BEACON: &str = "beacon";
/// In the output of `await-report`: when the hypervisor's word that the guest is ready woke the job, if it came first.
pub(super) const TOLD_AT: &str = "told_at_ms";
/// In the output of `verify`: what could not be shown of the guest, in words for people.
pub(super) const UNPROVEN: &str = "unproven";
pub(super) const CONTENDED: &str = "allocation-contended";
/// In the output of `deliver-secrets`.
pub(super) const SECRETS: &str = "secrets";

/// The output of `allocate`, journaled before anything is made. The claim's secret is not in it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Allocated {
    pub(super) claim_id: String,
    pub(super) url: String,
    #[serde(flatten)]
    pub(super) allocation: Allocation,
}

impl Allocated {
    /// Of a job that got that far.
    pub(super) fn of(state: &State) -> Option<Self> {
        let output = state.outputs.get(ALLOCATE).or_else(|| state.outputs.get(ADOPT))?;
        Self::deserialize(output).ok()
    }

    /// The guest with what was chosen for it; its claim has no secret and says only whom it is for and where to report.
    pub(super) fn placement(self, job: &str, plan: GuestPlan, state: &State) -> Placement {
        let claim = Claim { url: Some(self.url), ..Claim::new(self.claim_id, None) };
        let mut allocation = self.allocation;
        // Another id was chosen if the first one was somebody else's.
        if let (Some(slot), Some(id)) = (&mut allocation.slot, id_in_use(state)) {
            slot.id = id;
        }
        if let Some(slot) = allocation.slot.as_mut().filter(|slot| slot.uuid.is_none()) {
            // The hypervisor chose it, where we may not.
            slot.uuid = as_made(state, "uuid");
        }
        let made = state.outputs.contains_key(RESTORE);
        let tasks = state.last_tasks.clone();
        // Of an id that is somebody else's it is known what was asked for: nothing that was taken.
        let is_elses = |fault: &Fault| [ID_TAKEN, CONTENDED, "foreign"].contains(&fault.code.as_str());
        let unsure = state.unsure.contains(RESTORE) && !state.failure.as_ref().is_some_and(is_elses);
        Placement { made, tasks, unsure, ..Placement::new(job, plan, allocation, claim) }
    }
}

/// The beacon that ended the wait for the guest, if one did.
pub(super) fn beacon_of(state: &State) -> Option<BeaconView> {
    BeaconView::deserialize(state.outputs.get(AWAIT_REPORT)?.get(BEACON)?).ok()
}

/// The guest was found ready without its report.
pub(super) fn is_by_beacon_alone(state: &State) -> bool {
    state.outputs.get(VERIFY).is_some_and(|output| output.get(BEACON).is_some())
}

/// What could not be shown of a guest that was found ready.
pub(super) fn unproven(state: &State) -> Vec<String> {
    let found = state.outputs.get(VERIFY).and_then(|output| output.get(UNPROVEN));
    found.and_then(|found| Vec::deserialize(found).ok()).unwrap_or_default()
}

/// What the job's guest is to its hypervisor, where ids are chosen.
pub(super) fn id_of(state: &State) -> Option<String> {
    id_in_use(state).or_else(|| Some(Allocated::of(state)?.allocation.slot?.id))
}

/// The id that the guest was made with, once it was.
fn id_in_use(state: &State) -> Option<String> {
    as_made(state, "id")
}

/// What the restore tells of the guest that it made.
fn as_made(state: &State, key: &str) -> Option<String> {
    Some(state.outputs.get(RESTORE)?.get(key)?.as_str()?.to_owned())
}

/// What was asked for, as the journal keeps it.
pub(super) fn spec_of(state: &State) -> Result<GuestSpec, Fault> {
    serde_json::from_value(state.spec.spec.clone())
        .map_err(|error| Fault::new("spec-unreadable", format!("the job's spec cannot be read: {error}")))
}

/// Somebody else made the guest: it is only waited for.
pub(super) fn is_adoption(state: &State) -> bool {
    state.spec.steps.first().is_some_and(|step| step.name == ADOPT)
}

/// The addresses that we chose; where the guest's network does, those that the hypervisor listed of it.
pub(super) fn reached_at(state: &State) -> Vec<IpAddr> {
    let chosen = Allocated::of(state).map(|allocated| allocated.allocation.addresses).unwrap_or_default();
    if !chosen.is_empty() {
        return chosen;
    }
    let observed = state.outputs.get(VERIFY).and_then(|output| output.get("observed"));
    observed.and_then(|observed| Observed::deserialize(observed).ok()).map_or(chosen, |seen| seen.addresses)
}

/// What this job has delivered, as its journal knows it.
pub(super) fn delivered_by(state: &State) -> Vec<Delivered> {
    let output = state.outputs.get(DELIVER_SECRETS).and_then(|output| output.get(SECRETS));
    output.and_then(|secrets| Vec::deserialize(secrets).ok()).unwrap_or_default()
}

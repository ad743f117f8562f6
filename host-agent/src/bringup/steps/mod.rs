//! The steps of a bring-up, in order:
//! allocate, restore, mac, hostname, size, mounts, deliver-secrets (where there are any), start, await-report, verify, finish.
//! Of a guest that somebody else made: adopt, await-report, verify, finish.

mod adopt;
mod allocate;
mod await_report;
mod changing;
mod finish;
mod secrets;
mod stage;
mod verify;

use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use firstlight_shared::ids::MachineId;
use serde_json::Value;

use super::facts::{Allocated, CONTENDED, RESTORE};
use super::service::{Bringups, store_fault};
use super::spec::GuestSpec;
use crate::backend::{Backend, ClaimChannel, Placement, SecretPlan, Stage};
use crate::job::{Context, Saga, Step, StepInfo};
use crate::outcome::{Act, Fault};

pub(super) use adopt::{Likeness, handle};
pub(super) use allocate::{MAC, id_kind};
pub(super) use changing::{Changing, GONE, no_such_snapshot};

const START: &str = "start";

/// A restore copies a whole disk.
const SLOW: Duration = Duration::from_secs(30 * 60);
/// Everything else takes seconds, when the hypervisor is busy.
const FAST: Duration = Duration::from_secs(5 * 60);
const STOPPING: &str = "stopping";
const UNSEEN: &str = "guest-unseen";

/// The saga of one guest.
pub(super) struct BringUp {
    common: Arc<Common>,
    steps: Vec<Box<dyn Step>>,
}

/// What all steps of one job need.
struct Common {
    service: Weak<Bringups>,
    backend: Arc<dyn Backend>,
    spec: GuestSpec,
    job: String,
}

impl BringUp {
    pub(super) fn new(
        service: Weak<Bringups>,
        backend: Arc<dyn Backend>,
        spec: GuestSpec,
        job: &str,
    ) -> Self {
        let common = Arc::new(Common { service, backend, spec, job: job.to_owned() });
        let stage = |name, stage, deadline| -> Box<dyn Step> {
            Box::new(stage::StageStep::new(&common, name, stage, deadline))
        };
        let mut steps: Vec<Box<dyn Step>> = match &common.spec.adopt {
            Some(_) => vec![Box::new(adopt::Adopt(Arc::clone(&common)))],
            None => vec![
                Box::new(allocate::Allocate(Arc::clone(&common))),
                stage(RESTORE, Stage::Restore, SLOW),
                stage("mac", Stage::Mac, FAST),
                stage("hostname", Stage::Hostname, FAST),
                stage("size", Stage::Size, FAST),
                stage("mounts", Stage::Mounts, FAST),
            ],
        };
        if common.spec.adopt.is_none() {
            if !common.spec.plan.secrets.is_empty() {
                steps.push(Box::new(secrets::DeliverSecrets(Arc::clone(&common))));
            }
            steps.push(stage(START, Stage::Start, FAST));
        }
        steps.push(Box::new(await_report::AwaitReport(Arc::clone(&common))));
        steps.push(Box::new(verify::Verify(Arc::clone(&common))));
        steps.push(Box::new(finish::Finish(Arc::clone(&common))));
        Self { common, steps }
    }

    /// The steps as a journal names them.
    pub(super) fn step_infos(&self) -> Vec<StepInfo> {
        infos(&self.steps)
    }
}

fn infos(steps: &[Box<dyn Step>]) -> Vec<StepInfo> {
    let milliseconds = |deadline: Duration| u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
    let info = |step: &dyn Step| StepInfo {
        name: step.name().to_owned(),
        waits: step.waits(),
        deadline_ms: step.deadline().map(milliseconds),
    };
    steps.iter().map(|step| info(&**step)).collect()
}

/// Works as long as the job has the guest's name.
pub(super) fn destroy_command(guest: &str) -> String {
    format!("firstlight destroy {guest}")
}

/// The same for a guest that somebody else made: it stays as it is.
pub(super) fn forget_command(guest: &str) -> String {
    format!("firstlight abandon {guest}")
}

#[async_trait]
impl Saga for BringUp {
    fn steps(&self) -> &[Box<dyn Step>] {
        &self.steps
    }

    async fn leftovers(&self, context: &Context<'_>) -> Vec<String> {
        if self.common.spec.adopt.is_some() {
            // Nothing of it is ours: there is nothing to remove.
            return vec![forget_command(&context.state.spec.guest)];
        }
        let mut commands = vec![destroy_command(&context.state.spec.guest)];
        // Without the store, what the journal knows has to do.
        let placement = match self.common.placement(context).await {
            Ok(placement) => Ok(placement),
            Err(_) => self.common.bare_placement(context),
        };
        if let Ok(placement) = placement {
            commands.extend(self.common.backend.manual_cleanup(&placement));
        }
        commands
    }
}

impl Common {
    fn service(&self) -> Result<Arc<Bringups>, Fault> {
        self.service.upgrade().ok_or_else(|| Fault::new(STOPPING, "the companion is stopping"))
    }

    /// The guest with all that was chosen, and the claim with its secret as far as it is still kept.
    async fn placement(&self, context: &Context<'_>) -> Result<Placement, Fault> {
        let mut placement = self.bare_placement(context)?;
        let store = &self.service()?.store;
        if self.backend.claim_channel() == ClaimChannel::Secret {
            let stored = store.claim(&placement.claim.id).await.map_err(store_fault)?;
            placement.claim.secret = stored.filter(|claim| !claim.expired).map(|claim| claim.secret);
        }
        if let Some(slot) = &mut placement.allocation.slot {
            // Of those that were tried, the one that is held: it is durable before it is used.
            let held = store.reserved_by(context.job).await.map_err(store_fault)?;
            let kind = id_kind(&*self.backend);
            let mut ids = held.into_iter().filter(|(of, _)| *of == kind).map(|(_, id)| id).peekable();
            let in_use = ids.peek().cloned();
            if !ids.any(|id| id == slot.id) {
                slot.id = in_use.unwrap_or_else(|| slot.id.clone());
            }
        }
        Ok(placement)
    }

    fn bare_placement(&self, context: &Context<'_>) -> Result<Placement, Fault> {
        let allocated = Allocated::of(context.state)
            .ok_or_else(|| Fault::new("not-allocated", "nothing was chosen for this guest yet"))?;
        let mut placement = allocated.placement(&self.job, self.spec.plan.clone(), context.state);
        placement.adopted = self.spec.adopt.is_some();
        let uuid = placement.allocation.slot.as_ref().and_then(|slot| slot.uuid.as_deref());
        placement.claim.machine_id =
            uuid.and_then(|uuid| uuid.parse::<MachineId>().ok()).map(|id| id.derived());
        placement.claim.secrets = self.spec.plan.secrets.iter().map(SecretPlan::expected).collect();
        placement.claim.intent = Some(self.spec.plan.intent);
        placement.claim.hostname = Some(self.spec.plan.name.clone());
        placement.claim.pin = Some(self.service()?.pin);
        Ok(placement)
    }

    async fn console(&self, context: &Context<'_>) -> Vec<String> {
        let Ok(placement) = self.bare_placement(context) else { return Vec::new() };
        let lines = self.backend.console_tail(&placement, 20).await;
        lines.iter().map(|line| firstlight_shared::text::escape(line, 300)).collect()
    }
}

/// A store or a hypervisor that is away, a companion that stops, others that were faster: they say nothing about the guest, and it is tried
/// again.
fn unless_store(fault: Fault) -> Act {
    match fault.code.as_str() {
        "store" | STOPPING | CONTENDED | UNSEEN => Act::Unknown(fault),
        _ => Act::Refused(fault),
    }
}

fn nothing() -> Value {
    Value::Object(serde_json::Map::new())
}

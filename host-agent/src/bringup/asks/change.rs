//! Changes of guests that are ready: a job of their own, with a step for each thing that is done, beside the guest's.
//!
//! One guest has one change at a time, and none while its own job is asked for something: the store holds to that.
//!
//! | change | steps | if it fails |
//! |---|---|---|
//! | memory | look, snapshot (where asked for), memory, up | the memory is what it was, the snapshot is removed |
//! | snapshot | look, snapshot | the snapshot is removed |
//! | remove-snapshot | look, remove-snapshot | it stays as it is |
//! | rollback | look, rollback, up | it needs an operator: nobody knows a way back |
//! | promote | promote, record | it stays ephemeral |

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::budget::{Asker, Count};
use super::submit::{new_id, overtaken};
use crate::backend::{Placement, Snapshot};
use crate::bringup::facts::{Allocated, spec_of};
use crate::bringup::service::{Bringups, store_fault};
use crate::bringup::spec::{Change, ChangeSpec, GuestSpec};
use crate::bringup::steps::{Changing, GONE, no_such_snapshot};
use crate::clock::now_ms;
use crate::job::{Event, JobSpec, JournalError, NewJob, Phase, Recorded, RequestKind, State};
use crate::outcome::Fault;
use crate::store::JobRow;

/// What a change may take beside the guest's own start.
const DEADLINE: Duration = Duration::from_secs(30 * 60);
/// How often to ask again, when the guest's own job is just being left by whoever drove it.
const ATTEMPTS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(100);

impl Bringups {
    /// Begins a change of a guest that is ready; asked again while it goes on, it is the same change. Answers the job to
    /// follow.
    pub async fn change(&self, guest: &str, change: &Change, by: &str) -> Result<String, Fault> {
        change.check()?;
        let _alone = self.counting.lock().await;
        for attempt in 1.. {
            let row = self.changeable(guest).await?;
            let mut count = Count::default();
            self.check_room(&row, change, &mut count).await?;
            self.refuse_lost(&row, change).await?;
            let spec = self.spec_of_change(&row, change, by).await?;
            let created = Recorded { seq: 0, at_ms: now_ms(), event: Event::Created(spec.clone()) };
            let job = NewJob { id: new_id(), created };
            match self.create(std::slice::from_ref(&job), &count).await {
                Ok(true) => return Ok(job.id),
                Ok(false) if attempt < ATTEMPTS => {}
                Ok(false) => return Err(overtaken()),
                Err(JournalError::NameTaken { job: other, .. }) => {
                    let state = self.state(&other).await.map_err(store_fault)?;
                    match state.filter(|state| state.spec.change_of.as_deref() == Some(&row.id)) {
                        Some(state) if state.spec.spec == spec.spec && !state.phase.is_final() => {
                            return Ok(other);
                        }
                        Some(state) => return Err(in_the_way(&row, &other, &state)),
                        None if attempt < ATTEMPTS => tokio::time::sleep(PAUSE).await,
                        None => {
                            let message = format!("guest {} is being worked on by its own job", row.guest);
                            return Err(Fault::new("guest-busy", message).with_hint("try again in a moment"));
                        }
                    }
                }
                Err(error) => {
                    let chain = firstlight_shared::error::Chain(&error).to_string();
                    return Err(Fault::new("journal", format!("the change was not recorded: {chain}")));
                }
            }
        }
        Err(Fault::new("guest-busy", "the guest is busy"))
    }

    /// A rollback stops where it cannot go on: what is no snapshot is told before it begins.
    async fn refuse_lost(&self, row: &JobRow, change: &Change) -> Result<(), Fault> {
        let Change::Rollback { name } = change else { return Ok(()) };
        let backend = self.hasty_backend(&row.backend)?;
        let found = backend.snapshots(&self.placed(&row.id).await?).await?;
        if found.iter().any(|snapshot| snapshot.name == *name) {
            return Ok(());
        }
        Err(no_such_snapshot(&row.guest, name))
    }

    /// What it shall have must fit beside what others have.
    pub(in crate::bringup) async fn check_room(
        &self,
        row: &JobRow,
        change: &Change,
        count: &mut Count,
    ) -> Result<(), Fault> {
        let Change::Memory { bytes, .. } = change else { return Ok(()) };
        let state = self.state(&row.id).await.map_err(store_fault)?;
        let state =
            state.ok_or_else(|| Fault::new("journal-unreadable", "the guest's journal cannot be read"))?;
        let slot = Allocated::of(&state).and_then(|allocated| allocated.allocation.slot);
        let asker = Asker::Change(&row.id, slot.as_ref().map(|slot| slot.node.as_str()));
        self.check_memory(&spec_of(&state)?, Some(*bytes), asker, count).await
    }

    /// The guest's own job, if the guest is ready and ours.
    async fn changeable(&self, guest: &str) -> Result<JobRow, Fault> {
        let row = self.row(guest).await?;
        if row.change_of.is_some() {
            let message = format!("job {} changes guest {}: name the guest", row.id, row.guest);
            return Err(Fault::new("not-a-guest", message));
        }
        if row.phase != Phase::Done {
            let message = format!("guest {} is not ready but {}", row.guest, row.phase.as_str());
            return Err(Fault::new("guest-not-ready", message)
                .with_hint(format!("`firstlight show {}` tells how it stands", row.guest)));
        }
        if self.is_adopted(&row.id).await? {
            let message = format!("guest {} was made by somebody else: it is not ours to change", row.guest);
            return Err(Fault::new("guest-not-ours", message));
        }
        match self.store.open_request(&row.id).await.map_err(store_fault)? {
            Some(open) if matches!(open.kind, RequestKind::Unwind | RequestKind::Anew { .. }) => {
                let message = format!("guest {} is being destroyed", row.guest);
                Err(Fault::new("guest-unwinding", message))
            }
            _ => Ok(row),
        }
    }

    async fn spec_of_change(&self, row: &JobRow, change: &Change, by: &str) -> Result<JobSpec, Fault> {
        let backend = self.backend(&row.backend)?;
        let state = self.state(&row.id).await.map_err(store_fault)?;
        let state =
            state.ok_or_else(|| Fault::new("journal-unreadable", "the guest's journal cannot be read"))?;
        let plan = spec_of(&state)?.plan;
        let spec = serde_json::to_value(ChangeSpec { change: change.clone() })
            .map_err(|error| Fault::new("spec-unwritable", error.to_string()))?;
        let resources = backend.resources(&plan);
        let steps =
            Changing::new(self.me.clone(), Arc::clone(&backend), change.clone(), "", &row.id).step_infos();
        Ok(JobSpec {
            guest: row.guest.clone(),
            backend: row.backend.clone(),
            spec,
            steps,
            keep_on_failure: change.is_one_way(),
            batch: new_id(),
            resources,
            deadline_ms: u64::try_from(DEADLINE.as_millis()).ok(),
            retry_of: None,
            by: by.to_owned(),
            change_of: Some(row.id.clone()),
            destroy_after_ms: None,
            ephemeral: false,
        })
    }

    /// The snapshots of a guest that is ready, as the hypervisor lists them.
    pub async fn snapshots(&self, guest: &str) -> Result<Vec<Snapshot>, Fault> {
        let row = self.changeable(guest).await?;
        let backend = self.backend(&row.backend)?;
        backend.snapshots(&self.placed(&row.id).await?).await
    }

    /// A guest that is ready, as the steps of changes work on it.
    pub(in crate::bringup) async fn placed(&self, job: &str) -> Result<Placement, Fault> {
        let state = self.state(job).await.map_err(store_fault)?;
        let state = state.filter(|state| state.phase == Phase::Done);
        let state = state.ok_or_else(|| Fault::new(GONE, "the guest is not there any more"))?;
        let spec = self.changed(job, spec_of(&state)?).await?;
        let allocated = Allocated::of(&state)
            .ok_or_else(|| Fault::new("not-allocated", "nothing was chosen for this guest"))?;
        Ok(allocated.placement(job, spec.plan, &state))
    }

    /// The change of a guest that goes on, if there is one: it is stopped, since the guest is to go.
    pub(in crate::bringup) async fn cancel_change_of(
        &self,
        job: &str,
        by: &str,
        reason: &str,
    ) -> Result<(), Fault> {
        let Some(change) = self.store.open_change_of(job).await.map_err(store_fault)? else { return Ok(()) };
        let row = self.row(&change).await?;
        self.ask(row, RequestKind::Unwind, by, reason).await.map(drop)
    }

    /// The guest's spec as it is after all changes that were made since.
    pub(in crate::bringup) async fn changed(
        &self,
        job: &str,
        mut spec: GuestSpec,
    ) -> Result<GuestSpec, Fault> {
        // What it had when each snapshot was taken comes back with it.
        let mut then = BTreeMap::new();
        for event in self.store.changes_made(job).await.map_err(store_fault)? {
            let Event::Created(made) = event else { continue };
            let change = ChangeSpec::of(&made)?.change;
            let memory = &mut spec.plan.size.memory_bytes;
            if let Change::Snapshot { name } | Change::Memory { snapshot: Some(name), .. } = &change {
                then.insert(name.clone(), *memory);
            }
            match change {
                Change::Memory { bytes, .. } => *memory = Some(bytes),
                Change::Rollback { name } => *memory = then.get(&name).copied().unwrap_or(*memory),
                Change::Promote => spec.plan.ephemeral = false,
                Change::Snapshot { .. } | Change::RemoveSnapshot { .. } => {}
            }
        }
        Ok(spec)
    }
}

fn in_the_way(row: &JobRow, job: &str, state: &State) -> Fault {
    let message =
        format!("guest {} is being changed already: job {job} is {}", row.guest, state.phase.as_str());
    Fault::new("change-in-progress", message).with_hint(match state.phase {
        Phase::NeedsOperator => {
            format!("see why with `firstlight show {job}`; then `firstlight retry {job}` or `firstlight abandon {job}`")
        }
        _ => format!("`firstlight watch {job}` follows it, `firstlight cancel {job}` stops it"),
    })
}

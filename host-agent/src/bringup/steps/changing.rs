//! The steps of a change: look, snapshot, memory, rollback, up and the like. See [`crate::bringup::Change`].
//!
//! The guest is the one that its own job made; what that job's journal says of it counts. A guest that went meanwhile
//! refuses every step, and nothing of it is undone.

use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use firstlight_shared::wire::Envelope;
use serde_json::{Value, json};

use super::{FAST, SLOW, nothing, store_fault, unless_store};
use crate::backend::{Backend, Placement};
use crate::bringup::service::Bringups;
use crate::bringup::spec::Change;
use crate::identities::identities;
use crate::job::{Context, Phase, Request, RequestKind, Saga, Step, StepInfo};
use crate::outcome::{Act, Fault, Followed, Probe, Undo};

const LOOK: &str = "look";
/// Between two looks at a guest that starts.
const PAUSE: Duration = Duration::from_millis(500);
/// How long a guest may take until it is up again.
const UP: Duration = Duration::from_secs(5 * 60);

/// Code of a guest that is not there any more: nothing is to be done to it, nor to be undone.
pub(in crate::bringup) const GONE: &str = "guest-gone";

/// The saga of one change.
pub(in crate::bringup) struct Changing {
    common: Arc<Common>,
    steps: Vec<Box<dyn Step>>,
}

/// What all steps of one change need.
struct Common {
    service: Weak<Bringups>,
    backend: Arc<dyn Backend>,
    change: Change,
    job: String,
    /// The guest's own job.
    of: String,
}

/// What a step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Does {
    Look,
    Snapshot,
    RemoveSnapshot,
    Memory,
    Rollback,
    Up,
    Promote,
    Record,
}

struct ChangeStep {
    common: Arc<Common>,
    does: Does,
}

impl Changing {
    pub(in crate::bringup) fn new(
        service: Weak<Bringups>,
        backend: Arc<dyn Backend>,
        change: Change,
        job: &str,
        of: &str,
    ) -> Self {
        let does: &[Does] = match &change {
            Change::Memory { snapshot: None, .. } => &[Does::Look, Does::Memory, Does::Up],
            Change::Memory { .. } => &[Does::Look, Does::Snapshot, Does::Memory, Does::Up],
            Change::Snapshot { .. } => &[Does::Look, Does::Snapshot],
            Change::RemoveSnapshot { .. } => &[Does::Look, Does::RemoveSnapshot],
            Change::Rollback { .. } => &[Does::Look, Does::Rollback, Does::Up],
            Change::Promote => &[Does::Promote, Does::Record],
        };
        let common = Arc::new(Common { service, backend, change, job: job.to_owned(), of: of.to_owned() });
        let step = |does: &Does| -> Box<dyn Step> {
            Box::new(ChangeStep { common: Arc::clone(&common), does: *does })
        };
        let steps = does.iter().map(step).collect();
        Self { common, steps }
    }

    /// The steps as a journal names them.
    pub(in crate::bringup) fn step_infos(&self) -> Vec<StepInfo> {
        super::infos(&self.steps)
    }
}

#[async_trait]
impl Saga for Changing {
    fn steps(&self) -> &[Box<dyn Step>] {
        &self.steps
    }

    async fn leftovers(&self, context: &Context<'_>) -> Vec<String> {
        let guest = &context.state.spec.guest;
        match &self.common.change {
            Change::Rollback { name } => vec![
                format!("firstlight retry {}", self.common.job),
                format!("firstlight abandon {}", self.common.job),
                format!("firstlight rollback {guest} {name}"),
            ],
            _ => vec![format!("firstlight abandon {}", self.common.job), format!("firstlight show {guest}")],
        }
    }
}

impl Common {
    fn service(&self) -> Result<Arc<Bringups>, Fault> {
        self.service.upgrade().ok_or_else(|| Fault::new(super::STOPPING, "the companion is stopping"))
    }

    async fn guest(&self) -> Result<Placement, Fault> {
        self.service()?.placed(&self.of).await
    }

    fn snapshot(&self) -> &str {
        self.change.snapshot().unwrap_or_default()
    }

    async fn has_snapshot(&self, guest: &Placement) -> Result<bool, Fault> {
        let found = self.backend.snapshots(guest).await?;
        Ok(found.iter().any(|snapshot| snapshot.name == self.snapshot()))
    }

    /// What the change starts from, journaled before anything is done.
    async fn look(&self, guest: &Placement) -> Result<Value, Fault> {
        let name = self.snapshot();
        if !name.is_empty() {
            let there = self.has_snapshot(guest).await?;
            let makes = matches!(self.change, Change::Memory { .. } | Change::Snapshot { .. });
            if there == makes {
                let whose = &guest.plan.name;
                let fault = match makes {
                    true => {
                        Fault::new("snapshot-exists", format!("guest {whose} has a snapshot {name} already"))
                            .with_hint(
                                "choose another name, or remove it with `firstlight snapshot --remove`",
                            )
                    }
                    false => no_such_snapshot(whose.as_str(), name),
                };
                return Err(fault);
            }
        }
        let observed = self.backend.observe(guest).await?;
        let mut found = json!({ "running": observed.running, "addressed": !observed.addresses.is_empty() });
        if let Change::Memory { .. } = self.change {
            found["memory_bytes"] = json!(self.backend.memory(guest).await?);
        }
        if let Change::Rollback { .. } | Change::Memory { .. } = self.change {
            found["report"] = json!(self.backend.read_report(guest).await.ok().flatten().is_some());
        }
        Ok(found)
    }

    /// Whether the guest is up again, and still itself. None: not yet.
    async fn is_up(&self, guest: &Placement, before: &Value) -> Result<Option<Value>, Fault> {
        let observed = self.backend.observe(guest).await?;
        if !observed.running {
            // It did not run before either.
            return Ok((before["running"] == false).then(|| json!({ "running": false })));
        }
        if before["addressed"] == true && observed.addresses.is_empty() {
            return Ok(None);
        }
        let mut output = json!({ "observed": observed });
        if before["report"] == true {
            let Some(bytes) = self.backend.read_report(guest).await.ok().flatten() else { return Ok(None) };
            output["same_identity"] = json!(self.is_itself(guest, &bytes).await?);
        }
        Ok(Some(output))
    }

    /// The report that the guest has made since has the keys and the machine-id that are on record.
    async fn is_itself(&self, guest: &Placement, bytes: &[u8]) -> Result<bool, Fault> {
        let unread = |error: String| Fault::new("report-unreadable", error);
        let Ok(envelope) = Envelope::parse(bytes) else {
            return Err(unread("its report cannot be read".into()));
        };
        let now = envelope.open().map_err(|error| unread(error.to_string()))?;
        let stored = self.service()?.store.report_of_job(&self.of).await.map_err(store_fault)?;
        let Some(stored) = stored else { return Ok(true) };
        let then = stored.envelope.open().map_err(|error| unread(error.to_string()))?;
        let name = guest.plan.name.as_str();
        let (now, then) = (identities(name, &now.report).values, identities(name, &then.report).values);
        match now.iter().any(|value| then.contains(value)) || then.is_empty() {
            true => Ok(true),
            false => Err(Fault::new("identity-changed", format!("guest {name} is another one than before: none of its keys is on record"))
                .with_hint("was the snapshot taken before the guest got its identity? Destroy the guest, and bring it up again")),
        }
    }
}

#[async_trait]
impl Step for ChangeStep {
    fn name(&self) -> &'static str {
        match self.does {
            Does::Look => LOOK,
            Does::Snapshot => "snapshot",
            Does::RemoveSnapshot => "remove-snapshot",
            Does::Memory => "memory",
            Does::Rollback => "rollback",
            Does::Up => "up",
            Does::Promote => "promote",
            Does::Record => "record",
        }
    }

    fn waits(&self) -> bool {
        matches!(self.does, Does::Up | Does::Record)
    }

    fn deadline(&self) -> Option<Duration> {
        Some(match self.does {
            Does::Snapshot | Does::RemoveSnapshot | Does::Rollback => SLOW,
            Does::Up => UP,
            Does::Look | Does::Memory | Does::Promote | Does::Record => FAST,
        })
    }

    async fn probe(&self, context: &Context<'_>) -> Result<Probe, Fault> {
        let guest = match self.common.guest().await {
            Ok(guest) => guest,
            // The act says so.
            Err(fault) if fault.code == GONE => return Ok(Probe::Absent),
            Err(fault) => return Err(fault),
        };
        let is_done = match self.does {
            Does::Snapshot => self.common.has_snapshot(&guest).await?,
            Does::RemoveSnapshot => !self.common.has_snapshot(&guest).await?,
            Does::Memory => self.has_memory(context, &guest).await?,
            // Done again, it is the same.
            Does::Look | Does::Rollback | Does::Up | Does::Promote | Does::Record => false,
        };
        Ok(if is_done { Probe::Present(nothing()) } else { Probe::Absent })
    }

    async fn act(&self, context: &Context<'_>) -> Act {
        let guest = match self.common.guest().await {
            Ok(guest) => guest,
            Err(fault) => return unless_store(fault),
        };
        let (backend, name) = (&self.common.backend, self.common.snapshot());
        match (self.does, &self.common.change) {
            (Does::Look, _) => self.common.look(&guest).await.map_or_else(unless_store, Act::Applied),
            (Does::Snapshot, _) => backend.snapshot(&guest, name).await,
            (Does::RemoveSnapshot, _) => backend.remove_snapshot(&guest, name).await,
            (Does::Rollback, _) => backend.restore_snapshot(&guest, name).await,
            (Does::Memory, Change::Memory { bytes, .. }) => backend.set_memory(&guest, *bytes).await,
            (Does::Promote, _) => backend.keep(&guest).await,
            (Does::Up, _) => self.up(context, &guest).await,
            (Does::Record, _) => self.record().await,
            (Does::Memory, _) => Act::Refused(Fault::new("internal", "this change sets no memory")),
        }
    }

    async fn follow(&self, _: &Context<'_>, task: &str) -> Followed {
        match self.common.guest().await {
            Ok(guest) => self.common.backend.follow_change(&guest, task).await,
            Err(fault) => Followed::Unknown(fault),
        }
    }

    async fn undo(&self, context: &Context<'_>) -> Undo {
        let guest = match self.common.guest().await {
            Ok(guest) => guest,
            Err(fault) if fault.code == GONE => return Undo::Absent,
            Err(fault) => return Undo::Failed(fault),
        };
        match self.does {
            // What was there before is not ours: `look` refused it.
            Does::Snapshot if context.state.outputs.contains_key(LOOK) => {
                match self.common.has_snapshot(&guest).await {
                    Ok(false) => Undo::Absent,
                    Ok(true) => {
                        undone(self.common.backend.remove_snapshot(&guest, self.common.snapshot()).await)
                    }
                    Err(fault) => Undo::Failed(fault),
                }
            }
            Does::Memory => self.restore_memory(context, &guest).await,
            _ => Undo::Absent,
        }
    }

    async fn follow_undo(&self, _: &Context<'_>, task: &str) {
        if let Ok(guest) = self.common.guest().await {
            self.common.backend.follow_change(&guest, task).await;
        }
    }

    async fn evidence(&self, _: &Context<'_>) -> Vec<String> {
        let Ok(guest) = self.common.guest().await else { return Vec::new() };
        if !matches!(self.does, Does::Memory | Does::Up) {
            return Vec::new();
        }
        let lines = self.common.backend.console_tail(&guest, 20).await;
        lines.iter().map(|line| firstlight_shared::text::escape(line, 300)).collect()
    }
}

impl ChangeStep {
    /// It has what it shall have, and runs if it did before.
    async fn has_memory(&self, context: &Context<'_>, guest: &Placement) -> Result<bool, Fault> {
        let Change::Memory { bytes, .. } = &self.common.change else { return Ok(false) };
        let ran = context.state.outputs.get(LOOK).is_none_or(|before| before["running"] != false);
        Ok(self.common.backend.memory(guest).await? == Some(*bytes)
            && (!ran || self.common.backend.observe(guest).await?.running))
    }

    async fn restore_memory(&self, context: &Context<'_>, guest: &Placement) -> Undo {
        let before = context.state.outputs.get(LOOK).map(|before| before["memory_bytes"].as_u64());
        let Some(before) = before else { return Undo::Absent };
        let now = match self.common.backend.memory(guest).await {
            Ok(now) => now,
            Err(fault) => return Undo::Failed(fault),
        };
        let runs = match self.common.backend.observe(guest).await {
            Ok(observed) => observed.running,
            Err(fault) => return Undo::Failed(fault),
        };
        match before {
            Some(bytes) if now != Some(bytes) || !runs => {
                undone(self.common.backend.set_memory(guest, bytes).await)
            }
            None if now.is_some() => {
                let message =
                    format!("guest {} had no limit of its memory, and has one now", guest.plan.name);
                Undo::Failed(Fault::new("memory-was-unlimited", message))
            }
            _ => Undo::Absent,
        }
    }

    /// The step waits: it is ended by its deadline, or by whoever cancels the change.
    async fn up(&self, context: &Context<'_>, guest: &Placement) -> Act {
        let before = context.state.outputs.get(LOOK).cloned().unwrap_or_default();
        loop {
            match self.common.is_up(guest, &before).await {
                Ok(Some(output)) => return Act::Applied(output),
                Ok(None) => {}
                Err(fault) if fault.code == "identity-changed" => return Act::Refused(fault),
                Err(fault) => {
                    tracing::debug!(job = self.common.job, error = %fault, "a guest that starts cannot be looked at")
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// The guest's own journal has it that the guest is kept; its job is driven by whoever takes it.
    async fn record(&self) -> Act {
        let service = match self.common.service() {
            Ok(service) => service,
            Err(fault) => return unless_store(fault),
        };
        let kind = RequestKind::Keep { until_ms: None, promote: true };
        let request = Request { kind, by: "promote".to_owned(), reason: String::new() };
        loop {
            let state = match service.state(&self.common.of).await {
                Ok(Some(state)) => state,
                Ok(None) => return Act::Refused(Fault::new(GONE, "the guest is not there any more")),
                Err(error) => return unless_store(store_fault(error)),
            };
            if state.is_kept_so(None, true) {
                return Act::Applied(nothing());
            }
            if state.phase != Phase::Done {
                return Act::Refused(Fault::new(GONE, "the guest is not there any more"));
            }
            if let Err(error) = service.store.ask_in_turn(&self.common.of, &request).await {
                tracing::debug!(error = %firstlight_shared::error::Chain(&error), "the guest's own job cannot be asked");
            }
            tokio::time::sleep(PAUSE / 5).await;
        }
    }
}

/// What an act that undoes came to.
fn undone(act: Act) -> Undo {
    match act {
        // It is looked at again.
        Act::Applied(_) => Undo::Absent,
        Act::Started(task) => Undo::Started(task),
        Act::Refused(fault) | Act::Unknown(fault) => Undo::Failed(fault),
    }
}

pub(in crate::bringup) fn no_such_snapshot(guest: &str, name: &str) -> Fault {
    Fault::new("no-such-snapshot", format!("guest {guest} has no snapshot {name}"))
        .with_hint(format!("`firstlight snapshots {guest}` lists those that it has"))
}

//! restore, mac, hostname, size, mounts, start: what the backend does, under the engine's contract.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::{Common, unless_store};
use crate::backend::{ID_TAKEN, Placement, Stage, is_silence};
use crate::job::{Context, Step};
use crate::outcome::{Act, Fault, Followed, Probe, Undo};

pub(super) struct StageStep {
    common: Arc<Common>,
    name: &'static str,
    stage: Stage,
    deadline: Duration,
}

impl StageStep {
    pub(super) fn new(common: &Arc<Common>, name: &'static str, stage: Stage, deadline: Duration) -> Self {
        Self { common: Arc::clone(common), name, stage, deadline }
    }
}

#[async_trait]
impl Step for StageStep {
    fn name(&self) -> &'static str {
        self.name
    }

    fn deadline(&self) -> Option<Duration> {
        Some(self.deadline)
    }

    async fn probe(&self, context: &Context<'_>) -> Result<Probe, Fault> {
        self.common.backend.probe(self.stage, &self.common.placement(context).await?).await
    }

    async fn act(&self, context: &Context<'_>) -> Act {
        match self.common.placement(context).await {
            Ok(placement) => match self.check_memory(&placement).await {
                Ok(()) => self.act_at(placement).await,
                Err(fault) if is_silence(&fault.code) => Act::Unknown(fault),
                Err(fault) => unless_store(fault),
            },
            Err(fault) => unless_store(fault),
        }
    }

    async fn follow(&self, context: &Context<'_>, task: &str) -> Followed {
        match self.common.placement(context).await {
            Ok(placement) => self.common.backend.follow(self.stage, &placement, task).await,
            Err(fault) => Followed::Unknown(fault),
        }
    }

    async fn undo(&self, context: &Context<'_>) -> Undo {
        match self.common.placement(context).await {
            Ok(placement) => self.common.backend.undo(self.stage, &placement).await,
            Err(fault) => Undo::Failed(fault),
        }
    }

    async fn follow_undo(&self, context: &Context<'_>, task: &str) {
        if let Ok(placement) = self.common.placement(context).await {
            self.common.backend.follow_undo(self.stage, &placement, task).await;
        }
    }

    async fn evidence(&self, context: &Context<'_>) -> Vec<String> {
        if self.stage == Stage::Start { self.common.console(context).await } else { Vec::new() }
    }
}

impl StageStep {
    /// Before anything is made, and before it runs: others may have taken the memory since it was asked for.
    async fn check_memory(&self, placement: &Placement) -> Result<(), Fault> {
        if !matches!(self.stage, Stage::Restore | Stage::Start) {
            return Ok(());
        }
        let node = placement.allocation.slot.as_ref().map(|slot| slot.node.as_str());
        self.common.service()?.check_in_job(&self.common.spec, &placement.job, node).await
    }

    /// Under another id if this one turns out to be somebody else's.
    async fn act_at(&self, mut placement: Placement) -> Act {
        let mut tried = Vec::new();
        loop {
            match self.common.backend.act(self.stage, &placement).await {
                Act::Refused(fault) if fault.code == ID_TAKEN && self.chooses_id() => {
                    tracing::info!(job = %placement.job, error = %fault, "another id is chosen");
                }
                acted => return acted,
            }
            placement = match self.common.choose_another_id(&placement, &mut tried).await {
                Ok(placement) => placement,
                Err(fault) => return unless_store(fault),
            };
        }
    }

    /// One that the operator chose is not exchanged.
    fn chooses_id(&self) -> bool {
        self.stage == Stage::Restore && self.common.spec.plan.place.vmid.is_none()
    }
}

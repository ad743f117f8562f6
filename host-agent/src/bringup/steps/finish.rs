//! finish: take the claim out of its channel and wipe its secret. Proof: neither file nor row has it.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Common, FAST, nothing, store_fault};
use crate::backend::ClaimChannel;
use crate::bringup::facts::{FINISH, is_by_beacon_alone};
use crate::job::{Context, Step};
use crate::outcome::{Act, Fault, Probe, Undo};

pub(super) struct Finish(pub(super) Arc<Common>);

#[async_trait]
impl Step for Finish {
    fn name(&self) -> &'static str {
        FINISH
    }

    fn deadline(&self) -> Option<std::time::Duration> {
        Some(FAST)
    }

    async fn probe(&self, _: &Context<'_>) -> Result<Probe, Fault> {
        Ok(Probe::Absent)
    }

    async fn act(&self, context: &Context<'_>) -> Act {
        match self.remove(context).await {
            Ok(()) => Act::Applied(nothing()),
            // A ready guest is not rolled back for a file that could not be removed yet: try again.
            Err(fault) => Act::Unknown(fault),
        }
    }

    async fn undo(&self, _: &Context<'_>) -> Undo {
        Undo::Absent
    }
}

impl Finish {
    async fn remove(&self, context: &Context<'_>) -> Result<(), Fault> {
        // A guest that somebody else made was given none.
        let is_adopted = self.0.spec.adopt.is_some();
        if !is_adopted {
            let placement = self.0.placement(context).await?;
            self.0.backend.remove_claim(&placement).await?;
        }
        let is_open = is_adopted || self.0.backend.claim_channel() == ClaimChannel::Open;
        if is_open && is_by_beacon_alone(context.state) {
            // The report may still come; there is no secret to be wiped.
            return Ok(());
        }
        self.0.service()?.store.expire_claim(context.job).await.map_err(store_fault)
    }
}

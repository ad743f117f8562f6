//! await-report: wait until the guest's report is in the store, its deadline ends, or the guest dies.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use super::{AWAIT_REPORT, Allocated, Common, store_fault};
use crate::clock::now_ms;
use crate::job::{Context, Step};
use crate::outcome::{Act, Fault, Probe, Undo};

/// How often to see whether the guest still runs.
const LOOK: Duration = Duration::from_secs(1);

pub(super) struct AwaitReport(pub(super) Arc<Common>);

#[async_trait]
impl Step for AwaitReport {
    fn name(&self) -> &'static str {
        AWAIT_REPORT
    }

    fn waits(&self) -> bool {
        true
    }

    async fn probe(&self, context: &Context<'_>) -> Result<Probe, Fault> {
        Ok(self.stored(context).await?.map_or(Probe::Absent, Probe::Present))
    }

    async fn act(&self, context: &Context<'_>) -> Act {
        match self.wait(context).await {
            Ok(output) => Act::Applied(output),
            Err(fault) => Act::Refused(fault),
        }
    }

    async fn undo(&self, context: &Context<'_>) -> Undo {
        self.forget(context).await.into()
    }

    async fn evidence(&self, context: &Context<'_>) -> Vec<String> {
        self.0.console(context).await
    }
}

impl AwaitReport {
    async fn forget(&self, context: &Context<'_>) -> Result<(), Fault> {
        if let Some(allocated) = Allocated::of(context.state) {
            self.0.service()?.inbox.forget(&allocated.claim_id);
        }
        Ok(())
    }

    async fn stored(&self, context: &Context<'_>) -> Result<Option<Value>, Fault> {
        let report = self.0.service()?.store.report_of_job(context.job).await.map_err(store_fault)?;
        Ok(report.map(|report| json!({ "sha256": report.sha256, "received_at_ms": report.received_at_ms })))
    }

    async fn wait(&self, context: &Context<'_>) -> Result<Value, Fault> {
        let service = self.0.service()?;
        let placement = self.0.placement(context).await?;
        let claim_id = &placement.claim.id;
        let deadline = self.deadline(context);
        let mut stopped = 0;
        loop {
            if let Some(output) = self.stored(context).await? {
                service.inbox.forget(claim_id);
                return Ok(output);
            }
            if let Some(fault) = service.inbox.failure(claim_id) {
                return Err(fault);
            }
            if Instant::now() >= deadline {
                let seconds = self.0.spec.timeout_ms / 1000;
                return Err(Fault::new("report-timeout", format!("the guest did not report within {seconds} s")).with_hint(
                    "the console lines show how far it came; is firstlight-guest baked into the golden and enabled?",
                ));
            }
            let observed = self.0.backend.observe(&placement).await;
            stopped = if observed.is_ok_and(|guest| !guest.running) { stopped + 1 } else { 0 };
            // Seen twice: a guest that reboots may be gone for a moment.
            if stopped > 1 {
                return Err(Fault::new("guest-stopped", "the guest stopped before it reported"));
            }
            let look = deadline.min(Instant::now() + LOOK);
            // Woken or not: the store is asked again.
            let _ = timeout_at(look, service.inbox.wait(claim_id)).await;
        }
    }

    /// Counted from when the step began, whoever began it.
    fn deadline(&self, context: &Context<'_>) -> Instant {
        let began = context.state.timings.get(AWAIT_REPORT).map_or_else(now_ms, |timing| timing.started_ms);
        let gone = now_ms().saturating_sub(began);
        Instant::now() + Duration::from_millis(self.0.spec.timeout_ms.saturating_sub(gone))
    }
}

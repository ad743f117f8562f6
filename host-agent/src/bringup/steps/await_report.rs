//! await-report: wait until the guest's report is in the store, its deadline ends, or the guest is known never to be ready.
//! It waits for a wake-up and for its deadline, and asks nobody in between.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use super::{AWAIT_REPORT, Allocated, Common, store_fault};
use crate::clock::now_ms;
use crate::job::{Context, Step};
use crate::outcome::{Act, Fault, Probe, Undo};

/// This step ends its wait itself, and can say more about it than the engine, whose deadline is so much later.
const SLACK: Duration = Duration::from_secs(30);

pub(super) struct AwaitReport(pub(super) Arc<Common>);

#[async_trait]
impl Step for AwaitReport {
    fn name(&self) -> &'static str {
        AWAIT_REPORT
    }

    fn waits(&self) -> bool {
        true
    }

    fn deadline(&self) -> Option<Duration> {
        Duration::from_millis(self.0.spec.timeout_ms).checked_add(SLACK)
    }

    async fn probe(&self, context: &Context<'_>) -> Result<Probe, Fault> {
        Ok(self.stored(context).await?.map_or(Probe::Absent, Probe::Present))
    }

    async fn act(&self, context: &Context<'_>) -> Act {
        let Some(allocated) = Allocated::of(context.state) else {
            return Act::Refused(Fault::new("not-allocated", "nothing was chosen for this guest"));
        };
        match self.wait(context, &allocated.claim_id).await {
            Ok(Ok(output)) => Act::Applied(output),
            Ok(Err(failure)) => Act::Refused(failure),
            Err(doubt) => Act::Unknown(doubt),
        }
    }

    async fn undo(&self, _: &Context<'_>) -> Undo {
        Undo::Absent
    }

    async fn evidence(&self, context: &Context<'_>) -> Vec<String> {
        self.0.console(context).await
    }
}

impl AwaitReport {
    async fn stored(&self, context: &Context<'_>) -> Result<Option<Value>, Fault> {
        let came = self.0.service()?.store.report_came(context.job).await.map_err(store_fault)?;
        Ok(came.map(|(sha256, at_ms)| json!({ "sha256": sha256, "received_at_ms": at_ms })))
    }

    /// The report, or why there will be none. An error: the store does not tell.
    async fn wait(&self, context: &Context<'_>, claim: &str) -> Result<Result<Value, Fault>, Fault> {
        let service = self.0.service()?;
        // Before the first look: nothing that comes after it is missed.
        let place = service.waiters.enter(claim, context.job, self.surveyed_at());
        let deadline = self.ends(context);
        loop {
            if let Some(output) = self.stored(context).await? {
                return Ok(Ok(output));
            }
            let refused = service.store.refusal_of_claim(claim).await;
            if let Some(refused) = refused.map_err(store_fault)? {
                return Ok(Err(Fault::new(&refused.code, refused.message)));
            }
            if let Some(failure) = place.failure() {
                return Ok(Err(failure));
            }
            if Instant::now() >= deadline {
                return Ok(Err(self.too_late()));
            }
            // Woken or not: the store is asked again.
            let _ = timeout_at(deadline, place.woken()).await;
        }
    }

    /// Counted from when the step began, whoever began it.
    fn ends(&self, context: &Context<'_>) -> Instant {
        let began = context.state.timings.get(AWAIT_REPORT).map_or_else(now_ms, |timing| timing.started_ms);
        let gone = now_ms().saturating_sub(began);
        let left = Duration::from_millis(self.0.spec.timeout_ms.saturating_sub(gone));
        Instant::now().checked_add(left).unwrap_or_else(Instant::now)
    }

    /// The backend whose surveys see the guest: they see ours only.
    fn surveyed_at(&self) -> &'static str {
        if self.0.spec.adopt.is_some() { "" } else { self.0.backend.name() }
    }

    fn too_late(&self) -> Fault {
        let seconds = self.0.spec.timeout_ms / 1000;
        let late = Fault::new("report-timeout", format!("the guest did not report within {seconds} s"));
        late.with_hint(match self.0.spec.adopt {
            None => {
                "the console lines show how far it came; is firstlight-guest baked into the golden and enabled?"
            }
            Some(_) => {
                "does `firstlight-guest status` in it say that it has reported, and to whom? its \
                 /etc/firstlight/guest.toml must name this companion's address, and the pin that `firstlight pin` prints"
            }
        })
    }
}

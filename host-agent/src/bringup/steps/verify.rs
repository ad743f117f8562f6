//! verify: is the guest that reported the one that was wanted, does the hypervisor agree, is it ready and unique.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use firstlight_shared::wire::{Envelope, Trust, sha256_hex};
use serde_json::{Value, json};

use super::{Common, FAST, VERIFY, store_fault, unless_store};
use crate::backend::Placement;
use crate::fleet::identities;
use crate::intake::{Expected, verdict};
use crate::job::{Context, Step};
use crate::outcome::{Act, Fault, Probe, Undo};

pub(super) struct Verify(pub(super) Arc<Common>);

#[async_trait]
impl Step for Verify {
    fn name(&self) -> &'static str {
        VERIFY
    }

    fn deadline(&self) -> Option<std::time::Duration> {
        Some(FAST)
    }

    async fn probe(&self, _: &Context<'_>) -> Result<Probe, Fault> {
        Ok(Probe::Absent)
    }

    async fn act(&self, context: &Context<'_>) -> Act {
        match self.check(context).await {
            Ok(output) => Act::Applied(output),
            Err(fault) => unless_store(fault),
        }
    }

    async fn undo(&self, _: &Context<'_>) -> Undo {
        Undo::Absent
    }

    async fn evidence(&self, context: &Context<'_>) -> Vec<String> {
        self.0.console(context).await
    }
}

impl Verify {
    async fn check(&self, context: &Context<'_>) -> Result<Value, Fault> {
        let service = self.0.service()?;
        let placement = self.0.placement(context).await?;
        let stored = service.store.report_of_job(context.job).await.map_err(store_fault)?;
        let stored = stored.ok_or_else(|| Fault::new("no-report", "the report is not in the store"))?;
        let opened = stored.envelope.open().map_err(|error| Fault::new("bad-report", error.to_string()))?;
        let trust = self.attest(&placement, &stored.sha256).await?.unwrap_or(stored.trust);
        if trust != stored.trust {
            service.store.set_trust(&stored.sha256, trust).await.map_err(store_fault)?;
        }

        let observed = self.0.backend.observe(&placement).await?;
        let mounts = placement.plan.mounts.iter().map(|mount| mount.path.clone()).collect::<Vec<PathBuf>>();
        let expected = Expected {
            guest: placement.plan.name.as_str(),
            mac: placement.allocation.mac,
            mounts: &mounts,
            require: &self.0.spec.require,
        };
        let own = identities(placement.plan.name.as_str(), &opened.report);
        let shared = service.store.sharing(context.job, &own.values).await.map_err(store_fault)?;
        let problems = verdict(&opened.report, trust, &expected, &observed, &shared);
        match problems.first() {
            None => Ok(json!({ "trust": trust, "observed": observed })),
            Some(first) => {
                let all = problems.iter().map(|problem| problem.message.as_str()).collect::<Vec<_>>();
                Err(Fault::new(first.code, all.join("; ")))
            }
        }
    }

    /// Attested, if the hypervisor shows the very report that came over the network; none if it shows no report.
    async fn attest(&self, placement: &Placement, sha256: &str) -> Result<Option<Trust>, Fault> {
        let Some(bytes) = self.0.backend.read_report(placement).await? else { return Ok(None) };
        let seen = Envelope::parse(&bytes).ok().map(|envelope| sha256_hex(envelope.report.as_bytes()));
        if seen.as_deref() == Some(sha256) {
            return Ok(Some(Trust::Attested));
        }
        Err(Fault::new(
            "report-mismatch",
            "the guest that runs here holds another report than the one that was sent",
        ))
    }
}

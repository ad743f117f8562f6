//! What operators see, as JSON; the terminal shows the same values.

use std::collections::BTreeMap;
use std::net::IpAddr;

use firstlight_shared::check::CheckResult;
use firstlight_shared::error::Chain;
use firstlight_shared::text::escape;
use firstlight_shared::wire::{HostKey, Report, Trust};
use serde::{Deserialize, Serialize};

use super::api::{ReportPage, StepView};
use super::service::Bringups;
use super::spec::GuestSpec;
use super::steps::{Allocated, VERIFY};
use crate::backend::Observed;
use crate::fleet::{Duplicate, Identities, duplicates, identities};
use crate::job::{Phase, Recorded, State};
use crate::outcome::Fault;
use crate::store::{StoreError, StoredReport};

/// One guest: its job's state joined with its report.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct GuestView {
    pub name: String,
    pub job: String,
    pub backend: String,
    pub state: Phase,
    /// The step at work, or where it failed.
    pub step: Option<String>,
    #[schema(value_type = Option<String>, example = "attested")]
    pub trust: Option<Trust>,
    pub mac: Option<String>,
    #[schema(value_type = Vec<String>)]
    pub addresses: Vec<IpAddr>,
    /// Derived, see `MachineId::derived`; the raw one never leaves the guest.
    pub machine_id: Option<String>,
    pub hostname: Option<String>,
    #[schema(value_type = Vec<Object>)]
    pub ssh_host_keys: Vec<HostKey>,
    /// Milliseconds per step, `total` from submission to the end, and the guest's own phases as `guest.*`.
    pub timings_ms: BTreeMap<String, u64>,
    #[schema(value_type = Vec<Object>)]
    pub checks: Vec<CheckResult>,
    pub failure: Option<Fault>,
    /// The guest's last console lines, if it failed.
    pub console_tail: Vec<String>,
    /// Commands for the operator, if one is needed.
    pub leftovers: Vec<String>,
    /// Put before `ssh` to reach the guest's network from here.
    pub reach: Option<String>,
    pub created_at_ms: u64,
    pub ended_at_ms: Option<u64>,
    pub batch: String,
    /// Who asked for it.
    pub by: String,
    /// The job that this one repeats from the beginning.
    pub retry_of: Option<String>,
    /// The job that begins anew when this one is rolled back.
    pub successor: Option<String>,
    /// The companion that took the job over last, if any did.
    pub companion: Option<String>,
    /// The failed step can be tried again.
    pub can_retry: bool,
    /// The job's timeline, in the order of the steps.
    pub steps: Vec<StepView>,
}

/// Several guests, and what they share: nothing, if all is well.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Summary {
    pub guests: Vec<GuestView>,
    pub duplicates: Vec<Duplicate>,
}

/// A report that was taken.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ReportView {
    pub sha256: String,
    pub guest: String,
    pub job: String,
    pub claim_id: String,
    pub received_at_ms: u64,
    pub source: String,
    #[schema(value_type = String, example = "attested")]
    pub trust: Trust,
    #[schema(value_type = Object)]
    pub report: Report,
}

/// What known_hosts needs of one guest.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct KnownHost {
    pub guest: String,
    /// The guest's name and addresses.
    pub names: Vec<String>,
    #[schema(value_type = Vec<Object>)]
    pub keys: Vec<HostKey>,
}

impl Bringups {
    /// One job as people see it; none if there is no such job.
    pub async fn view(&self, job: &str) -> Result<Option<GuestView>, StoreError> {
        let Some(state) = self.registry.get(job) else { return Ok(None) };
        let report = self.store.report_of_job(job).await?;
        let mut view = GuestView::of(job, &state);
        if let Some(stored) = report {
            view.add_report(&stored);
        }
        let allocated = Allocated::of(&state).filter(|_| !state.phase.is_gone());
        if let (Some(allocated), Ok(backend)) = (allocated, self.backend(&state.spec.backend)) {
            let spec = serde_json::from_value::<GuestSpec>(state.spec.spec.clone()).ok();
            view.reach = spec.and_then(|spec| backend.reach(&allocated.placement(job, spec.plan)));
        }
        Ok(Some(view))
    }

    /// The given jobs, and every identity that two existing guests share, one of them among these.
    pub async fn summary(&self, jobs: &[String]) -> Result<Summary, StoreError> {
        let mut guests = Vec::new();
        for job in jobs {
            guests.extend(self.view(job).await?);
        }
        let ours = |duplicate: &Duplicate| {
            duplicate.guests.iter().any(|name| guests.iter().any(|view| view.name == *name))
        };
        let duplicates = duplicates(&self.fleet().await?).into_iter().filter(ours).collect();
        Ok(Summary { guests, duplicates })
    }

    /// The identities of every guest that exists and has reported.
    pub(super) async fn fleet(&self) -> Result<Vec<Identities>, StoreError> {
        let mut fleet = Vec::new();
        for (job, state) in self.registry.all() {
            if state.phase.is_gone() {
                continue;
            }
            let report = self.store.report_of_job(&job).await?;
            if let Some(opened) = report.and_then(|stored| stored.envelope.open().ok()) {
                fleet.push(identities(&state.spec.guest, &opened.report));
            }
        }
        Ok(fleet)
    }

    /// The journal of one job, for people.
    pub async fn events(&self, job: &str) -> Result<Vec<Recorded>, StoreError> {
        self.store.events(job).await
    }

    /// Reports and refusals, of one guest or of all.
    pub(super) async fn all_reports(&self, guest: Option<&str>) -> Result<ReportPage, StoreError> {
        let wanted = |name: &str| guest.is_none_or(|guest| guest == name);
        let mut reports = Vec::new();
        for stored in self.store.reports().await?.into_iter().filter(|stored| wanted(&stored.guest)) {
            match stored.envelope.open() {
                Ok(opened) => reports.push(ReportView {
                    sha256: stored.sha256,
                    guest: stored.guest,
                    job: stored.job,
                    claim_id: stored.claim_id,
                    received_at_ms: stored.received_at_ms,
                    source: stored.source,
                    trust: stored.trust,
                    report: opened.report,
                }),
                Err(error) => {
                    tracing::error!(sha256 = %stored.sha256, error = %Chain(&error), "a stored report no longer opens")
                }
            }
        }
        let refusals = self.store.refusals().await?;
        let refusals = refusals
            .into_iter()
            .filter(|refused| guest.is_none() || refused.guest.as_deref() == guest)
            .collect();
        Ok(ReportPage { reports, refusals, next: None })
    }

    /// Verified keys of guests that exist; all if `guests` is empty.
    pub async fn known_hosts(&self, guests: &[String]) -> Result<Vec<KnownHost>, StoreError> {
        let mut hosts = Vec::new();
        for (job, state) in self.registry.all() {
            let named = guests.is_empty() || guests.contains(&state.spec.guest);
            if !named || state.phase != Phase::Done {
                continue;
            }
            let Some(stored) = self.store.report_of_job(&job).await? else { continue };
            if stored.trust > Trust::Claimed {
                continue;
            }
            let Ok(opened) = stored.envelope.open() else { continue };
            let addresses =
                Allocated::of(&state).map(|allocated| allocated.allocation.addresses).unwrap_or_default();
            let names = std::iter::once(state.spec.guest.clone())
                .chain(addresses.iter().map(ToString::to_string))
                .collect();
            hosts.push(KnownHost {
                guest: state.spec.guest,
                names,
                keys: opened.report.identity.ssh_host_keys,
            });
        }
        Ok(hosts)
    }
}

impl GuestView {
    fn of(job: &str, state: &State) -> Self {
        let allocated = Allocated::of(state);
        let observed =
            state.outputs.get(VERIFY).and_then(|output| Observed::deserialize(output.get("observed")?).ok());
        let mut timings_ms: BTreeMap<String, u64> = BTreeMap::new();
        for (step, timing) in &state.timings {
            if let Some(ended) = timing.ended_ms {
                timings_ms.insert(step.clone(), ended.saturating_sub(timing.started_ms));
            }
        }
        if let Some(ended) = state.ended_ms {
            timings_ms.insert("total".to_owned(), ended.saturating_sub(state.created_ms));
        }
        let addresses = match &observed {
            Some(observed) => observed.addresses.clone(),
            None => {
                allocated.as_ref().map(|allocated| allocated.allocation.addresses.clone()).unwrap_or_default()
            }
        };
        Self {
            name: state.spec.guest.clone(),
            job: job.to_owned(),
            backend: state.spec.backend.clone(),
            state: state.phase,
            step: state.current_step().map(|info| info.name.clone()),
            trust: None,
            mac: allocated.map(|allocated| allocated.allocation.mac.to_string()),
            addresses,
            machine_id: None,
            hostname: None,
            ssh_host_keys: Vec::new(),
            timings_ms,
            checks: Vec::new(),
            failure: state.failure.clone(),
            console_tail: state.console.clone(),
            leftovers: state.leftovers.clone(),
            reach: None,
            created_at_ms: state.created_ms,
            ended_at_ms: state.ended_ms,
            batch: state.spec.batch.clone(),
            by: state.spec.by.clone(),
            retry_of: state.spec.retry_of.clone(),
            successor: state.successor.clone(),
            companion: state.companion.clone(),
            can_retry: state.can_retry(),
            steps: Vec::new(),
        }
    }

    /// Everything from a guest is escaped here, so that no view has to think of it.
    fn add_report(&mut self, stored: &StoredReport) {
        let Ok(opened) = stored.envelope.open() else { return };
        let report = opened.report;
        self.trust = Some(stored.trust);
        self.machine_id = report.identity.machine_id.derived.map(|id| id.to_string());
        self.hostname = Some(escape(&report.identity.hostname.current, 64));
        self.ssh_host_keys = report.identity.ssh_host_keys;
        self.checks = report
            .checks
            .into_iter()
            .map(|check| CheckResult {
                id: escape(&check.id, 60),
                reason: escape(&check.reason, 300),
                ..check
            })
            .collect();
        for (phase, milliseconds) in report.timings_ms {
            self.timings_ms.insert(format!("guest.{}", escape(&phase, 40)), milliseconds);
        }
    }
}

//! What operators see, as JSON; the terminal shows the same values.

use std::collections::BTreeMap;
use std::net::IpAddr;

use firstlight_shared::check::CheckResult;
use firstlight_shared::text::escape;
use firstlight_shared::wire::{HostKey, Trust};
use serde::{Deserialize, Serialize};

use super::timeline::{doubt, timeline};
use crate::backend::{Observed, Trouble};
use crate::bringup::api::StepView;
use crate::bringup::facts::{
    Allocated, VERIFY, beacon_of, delivered_by, is_adoption, is_by_beacon_alone, spec_of, unproven,
};
use crate::bringup::service::Bringups;
use crate::bringup::spec::{Change, ChangeSpec};
use crate::bringup::steps::{destroy_command, forget_command};
use crate::identities::{Duplicate, Identities, duplicates_with, identities, merged};
use crate::intake::{BeaconView, Delivered};
use crate::job::{Event, Phase, Recorded, Request, State, fold};
use crate::outcome::Fault;
use crate::store::{JobRow, StoreError, StoredReport};

/// One guest: its job's state joined with its report.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct GuestView {
    pub name: String,
    pub job: String,
    pub backend: String,
    /// Somebody else made the guest: it is waited for, and never touched.
    #[serde(default)]
    pub adopted: bool,
    pub state: Phase,
    /// The step at work, or where it failed.
    pub step: Option<String>,
    #[schema(value_type = Option<String>, example = "attested")]
    pub trust: Option<Trust>,
    /// The guest's beacon, if one ended the wait for it.
    #[serde(default)]
    pub beacon: Option<BeaconView>,
    /// The guest was found ready by its beacon; no report has come so far.
    #[serde(default)]
    pub by_beacon_alone: bool,
    /// What could not be shown of the guest that was found ready, in words for people: mounts, where a machine's agent was
    /// silent.
    #[serde(default)]
    pub unproven: Vec<String>,
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
    /// Secret files that were delivered: never what is in them.
    #[serde(default)]
    pub secrets: Vec<SecretView>,
    pub failure: Option<Fault>,
    /// What keeps the job from going on now, and is tried again: the hypervisor does not answer, or nobody knows whether the
    /// step at work is done.
    #[serde(default)]
    pub trouble: Option<Trouble>,
    /// The guest's last console lines, if it failed.
    pub console_tail: Vec<String>,
    /// Commands for the operator, if one is needed.
    pub leftovers: Vec<String>,
    /// Of an abandoned job: the later one that the guest's name belongs to. What this job left goes by that name, so that no
    /// command for it is given any more.
    #[serde(default)]
    pub name_belongs_to: Option<String>,
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
    /// The job whose guest this one changes.
    #[serde(default)]
    pub change_of: Option<String>,
    /// What it changes.
    #[serde(default)]
    pub change: Option<Change>,
    /// When the guest is destroyed, unless somebody keeps it.
    #[serde(default)]
    pub due_at_ms: Option<u64>,
    /// The guest is gone once it stops.
    #[serde(default)]
    pub ephemeral: bool,
    /// What was asked of the job and is not taken up yet: `unwind`, `retry`, `anew` or `abandon`.
    pub asked: Option<String>,
    /// The job's timeline, in the order of the steps.
    pub steps: Vec<StepView>,
}

/// One secret file as it was delivered, and whether the guest has found it so.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SecretView {
    #[serde(flatten)]
    pub delivered: Delivered,
    /// The guest's report tells the same digest, mode and owner. None: there is no report.
    #[serde(default)]
    pub confirmed: Option<bool>,
}

/// Several guests, and what they share: nothing, if all is well.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Summary {
    pub guests: Vec<GuestView>,
    pub duplicates: Vec<Duplicate>,
}

impl Bringups {
    /// One job as people see it; none if there is no such job.
    ///
    /// # Errors
    /// The store fails, or the journal cannot be read.
    pub async fn view(&self, job: &str) -> Result<Option<GuestView>, StoreError> {
        Ok(self.view_with_report(job).await?.map(|(view, _)| view))
    }

    async fn view_with_report(
        &self,
        job: &str,
    ) -> Result<Option<(GuestView, Option<Identities>)>, StoreError> {
        // Before the journal, which has the answer to what is not asked any more.
        let asked = self.store.open_request(job).await?;
        let events = self.store.events(job).await?;
        let Ok(state) = fold(&events) else { return self.unreadable(job, !events.is_empty()).await };
        let report = self.store.report_of_job(job).await?;
        let mut view = GuestView::of(job, &state, &events);
        view.asked = asked.as_ref().and_then(asked_of);
        if state.phase.is_at_work() {
            view.trouble = self.trouble_of(&view.backend).or_else(|| doubt(&view.steps));
        }
        if state.phase == Phase::Abandoned {
            view.drop_outlived(self.store.job_of_guest(&state.spec.guest).await?);
        }
        let identities = match &report {
            Some(stored) => view.add_report(stored),
            None => view.add_beacon(is_by_beacon_alone(&state)),
        };
        let allocated = Allocated::of(&state).filter(|_| !state.phase.is_gone());
        if let (Some(allocated), Ok(backend)) = (allocated, self.backend(&state.spec.backend)) {
            let spec = spec_of(&state).ok();
            view.reach = spec.and_then(|spec| backend.reach(&allocated.placement(job, spec.plan, &state)));
        }
        Ok(Some((view, identities)))
    }

    /// A journal that does not fold is shown by what stands beside it; nothing is guessed.
    async fn unreadable(
        &self,
        job: &str,
        exists: bool,
    ) -> Result<Option<(GuestView, Option<Identities>)>, StoreError> {
        let row = if exists { self.store.job(job).await? } else { None };
        Ok(row.map(|row| (GuestView::of_row(row), None)))
    }

    /// The given jobs, and every identity that one of their guests shares with another.
    pub async fn summary(&self, jobs: &[String]) -> Result<Summary, StoreError> {
        let (mut guests, mut duplicates) = (Vec::new(), Vec::new());
        for job in jobs {
            let Some((view, identities)) = self.view_with_report(job).await? else { continue };
            if let Some(identities) = identities.filter(|_| !view.state.is_gone()) {
                let shared = self.store.sharing(job, &identities.values).await?;
                duplicates.extend(duplicates_with(&view.name, &shared));
            }
            guests.push(view);
        }
        Ok(Summary { guests, duplicates: merged(duplicates) })
    }
}

/// What companions ask by themselves is their own business.
fn asked_of(request: &Request) -> Option<String> {
    (!request.kind.is_our_own()).then(|| request.kind.as_str().to_owned())
}

impl GuestView {
    /// Nothing more will happen to the job unless somebody asks again.
    pub fn has_ended(&self) -> bool {
        self.state.is_final() && self.asked.is_none()
    }

    pub(in crate::bringup) fn of(job: &str, state: &State, events: &[Recorded]) -> Self {
        let allocated = Allocated::of(state);
        let cannot_begin_anew =
            events.iter().any(|one| matches!(one.event, Event::SuccessorSettled { fault: Some(_) }));
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
            adopted: is_adoption(state),
            state: state.phase,
            step: state.current_step().map(|info| info.name.clone()),
            trust: None,
            beacon: beacon_of(state),
            by_beacon_alone: false,
            unproven: unproven(state),
            mac: allocated.map(|allocated| allocated.allocation.mac.to_string()),
            addresses,
            machine_id: None,
            hostname: None,
            ssh_host_keys: Vec::new(),
            timings_ms,
            checks: Vec::new(),
            secrets: delivered_by(state)
                .into_iter()
                .map(|delivered| SecretView { delivered, confirmed: None })
                .collect(),
            failure: state.failure.clone(),
            trouble: None,
            console_tail: state.console.clone(),
            leftovers: state.leftovers.clone(),
            name_belongs_to: None,
            reach: None,
            created_at_ms: state.created_ms,
            ended_at_ms: state.ended_ms,
            batch: state.spec.batch.clone(),
            by: state.spec.by.clone(),
            retry_of: state.spec.retry_of.clone(),
            successor: state.successor.clone().filter(|_| !cannot_begin_anew),
            companion: state.companion.clone(),
            asked: None,
            can_retry: state.can_retry(),
            change_of: state.spec.change_of.clone(),
            change: state
                .spec
                .change_of
                .as_ref()
                .and_then(|_| ChangeSpec::of(&state.spec).ok())
                .map(|spec| spec.change),
            due_at_ms: state.due_ms(),
            ephemeral: state.is_ephemeral(),
            steps: timeline(&state.spec, events),
        }
    }

    /// An abandoned job has the name no more: `destroy` would fail, and once the name is another job's (`newest` is the one
    /// that has it, or had it last), every command would hit that one's guest.
    fn drop_outlived(&mut self, newest: Option<JobRow>) {
        let outlived = [destroy_command(&self.name), forget_command(&self.name)];
        self.leftovers.retain(|command| !outlived.contains(command));
        let other = newest.filter(|row| row.id != self.job && row.phase != Phase::RolledBack);
        if let Some(other) = other {
            self.leftovers.clear();
            self.name_belongs_to = Some(other.id);
        }
    }

    fn of_row(row: JobRow) -> Self {
        Self {
            name: row.guest,
            job: row.id,
            backend: row.backend,
            adopted: false,
            state: row.phase,
            step: row.step,
            trust: row.trust,
            beacon: None,
            by_beacon_alone: false,
            unproven: Vec::new(),
            mac: None,
            addresses: Vec::new(),
            machine_id: None,
            hostname: None,
            ssh_host_keys: Vec::new(),
            timings_ms: BTreeMap::new(),
            checks: Vec::new(),
            secrets: Vec::new(),
            failure: row.failure,
            trouble: None,
            console_tail: Vec::new(),
            leftovers: Vec::new(),
            name_belongs_to: None,
            reach: None,
            created_at_ms: row.created_ms,
            ended_at_ms: row.ended_ms,
            batch: row.batch,
            by: String::new(),
            retry_of: None,
            successor: None,
            companion: row.companion,
            asked: None,
            can_retry: false,
            change_of: row.change_of,
            change: None,
            due_at_ms: row.due_ms,
            ephemeral: row.ephemeral,
            steps: Vec::new(),
        }
    }

    /// What is known without a report. `vouches`: it was verified and found to be enough.
    pub(in crate::bringup) fn add_beacon(&mut self, vouches: bool) -> Option<Identities> {
        let beacon = self.beacon.as_ref().filter(|_| vouches)?;
        self.trust = Some(Trust::Attested);
        self.by_beacon_alone = true;
        self.ssh_host_keys = beacon.host_key.clone().into_iter().collect();
        Some(Identities { guest: self.name.clone(), values: beacon.identities() })
    }

    /// Everything from a guest is escaped here, so that no view has to think of it. Answers whose identities it told.
    pub(in crate::bringup) fn add_report(&mut self, stored: &StoredReport) -> Option<Identities> {
        let report = stored.envelope.open().ok()?.report;
        let identities = identities(&self.name, &report);
        self.trust = Some(stored.trust);
        self.machine_id = report.identity.machine_id.derived.map(|id| id.to_string());
        self.hostname = Some(escape(&report.identity.hostname.current, 64));
        for secret in &mut self.secrets {
            secret.confirmed = Some(secret.delivered.problem_in(&report).is_none());
        }
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
        Some(identities)
    }
}

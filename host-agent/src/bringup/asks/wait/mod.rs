//! Waiting for a guest that somebody else made: found at once, so that the job has its real name from the beginning; asked
//! twice, it is waited for once.

mod decide;

use std::time::Duration;

use firstlight_shared::text::escape;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout};

use self::decide::{Answer, Known, decide};
use crate::backend::{Adopted, Backend, GuestPlan, Place};
use crate::bringup::api::{Applied, Submitted};
use crate::bringup::asks::submit::{SubmitError, new_id};
use crate::bringup::facts::{Allocated, beacon_of, is_adoption, spec_of};
use crate::bringup::service::{Bringups, store_fault};
use crate::bringup::spec::GuestSpec;
use crate::bringup::steps::{Likeness, MAC, handle, id_kind};
use crate::clock::now_ms;
use crate::job::{Event, JobSpec, JobStore, JournalError, NewJob, Recorded, RequestKind, State};
use crate::outcome::Fault;
use crate::store::JobRow;

/// A guest to wait for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WaitFor {
    pub backend: String,
    /// Its name, or its id (a VMID).
    pub guest: String,
    /// How long to wait for the report, in milliseconds: a second to a day.
    pub timeout_ms: u64,
    /// Checks that must pass beyond those that the guest itself requires.
    #[serde(default)]
    pub require: Vec<String>,
    /// What is on record of the guest does not count any more: wait for another report than that one, and for a beacon that
    /// does not name it.
    #[serde(default)]
    pub again: bool,
}

const SHORTEST: u64 = 1000;
const LONGEST: u64 = 24 * 3600 * 1000;
/// How often to decide anew, when another companion was faster.
const ATTEMPTS: u32 = 3;
/// Reports that do not count any more.
const REMEMBERED: usize = 16;
/// How long an earlier record may take to go: it is a few rows.
const PATIENCE: Duration = Duration::from_secs(20);

impl Bringups {
    /// Looks for the guest, and makes a job that waits for it unless there is one, or it is ready already.
    pub async fn wait_for(&self, wanted: &WaitFor, by: &str) -> Result<Submitted, SubmitError> {
        check(wanted)?;
        let backend = self.hasty_backend(&wanted.backend)?;
        let found = backend.adopt(&wanted.guest).await?;
        let guest = found.name.to_string();
        let old = if wanted.again { self.on_record(&guest).await? } else { Vec::new() };
        for attempt in 1.. {
            let known = self.known(&*backend, &found).await?;
            let submitted = |job, action| Submitted { guest: guest.clone(), job, action };
            match decide(wanted, &guest, known.as_ref()) {
                Answer::Create => {
                    let job = self.job_that_waits(wanted, &found, &old, by)?;
                    match self.store.create(std::slice::from_ref(&job)).await {
                        Ok(()) => return Ok(submitted(job.id, Applied::Created)),
                        Err(JournalError::NameTaken { .. }) if attempt < ATTEMPTS => {}
                        Err(JournalError::NameTaken { guest, job }) => {
                            let fault = format!("guest {guest} was taken by job {job} just now");
                            return Err(Fault::new("guest-exists", fault)
                                .with_hint("wait for it again")
                                .into());
                        }
                        Err(error) => return Err(SubmitError::Journal(error)),
                    }
                }
                Answer::Unchanged { job } => return Ok(submitted(job, Applied::Unchanged)),
                Answer::Join { job } => return Ok(submitted(job, Applied::Joined)),
                Answer::Replace { job, ask } if attempt < ATTEMPTS => {
                    self.replace(&job, ask, by).await?;
                }
                Answer::Replace { job, .. } => return Err(lingers(&guest, &job).into()),
                Answer::Refuse(fault) => return Err(fault.into()),
            }
        }
        Err(Fault::new("internal", "nothing was decided").into())
    }

    /// The spec of such a job again, with the guest as it is found now.
    pub(in crate::bringup) async fn adopt_again(
        &self,
        mut spec: GuestSpec,
        before: &Adopted,
    ) -> Result<GuestSpec, Fault> {
        let found = self.backend(&spec.backend)?.adopt(&handle(before)).await?;
        spec.plan.name = found.name.clone();
        spec.plan.kind = found.kind;
        spec.adopt = Some(found);
        Ok(spec)
    }

    /// The reports of this guest that are on record: the one that ended its last wait (or that its beacon named instead),
    /// and those that did not count for that one any more.
    async fn on_record(&self, guest: &str) -> Result<Vec<String>, Fault> {
        let Some(row) = self.store.job_of_guest(guest).await.map_err(store_fault)? else {
            return Ok(Vec::new());
        };
        let report = self.store.report_of_job(&row.id).await.map_err(store_fault)?;
        let state = self.state(&row.id).await.map_err(store_fault)?;
        let beacon = state.as_ref().and_then(beacon_of).and_then(|beacon| beacon.report_sha256);
        let before = state.as_ref().and_then(|state| spec_of(state).ok()).map(|spec| spec.newer_than);
        let mut old: Vec<String> = report.map(|stored| stored.sha256).into_iter().chain(beacon).collect();
        old.extend(before.into_iter().flatten());
        old.truncate(REMEMBERED);
        Ok(old)
    }

    fn job_that_waits(
        &self,
        wanted: &WaitFor,
        found: &Adopted,
        old: &[String],
        by: &str,
    ) -> Result<NewJob, Fault> {
        let spec = GuestSpec {
            backend: wanted.backend.clone(),
            plan: plan(found),
            keep_on_failure: false,
            timeout_ms: wanted.timeout_ms,
            require: wanted.require.clone(),
            deadline_ms: None,
            destroy_after_ms: None,
            golden_mark: None,
            adopt: Some(found.clone()),
            newer_than: old.to_vec(),
        };
        let job = JobSpec { batch: new_id(), by: by.to_owned(), ..self.job_spec(&spec)? };
        let created = Recorded { seq: 0, at_ms: now_ms(), event: Event::Created(job) };
        Ok(NewJob { id: new_id(), created })
    }

    /// The job that knows the guest by its name, or by its id or MACs under another name.
    async fn known(&self, backend: &dyn Backend, found: &Adopted) -> Result<Option<Known>, Fault> {
        let named = self.store.job_of_guest(found.name.as_str()).await.map_err(store_fault)?;
        let row = match named.filter(|row| !row.phase.is_gone()) {
            Some(row) => Some(row),
            None => self.holder(backend, found).await?,
        };
        let Some(row) = row else { return Ok(None) };
        let Some(state) = self.state(&row.id).await.map_err(store_fault)? else {
            let message = format!("job {} has the guest's name, and its journal cannot be read", row.id);
            return Err(Fault::new("journal-unreadable", message));
        };
        let spec = spec_of(&state).ok();
        let like = of_job(&row, &state, spec.as_ref());
        let asked = self.store.open_request(&row.id).await.map_err(store_fault)?;
        Ok(Some(Known {
            job: row.id,
            guest: row.guest,
            phase: state.phase,
            ends: asked.is_some_and(|asked| ends(&asked.kind)),
            adopted: spec.as_ref().is_some_and(|spec| spec.adopt.is_some()),
            is_it: row.backend == backend.name()
                && like.is_some_and(|like| like.is_of(&Likeness::of(&found.allocation))),
            require: spec.map(|spec| spec.require).unwrap_or_default(),
        }))
    }

    async fn holder(&self, backend: &dyn Backend, found: &Adopted) -> Result<Option<JobRow>, Fault> {
        let (kind, allocation) = (id_kind(backend), &found.allocation);
        let id = allocation.slot.iter().map(|slot| (kind.as_str(), slot.id.clone()));
        let macs = std::iter::once(&allocation.mac).chain(&allocation.more_macs);
        let values: Vec<(&str, String)> = id.chain(macs.map(|mac| (MAC, mac.to_string()))).collect();
        let Some(job) = self.store.holder(&values).await.map_err(store_fault)? else { return Ok(None) };
        let row = self.store.job(&job).await.map_err(store_fault)?;
        Ok(row.filter(|row| !row.phase.is_gone()))
    }

    /// Ends what is on record of a guest, and waits until it is gone. The guest itself is not touched.
    async fn replace(&self, job: &str, ask: decide::Ask, by: &str) -> Result<(), Fault> {
        // Before anything is asked: no change is missed.
        let mut changes = self.changes();
        let reason = "it is waited for anew";
        let asked = match ask {
            decide::Ask::Nothing => Ok(String::new()),
            decide::Ask::Abandon => self.abandon(job, by, reason).await,
            decide::Ask::Cancel => self.cancel(job, by, reason).await,
        };
        match asked {
            // It has moved on meanwhile: what it is now is decided upon.
            Err(fault) if matches!(fault.code.as_str(), "job-ended" | "job-in-progress") => return Ok(()),
            asked => drop(asked?),
        }
        let ends = Instant::now() + PATIENCE;
        loop {
            let row = self.store.job(job).await.map_err(store_fault)?;
            let Some(row) = row.filter(|row| !row.phase.is_gone()) else { return Ok(()) };
            let left = ends.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(lingers(&row.guest, job));
            }
            // Whatever changed, or nothing: it is looked at again.
            let _ = timeout(left.min(Duration::from_secs(1)), changes.recv()).await;
        }
    }
}

impl From<Fault> for SubmitError {
    fn from(fault: Fault) -> Self {
        Self::Refused(fault)
    }
}

/// What the guest of a job is known by; none: nothing was chosen for it yet.
fn of_job(row: &JobRow, state: &State, spec: Option<&GuestSpec>) -> Option<Likeness> {
    if let (Some(allocated), Some(spec)) = (Allocated::of(state), spec) {
        let placement = allocated.placement(&row.id, spec.plan.clone(), state);
        return Some(Likeness::of(&placement.allocation));
    }
    Some(Likeness::of(&spec?.adopt.as_ref()?.allocation))
}

fn plan(found: &Adopted) -> GuestPlan {
    let node = found.allocation.slot.as_ref().map(|slot| slot.node.clone());
    GuestPlan {
        kind: found.kind,
        place: Place { node, ..Place::default() },
        ..GuestPlan::bare(found.name.clone(), "")
    }
}

fn check(wanted: &WaitFor) -> Result<(), Fault> {
    if !(SHORTEST..=LONGEST).contains(&wanted.timeout_ms) {
        return Err(Fault::new("bad-request", "the timeout must be from a second to a day"));
    }
    if wanted.guest.trim().is_empty() {
        return Err(Fault::new("bad-request", "say which guest: its name, or its id"));
    }
    Ok(())
}

fn ends(asked: &RequestKind) -> bool {
    matches!(asked, RequestKind::Unwind | RequestKind::Anew { .. } | RequestKind::Abandon)
}

fn lingers(guest: &str, job: &str) -> Fault {
    let message = format!("the earlier wait for {} (job {job}) has not ended yet", escape(guest, 80));
    Fault::new("guest-unwinding", message).with_hint("wait for it again in a moment")
}

impl Bringups {
    /// Whether a job only waits for its guest, which somebody else made.
    pub(in crate::bringup) async fn is_adopted(&self, job: &str) -> Result<bool, Fault> {
        let state = self.state(job).await.map_err(store_fault)?;
        Ok(state.is_some_and(|state| is_adoption(&state)))
    }
}

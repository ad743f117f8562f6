//! Applying a spec, and what that would do. All of its guests or none; a second time changes nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::api::{Applied, PlanAction, PlannedGuest, Submitted};
use super::budget::Claimed;
use super::decide::{Decision, There, decide};
use super::secrets::look_ahead;
use super::service::{Bringups, store_fault};
use super::spec::GuestSpec;
use super::steps::BringUp;
use crate::clock::now_ms;
use crate::job::{Event, JobSpec, JobStore, JournalError, NewJob, Recorded, RequestKind};
use crate::outcome::Fault;

/// How often to decide anew, when another companion made one of the guests meanwhile.
const ATTEMPTS: u32 = 3;

/// Why guests were not submitted; nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    #[error("{0}")]
    Refused(Fault),
    #[error("the jobs could not be recorded")]
    Journal(#[source] JournalError),
}

impl Bringups {
    /// Checks every guest, then makes a job for each that is not there yet. All or none.
    pub async fn submit(&self, specs: &[GuestSpec], by: &str) -> Result<Vec<Submitted>, SubmitError> {
        let _alone = self.counting.lock().await;
        for attempt in 1.. {
            let (submitted, jobs) = self.prepare(specs, by).await.map_err(SubmitError::Refused)?;
            match self.store.create(&jobs).await {
                Ok(()) => return Ok(submitted),
                Err(JournalError::NameTaken { .. }) if attempt < ATTEMPTS => {}
                Err(JournalError::NameTaken { guest, job }) => {
                    let fault =
                        Fault::new("guest-exists", format!("guest {guest} was made by job {job} just now"));
                    return Err(SubmitError::Refused(fault.with_hint("apply the spec again")));
                }
                Err(error) => return Err(SubmitError::Journal(error)),
            }
        }
        Ok(Vec::new())
    }

    async fn prepare(&self, specs: &[GuestSpec], by: &str) -> Result<(Vec<Submitted>, Vec<NewJob>), Fault> {
        let (mut submitted, mut jobs, mut refusals) = (Vec::new(), Vec::new(), Vec::new());
        let batch = new_id();
        refuse_adopted(specs)?;
        let mut claimed = Claimed::new();
        for spec in specs {
            let spec = self.marked(spec).await;
            let (job, action) = match self.decision(&spec).await? {
                Decision::Create => {
                    if let Err(fault) = self.check_budget(&spec, &mut claimed).await {
                        refusals.push(fault);
                        continue;
                    }
                    let new = self.new_job(&spec, &batch, by).await?;
                    let id = new.id.clone();
                    jobs.push(new);
                    (id, Applied::Created)
                }
                Decision::Unchanged { job } => (job, Applied::Unchanged),
                Decision::Join { job } => (job, Applied::Joined),
                Decision::Refuse { fault, .. } => {
                    refusals.push(fault);
                    continue;
                }
            };
            submitted.push(Submitted { guest: spec.plan.name.to_string(), job, action });
        }
        match joined(refusals) {
            None => Ok((submitted, jobs)),
            Some(fault) => Err(fault),
        }
    }

    async fn new_job(&self, spec: &GuestSpec, batch: &str, by: &str) -> Result<NewJob, Fault> {
        look_ahead(&spec.plan, &self.secrets)?;
        self.backend(&spec.backend)?.preflight(&spec.plan).await?;
        let job = JobSpec { batch: batch.to_owned(), by: by.to_owned(), ..self.job_spec(spec)? };
        let created = Recorded { seq: 0, at_ms: now_ms(), event: Event::Created(job) };
        Ok(NewJob { id: new_id(), created })
    }

    /// The spec with what the companion itself sees of its golden. None: it cannot be looked at, as preflight will say.
    async fn marked(&self, spec: &GuestSpec) -> GuestSpec {
        let golden_mark = match self.backend(&spec.backend) {
            Ok(backend) => backend.golden_mark(&spec.plan).await.ok(),
            Err(_) => None,
        };
        GuestSpec { golden_mark, ..spec.clone() }
    }

    /// What a job is made from, but for who asks and together with what.
    pub(super) fn job_spec(&self, spec: &GuestSpec) -> Result<JobSpec, Fault> {
        let backend = self.backend(&spec.backend)?;
        let body =
            serde_json::to_value(spec).map_err(|error| Fault::new("spec-unwritable", error.to_string()))?;
        Ok(JobSpec {
            guest: spec.plan.name.to_string(),
            backend: spec.backend.clone(),
            spec: body,
            steps: BringUp::new(self.me.clone(), Arc::clone(&backend), spec.clone(), "").step_infos(),
            keep_on_failure: spec.keep_on_failure,
            batch: String::new(),
            // Who only waits works on nothing.
            resources: if spec.adopt.is_some() { Vec::new() } else { backend.resources(&spec.plan) },
            deadline_ms: spec.deadline_ms,
            retry_of: None,
            by: String::new(),
            change_of: None,
            destroy_after_ms: spec.destroy_after_ms,
            ephemeral: spec.plan.ephemeral,
        })
    }

    async fn decision(&self, spec: &GuestSpec) -> Result<Decision, Fault> {
        Ok(decide(spec, self.there(spec.plan.name.as_str()).await?.as_ref()))
    }

    /// The job that has this guest's name.
    async fn there(&self, guest: &str) -> Result<Option<There>, Fault> {
        let row = self.store.job_of_guest(guest).await.map_err(store_fault)?;
        let Some(row) = row.filter(|row| !row.phase.is_gone()) else { return Ok(None) };
        let events = self.store.events(&row.id).await.map_err(store_fault)?;
        let spec = match events.first().map(|first| &first.event) {
            Some(Event::Created(spec)) => serde_json::from_value(spec.spec.clone()).ok(),
            _ => None,
        };
        let spec = match spec {
            Some(spec) => Some(self.changed(&row.id, spec).await?),
            None => None,
        };
        let asked = self.store.request(&row.id).await;
        let asked = asked.map_err(|error| Fault::new("store", error.to_string()))?;
        let unwinding = asked
            .is_some_and(|request| matches!(request.kind, RequestKind::Unwind | RequestKind::Anew { .. }));
        Ok(Some(There { job: row.id, phase: row.phase, spec, unwinding }))
    }

    /// What [`Bringups::submit`] would do with these guests. Changes nothing.
    pub async fn plan(&self, specs: &[GuestSpec]) -> Result<Vec<PlannedGuest>, Fault> {
        let mut planned = Vec::new();
        refuse_adopted(specs)?;
        let mut claimed = Claimed::new();
        for spec in specs {
            let spec = self.marked(spec).await;
            let name = &spec.plan.name;
            let mut guest = PlannedGuest {
                guest: name.to_string(),
                action: PlanAction::Create,
                job: None,
                differences: Vec::new(),
                problems: Vec::new(),
                steps: Vec::new(),
                resources: Vec::new(),
            };
            match self.decision(&spec).await? {
                Decision::Create => {
                    self.look_ahead(&spec, &mut guest).await?;
                    guest.problems.extend(self.check_budget(&spec, &mut claimed).await.err());
                }
                Decision::Unchanged { job } => {
                    (guest.action, guest.job) = (PlanAction::Unchanged, Some(job));
                }
                Decision::Join { job } => (guest.action, guest.job) = (PlanAction::InProgress, Some(job)),
                Decision::Refuse { job, differences, fault } => {
                    (guest.action, guest.job) = (PlanAction::Conflict, Some(job));
                    (guest.differences, guest.problems) = (differences, vec![fault]);
                }
            }
            planned.push(guest);
        }
        Ok(planned)
    }

    /// What would keep the guest from being made now.
    async fn look_ahead(&self, spec: &GuestSpec, guest: &mut PlannedGuest) -> Result<(), Fault> {
        let (backend, job) = match (self.backend(&spec.backend), self.job_spec(spec)) {
            (Ok(backend), Ok(job)) => (backend, job),
            (Err(fault), _) | (_, Err(fault)) => {
                guest.problems.push(fault);
                return Ok(());
            }
        };
        guest.steps = job.steps.into_iter().map(|step| step.name).collect();
        guest.resources = job.resources;
        if let Some(whose) = backend.namesake(&spec.plan.name).await? {
            let message =
                format!("something called {} is there already, and belongs to: {whose}", guest.guest);
            let hint = "choose another name, or remove what is there yourself";
            guest.problems.push(Fault::new("foreign", message).with_hint(hint));
        }
        guest.problems.extend(look_ahead(&spec.plan, &self.secrets).err());
        guest.problems.extend(backend.preflight(&spec.plan).await.err());
        let limits = self.limits.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let closed = guest.resources.iter().filter(|resource| limits.of(resource) == Some(0));
        guest.problems.extend(closed.map(|resource| {
            Fault::new("limit-zero", format!("no job may work on {resource}: its limit is 0"))
                .with_hint("it would wait in the queue until `[limits]` says otherwise")
        }));
        Ok(())
    }
}

/// Nobody but the companion says that a guest is there already.
fn refuse_adopted(specs: &[GuestSpec]) -> Result<(), Fault> {
    match specs.iter().find(|spec| spec.adopt.is_some()) {
        None => Ok(()),
        Some(spec) => {
            let message = format!("guest {}: `adopt` is no word of a spec", spec.plan.name);
            Err(Fault::new("bad-request", message)
                .with_hint("`firstlight wait` waits for guests that another tool made"))
        }
    }
}

/// One fault for all guests that were refused, with the first one's way out.
fn joined(mut refusals: Vec<Fault>) -> Option<Fault> {
    if refusals.len() < 2 {
        return refusals.pop();
    }
    let all = refusals.iter().map(|fault| fault.message.as_str()).collect::<Vec<_>>().join("; ");
    let first = refusals.swap_remove(0);
    Some(Fault { message: format!("{} guests are refused: {all}", refusals.len() + 1), ..first })
}

/// A job id: a time in milliseconds, which this process gives out once, and some chance, in hexadecimal; ids sort by age.
pub(super) fn new_id() -> String {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let now = now_ms();
    let last = LAST.fetch_max(now, Ordering::Relaxed);
    let time = if now > last { now } else { LAST.fetch_add(1, Ordering::Relaxed) + 1 };
    format!("{time:011x}{:07x}", rand::random::<u32>() & 0x0fff_ffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_and_sort_by_age() {
        let ids: Vec<String> = (0..2000).map(|_| new_id()).collect();
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(ids.iter().all(|id| id.len() == 18));
    }

    #[test]
    fn several_refusals_are_told_at_once() {
        let fault = |text: &str| Fault::new("guest-exists", text);
        assert_eq!(joined(vec![]), None);
        assert_eq!(joined(vec![fault("a")]), Some(fault("a")));
        let all = joined(vec![fault("a is there"), fault("b is there")]).unwrap();
        assert_eq!(all.message, "2 guests are refused: a is there; b is there");
    }
}

//! Applying a spec, and what that would do. All of its guests or none; a second time changes nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::budget::Count;
use super::decide::{Decision, There, decide};
use crate::backend::{Backend, GuestPlan, blames_plan, is_silence};
use crate::bringup::api::{Applied, PlanAction, PlannedGuest, Submitted};
use crate::bringup::secrets::look_ahead;
use crate::bringup::service::{Bringups, store_fault};
use crate::bringup::spec::GuestSpec;
use crate::bringup::steps::BringUp;
use crate::clock::now_ms;
use crate::job::{Event, JobSpec, JobStore, JournalError, NewJob, Recorded, RequestKind};
use crate::outcome::Fault;

/// How often to decide anew, when another companion made one of the guests meanwhile.
const ATTEMPTS: u32 = 3;
/// How often to count memory anew, when another companion made a job meanwhile.
pub(in crate::bringup) const COUNTS: u32 = 20;

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
            let mut count = Count::default();
            let (submitted, jobs) =
                self.prepare(specs, by, &mut count).await.map_err(SubmitError::Refused)?;
            match self.create(&jobs, &count).await {
                Ok(true) => return Ok(submitted),
                Ok(false) if attempt < COUNTS => {}
                Ok(false) => return Err(SubmitError::Refused(overtaken())),
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

    /// Makes the jobs; false: others that were not counted were faster, and nothing was made.
    pub(in crate::bringup) async fn create(
        &self,
        jobs: &[NewJob],
        count: &Count,
    ) -> Result<bool, JournalError> {
        match count.seen() {
            Some(seen) => self.store.create_counted(jobs, &seen).await,
            None => self.store.create(jobs).await.map(|()| true),
        }
    }

    async fn prepare(
        &self,
        specs: &[GuestSpec],
        by: &str,
        count: &mut Count,
    ) -> Result<(Vec<Submitted>, Vec<NewJob>), Fault> {
        let (mut submitted, mut jobs, mut refusals) = (Vec::new(), Vec::new(), Vec::new());
        let batch = new_id();
        refuse_adopted(specs)?;
        for spec in specs {
            let (spec, silent) = self.marked(spec).await;
            let (job, action) = match self.decision(&spec).await? {
                Decision::Create => match self.fitting_job(&spec, silent, &batch, by, count).await {
                    Ok(new) => {
                        let id = new.id.clone();
                        jobs.push(new);
                        (id, Applied::Created)
                    }
                    Err(fault) => {
                        // Of what the machine or the hypervisor lacks the next guest would hear the same, after as long.
                        let go_on = blames_plan(&fault.code);
                        refusals.push(Refusal { guest: Some(spec.plan.name.to_string()), fault });
                        if go_on {
                            continue;
                        }
                        break;
                    }
                },
                Decision::Unchanged { job } => (job, Applied::Unchanged),
                Decision::Join { job } => (job, Applied::Joined),
                Decision::Refuse { fault, .. } => {
                    refusals.push(Refusal { guest: None, fault });
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

    /// A job, if its guest fits into the budgets of memory.
    async fn fitting_job(
        &self,
        spec: &GuestSpec,
        silent: Option<Fault>,
        batch: &str,
        by: &str,
        count: &mut Count,
    ) -> Result<NewJob, Fault> {
        let job = self.new_job(spec, silent, batch, by).await?;
        self.check_budget(spec, count).await?;
        Ok(job)
    }

    async fn new_job(
        &self,
        spec: &GuestSpec,
        silent: Option<Fault>,
        batch: &str,
        by: &str,
    ) -> Result<NewJob, Fault> {
        if let Some(fault) = silent {
            return Err(fault);
        }
        let backend = self.hasty_backend(&spec.backend)?;
        refuse_namesake(&*backend, &spec.plan).await?;
        look_ahead(&spec.plan, &self.secrets)?;
        backend.preflight(&spec.plan).await?;
        let job = JobSpec { batch: batch.to_owned(), by: by.to_owned(), ..self.job_spec(spec)? };
        let created = Recorded { seq: 0, at_ms: now_ms(), event: Event::Created(job) };
        Ok(NewJob { id: new_id(), created })
    }

    /// The spec with what the companion itself sees of its golden. None: it cannot be looked at, as preflight will say;
    /// and where the hypervisor did not answer, that: it is not asked again.
    async fn marked(&self, spec: &GuestSpec) -> (GuestSpec, Option<Fault>) {
        let looked = match self.hasty_backend(&spec.backend) {
            Ok(backend) => backend.golden_mark(&spec.plan).await,
            Err(fault) => Err(fault),
        };
        let (golden_mark, fault) = match looked {
            Ok(mark) => (Some(mark), None),
            Err(fault) => (None, Some(fault).filter(|fault| is_silence(&fault.code))),
        };
        (GuestSpec { golden_mark, ..spec.clone() }, fault)
    }

    /// What a job is made from, but for who asks and together with what.
    pub(in crate::bringup) fn job_spec(&self, spec: &GuestSpec) -> Result<JobSpec, Fault> {
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
        let mut count = Count::default();
        for spec in specs {
            let (spec, silent) = self.marked(spec).await;
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
                    // Of no guest anything can be said then.
                    if let Some(fault) = silent {
                        return Err(fault);
                    }
                    self.look_ahead(&spec, &mut guest).await?;
                    guest.problems.extend(self.check_budget(&spec, &mut count).await.err());
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
        let backend = backend.hasty().unwrap_or(backend);
        match refuse_namesake(&*backend, &spec.plan).await {
            Err(fault) if fault.code == FOREIGN => guest.problems.push(fault),
            looked => looked?,
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

/// Something with the guest's name is there, and belongs to nobody who asks.
const FOREIGN: &str = "foreign";

/// Others made jobs each time while this one counted.
pub(in crate::bringup) fn overtaken() -> Fault {
    Fault::new("memory-contended", "other companions made guests each time while memory was counted")
        .with_hint("nothing was done; try again")
}

async fn refuse_namesake(backend: &dyn Backend, plan: &GuestPlan) -> Result<(), Fault> {
    let Some(whose) = backend.namesake(&plan.name, &plan.place).await? else { return Ok(()) };
    let message = format!("something called {} is there already, and belongs to: {whose}", plan.name);
    Err(Fault::new(FOREIGN, message).with_hint("choose another name, or remove what is there yourself"))
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

/// Why a guest was refused. The guest's name, where the fault's own words do not have it.
struct Refusal {
    guest: Option<String>,
    fault: Fault,
}

/// So many guests of one refusal are told by name.
const TOLD: usize = 5;

/// One fault for all guests that were refused, each named and each reason told once, with the first one's way out.
fn joined(refusals: Vec<Refusal>) -> Option<Fault> {
    let count = refusals.len();
    let mut reasons: Vec<(Vec<String>, Fault)> = Vec::new();
    for Refusal { guest, fault } in refusals {
        match reasons.iter_mut().find(|(_, known)| guest.is_some() && *known == fault) {
            Some((guests, _)) => guests.extend(guest),
            None => reasons.push((guest.into_iter().collect(), fault)),
        }
    }
    let told = |(guests, fault): &(Vec<String>, Fault)| match guests.len() {
        0 => fault.message.clone(),
        1..=TOLD => format!("{}: {}", guests.join(", "), fault.message),
        more => format!("{} and {} more: {}", guests[..TOLD].join(", "), more - TOLD, fault.message),
    };
    let all = reasons.iter().map(told).collect::<Vec<_>>().join("; ");
    let first = reasons.into_iter().next()?.1;
    let message = if count == 1 { all } else { format!("{count} guests are refused: {all}") };
    Some(Fault { message, ..first })
}

/// A job id: a time in milliseconds, which this process gives out once, and some chance, in hexadecimal; ids sort by age.
pub(in crate::bringup) fn new_id() -> String {
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
        let refusal = |guest: &str, text: &str| Refusal {
            guest: (!guest.is_empty()).then(|| guest.to_owned()),
            fault: fault(text),
        };
        assert_eq!(joined(vec![]), None);
        assert_eq!(joined(vec![refusal("", "a is there")]), Some(fault("a is there")));
        assert_eq!(joined(vec![refusal("a", "no golden")]), Some(fault("a: no golden")));
        let all = joined(vec![refusal("", "a is there"), refusal("", "b is there")]).unwrap();
        assert_eq!(all.message, "2 guests are refused: a is there; b is there");
        let all = (0..7).map(|number| refusal(&format!("web-{number}"), "no golden"));
        let all = joined(all.chain([refusal("db", "no pool")]).collect()).unwrap();
        assert_eq!(
            all.message,
            "8 guests are refused: web-0, web-1, web-2, web-3, web-4 and 2 more: no golden; db: no pool"
        );
    }
}

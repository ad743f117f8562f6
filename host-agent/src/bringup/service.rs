//! Submits jobs, resumes those that a dead companion left, and unwinds on request.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use firstlight_shared::pin::SpkiPin;
use tokio::sync::{Mutex as AsyncMutex, broadcast, watch};
use tokio::task::JoinSet;

use super::api::{
    Applied, JobFilter, JobLine, JobPage, PlanAction, PlannedGuest, ReportFilter, ReportPage, Submitted,
};
use super::endpoints::Endpoints;
use super::spec::GuestSpec;
use super::steps::{BringUp, Reservations};
use crate::backend::Backend;
use crate::clock::now_ms;
use crate::intake::Inbox;
use crate::job::{Cancel, Change, Event, Journal, JournalError, Limits, Recorded, Registry, State, fold};
use crate::outcome::Fault;
use crate::store::{Store, StoreError};

/// Everything that bring-ups share.
pub struct Bringups {
    pub store: Store,
    pub registry: Arc<Registry>,
    pub inbox: Inbox,
    pub endpoints: Endpoints,
    pub pin: SpkiPin,
    pub backends: Vec<Arc<dyn Backend>>,
    pub(super) reservations: Reservations,
    /// The jobs that an engine drives now, with the way to ask it to unwind.
    pub(super) driven: Mutex<HashMap<String, Arc<Cancel>>>,
    /// Names are checked and jobs made one at a time.
    submitting: AsyncMutex<()>,
    pub(super) running: AsyncMutex<JoinSet<()>>,
    pub(super) stopping: watch::Sender<bool>,
    pub(super) changes: broadcast::Sender<Change>,
}

/// What bring-ups are made of.
#[derive(Debug)]
pub struct Parts {
    pub store: Store,
    pub inbox: Inbox,
    pub endpoints: Endpoints,
    /// Of the key of the report listener, for guests to pin.
    pub pin: SpkiPin,
    pub backends: Vec<Arc<dyn Backend>>,
    /// As the runner has them: for `plan` to tell of.
    pub limits: Limits,
}

impl std::fmt::Debug for Bringups {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bringups").field("backends", &self.backends).finish_non_exhaustive()
    }
}

/// Why guests were not submitted; nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    #[error("{0}")]
    Refused(Fault),
    #[error("the jobs could not be recorded")]
    Journal(#[source] JournalError),
}

impl Bringups {
    pub fn new(parts: Parts) -> Arc<Self> {
        Arc::new(Self {
            store: parts.store,
            registry: Arc::default(),
            inbox: parts.inbox,
            endpoints: parts.endpoints,
            pin: parts.pin,
            backends: parts.backends,
            reservations: Reservations::default(),
            driven: Mutex::default(),
            submitting: AsyncMutex::default(),
            running: AsyncMutex::default(),
            stopping: watch::Sender::new(false),
            changes: broadcast::Sender::new(1024),
        })
    }

    /// Watches over all bring-ups until it is dropped: reports that other companions took, guests that stopped, things
    /// that came late. Beside it a [`crate::job::Runner`] drives the jobs.
    pub async fn run(self: Arc<Self>) {
        std::future::pending::<()>().await;
    }

    /// What is committed from now on, by whichever companion.
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }

    /// Turns true when the companion stops: whoever shows something shall end.
    pub fn stopping(&self) -> watch::Receiver<bool> {
        self.stopping.subscribe()
    }

    /// The job of this id, or the newest of the guest of this name (one that is not gone, if there is any).
    pub async fn resolve(&self, job_or_guest: &str) -> Result<Option<String>, StoreError> {
        if self.registry.get(job_or_guest).is_some() {
            return Ok(Some(job_or_guest.to_owned()));
        }
        Ok(self.registry.job_of_guest(job_or_guest).map(|(job, _)| job))
    }

    /// One page of jobs, newest first.
    pub async fn jobs(&self, filter: &JobFilter) -> Result<JobPage, StoreError> {
        let mut jobs = Vec::new();
        for (id, state) in self.registry.all().into_iter().rev() {
            let fits = (filter.states.is_empty() || filter.states.contains(&state.phase))
                && filter.guest.as_ref().is_none_or(|guest| *guest == state.spec.guest)
                && filter.batch.as_ref().is_none_or(|batch| *batch == state.spec.batch)
                && filter.before.as_ref().is_none_or(|before| id < *before);
            if fits {
                let trust = self.store.report_of_job(&id).await?.map(|report| report.trust);
                jobs.push(JobLine {
                    id,
                    guest: state.spec.guest.clone(),
                    backend: state.spec.backend.clone(),
                    batch: state.spec.batch.clone(),
                    state: state.phase,
                    step: state.current_step().map(|info| info.name.clone()),
                    trust,
                    failure: state.failure.clone(),
                    created_at_ms: state.created_ms,
                    ended_at_ms: state.ended_ms,
                });
            }
        }
        Ok(JobPage { jobs, next: None })
    }

    /// One page of reports and refusals, newest first.
    pub async fn reports(&self, filter: &ReportFilter) -> Result<ReportPage, StoreError> {
        self.all_reports(filter.guest.as_deref()).await
    }

    /// What [`Bringups::submit`] would do with these guests. Changes nothing.
    pub async fn plan(&self, specs: &[GuestSpec]) -> Result<Vec<PlannedGuest>, Fault> {
        let mut planned = Vec::new();
        for spec in specs {
            planned.push(PlannedGuest {
                guest: spec.plan.name.to_string(),
                action: PlanAction::Create,
                job: None,
                differences: Vec::new(),
                problems: self.admit(spec).await.err().into_iter().collect(),
                steps: Vec::new(),
                resources: Vec::new(),
            });
        }
        Ok(planned)
    }

    /// Asks for a job to be stopped and undone.
    pub async fn cancel(self: &Arc<Self>, job: &str, by: &str, reason: &str) -> Result<String, Fault> {
        let state = self.registry.get(job).ok_or_else(|| no_such_job(job))?;
        self.destroy(&state.spec.guest, by, reason).await
    }

    /// Asks for the failed step to be tried again, or (`anew`) for a new job once everything is undone: answers the job
    /// to follow.
    pub async fn retry(self: &Arc<Self>, job: &str, anew: bool, by: &str) -> Result<String, Fault> {
        let _ = (anew, by);
        self.registry.get(job).ok_or_else(|| no_such_job(job))?;
        Err(Fault::new("cannot-retry", "this job cannot be tried again"))
    }

    /// Leaves everything of a job that needs an operator as it is, and frees the guest's name.
    pub async fn abandon(self: &Arc<Self>, job: &str, by: &str, reason: &str) -> Result<String, Fault> {
        let _ = (by, reason);
        self.registry.get(job).ok_or_else(|| no_such_job(job))?;
        Err(Fault::new("cannot-abandon", "this job cannot be abandoned"))
    }

    /// Goes on with every job that is not final.
    pub async fn resume(self: &Arc<Self>) -> Result<(), StoreError> {
        let unfinished = self.recall().await?;
        for backend in &self.backends {
            // A companion that died after its last guest went may have left what guests shared.
            self.release(&**backend).await;
            // A guest that is ready may still ask for an acknowledgement that was lost.
            if self.has_guests(&**backend)
                && let Err(fault) = self.endpoints.ensure(&**backend).await
            {
                tracing::warn!(backend = backend.name(), error = %fault, "no place for reports yet");
            }
        }
        for job in unfinished {
            tracing::info!(%job, "resuming");
            self.spawn(&job).await;
        }
        Ok(())
    }

    /// Folds every journal (a broken one is shown, not guessed at) and answers the jobs that are not final.
    pub async fn recall(&self) -> Result<Vec<String>, StoreError> {
        let mut unfinished = Vec::new();
        for job in self.store.jobs().await? {
            match fold(&job.events) {
                Ok(state) => {
                    self.reservations.restore(&job.id, &state);
                    if !state.phase.is_final() {
                        unfinished.push(job.id.clone());
                    }
                    self.registry.set(&job.id, state);
                }
                Err(error) => {
                    tracing::error!(job = %job.id, %error, "this journal cannot be read; the job is left alone")
                }
            }
        }
        Ok(unfinished)
    }

    /// Checks every guest, then makes a job for each. All or none.
    pub async fn submit(
        self: &Arc<Self>,
        specs: &[GuestSpec],
        by: &str,
    ) -> Result<Vec<Submitted>, SubmitError> {
        let _ = by;
        let _one_at_a_time = self.submitting.lock().await;
        for spec in specs {
            self.admit(spec).await.map_err(SubmitError::Refused)?;
        }
        let mut jobs = Vec::new();
        for spec in specs {
            let job = new_id();
            let saga = BringUp::new(self, spec.clone(), &job).map_err(SubmitError::Refused)?;
            let event = saga.created().map_err(SubmitError::Refused)?;
            let recorded = Recorded { seq: 0, at_ms: now_ms(), event };
            self.append(&job, &recorded).await.map_err(SubmitError::Journal)?;
            let state = State::created(&recorded).map_err(|illegal| {
                SubmitError::Journal(JournalError::Store { job: job.clone(), source: illegal.into() })
            })?;
            self.registry.set(&job, state);
            let guest = spec.plan.name.to_string();
            jobs.push(Submitted { guest, job, action: Applied::Created });
        }
        for submitted in &jobs {
            self.spawn(&submitted.job).await;
        }
        Ok(jobs)
    }

    async fn admit(&self, spec: &GuestSpec) -> Result<(), Fault> {
        let name = spec.plan.name.as_str();
        if let Some((job, state)) =
            self.registry.job_of_guest(name).filter(|(_, state)| !state.phase.is_gone())
        {
            return Err(Fault::new(
                "guest-exists",
                format!("guest {name} exists already: job {job} is {}", state.phase.as_str()),
            )
            .with_hint(format!("choose another name, or remove it with `firstlight destroy {name}`; `firstlight serve` finishes a job that was interrupted")));
        }
        self.backend(&spec.backend)?.preflight(&spec.plan).await
    }

    /// Asks for everything of this guest to be undone.
    pub async fn destroy(self: &Arc<Self>, guest: &str, by: &str, reason: &str) -> Result<String, Fault> {
        let _ = by;
        let (job, state) =
            self.registry.job_of_guest(guest).filter(|(_, state)| !state.phase.is_gone()).ok_or_else(
                || {
                    Fault::new("no-such-guest", format!("there is no guest {guest}"))
                        .with_hint("`firstlight jobs` lists what there is")
                },
            )?;
        let mut changes = self.registry.changes();
        self.drive_with(&job, |cancel| cancel.request(reason)).await;
        // Whoever follows the job from here on shall not take its old end for the new one.
        let asked = |now: Option<State>| now.is_some_and(|now| now.events > state.events);
        let turned = async {
            while state.phase.is_final() && !asked(self.registry.get(&job)) && changes.changed().await.is_ok()
            {
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(10), turned).await;
        waited.map_err(|_| {
            Fault::new("journal", format!("the request to undo guest {guest} could not be recorded"))
                .with_hint("is there space left in the state folder? the companion's log tells more")
        })?;
        Ok(job)
    }

    pub(super) fn backend(&self, name: &str) -> Result<Arc<dyn Backend>, Fault> {
        let found = self.backends.iter().find(|backend| backend.name() == name).cloned();
        found.ok_or_else(|| Fault::new("no-such-backend", format!("there is no backend `{name}` here")))
    }

    /// Stops every job where it is, and waits for the tidying up after those that had ended.
    pub async fn stop(&self) {
        self.stopping.send_replace(true);
        let mut running = std::mem::take(&mut *self.running.lock().await);
        while running.join_next().await.is_some() {}
    }
}

impl BringUp {
    /// The first event of this job's journal.
    fn created(&self) -> Result<Event, Fault> {
        let spec = serde_json::to_value(self.spec())
            .map_err(|error| Fault::new("spec-unwritable", error.to_string()))?;
        Ok(Event::Created(crate::job::JobSpec {
            guest: self.spec().plan.name.to_string(),
            backend: self.spec().backend.clone(),
            spec,
            steps: self.step_infos(),
            keep_on_failure: self.spec().keep_on_failure,
            batch: String::new(),
            resources: Vec::new(),
            deadline_ms: None,
            retry_of: None,
            by: String::new(),
        }))
    }
}

fn no_such_job(job: &str) -> Fault {
    Fault::new("no-such-job", format!("there is no job {job}"))
        .with_hint("`firstlight jobs` lists what there is")
}

/// A job id: the time in milliseconds and some chance, in hexadecimal; ids sort by age.
fn new_id() -> String {
    format!("{:011x}{:05x}", now_ms(), rand::random::<u32>() & 0xf_ffff)
}

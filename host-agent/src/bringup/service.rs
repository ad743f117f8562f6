//! Submits jobs, resumes those that a dead companion left, and unwinds on request.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use firstlight_shared::pin::SpkiPin;
use tokio::sync::{Mutex as AsyncMutex, watch};
use tokio::task::JoinSet;

use super::endpoints::Endpoints;
use super::spec::GuestSpec;
use super::steps::{BringUp, Reservations};
use crate::backend::Backend;
use crate::clock::now_ms;
use crate::intake::Inbox;
use crate::job::{Cancel, Event, Journal, JournalError, Recorded, Registry, State, fold};
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
    pub fn new(
        store: Store,
        inbox: Inbox,
        endpoints: Endpoints,
        pin: SpkiPin,
        backends: Vec<Arc<dyn Backend>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            store,
            registry: Arc::default(),
            inbox,
            endpoints,
            pin,
            backends,
            reservations: Reservations::default(),
            driven: Mutex::default(),
            submitting: AsyncMutex::default(),
            running: AsyncMutex::default(),
            stopping: watch::Sender::new(false),
        })
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
    pub async fn submit(self: &Arc<Self>, specs: &[GuestSpec]) -> Result<Vec<String>, SubmitError> {
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
            jobs.push(job);
        }
        for job in &jobs {
            self.spawn(job).await;
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
    pub async fn destroy(self: &Arc<Self>, guest: &str, reason: &str) -> Result<String, Fault> {
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

/// A job id: the time in milliseconds and some chance, in hexadecimal; ids sort by age.
fn new_id() -> String {
    format!("{:011x}{:05x}", now_ms(), rand::random::<u32>() & 0xf_ffff)
}

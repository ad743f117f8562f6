//! The first engine, until bring-ups run on [`super::Runner`].

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use firstlight_shared::backoff::Backoff;
use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::event::{Event, Recorded};
use super::fold::{Phase, State};
use super::journal::JournalError;
use super::step::{Context, Saga, Step};
use crate::outcome::{Act, Fault, Probe, Undo};

/// How long an unknown outcome is probed before an operator is asked.
const UNKNOWN_DEADLINE: Duration = Duration::from_secs(300);
/// How often an undo is tried before an operator is asked.
const UNDO_ATTEMPTS: u32 = 5;
const RETRY: Backoff = Backoff { first: Duration::from_millis(200), max: Duration::from_secs(10) };

/// Where events become durable. `append` returns only when the event is on disk, and refuses a number that is taken.
#[async_trait]
pub trait Journal: Send + Sync {
    async fn append(&self, job: &str, recorded: &Recorded) -> Result<(), JournalError>;
    /// Milliseconds since the Unix epoch.
    fn now_ms(&self) -> u64;
    /// Tells watchers of the job's new state.
    fn publish(&self, job: &str, state: &State);
}

/// One job at work.
pub struct Engine {
    pub job: String,
    pub saga: Arc<dyn Saga>,
    pub journal: Arc<dyn Journal>,
    pub state: State,
    /// Somebody asked for the job to be unwound.
    pub cancel: Arc<Cancel>,
}

/// A request to stop and unwind; the reason is shown to people.
#[derive(Debug, Default)]
pub struct Cancel {
    reason: std::sync::Mutex<Option<String>>,
    notify: Notify,
}

impl Cancel {
    pub fn request(&self, reason: &str) {
        self.lock().get_or_insert_with(|| reason.to_owned());
        self.notify.notify_one();
    }

    pub fn is_requested(&self) -> bool {
        self.lock().is_some()
    }

    fn requested(&self) -> Option<String> {
        self.lock().clone()
    }

    async fn wait(&self) {
        while self.requested().is_none() {
            self.notify.notified().await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.reason.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("job", &self.job)
            .field("phase", &self.state.phase)
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// Runs the job until it is final. Safe to call on a state that a dead process left behind.
    pub async fn run(&mut self) -> Result<(), JournalError> {
        loop {
            match self.state.phase {
                Phase::Queued | Phase::Running | Phase::Waiting => match self.cancel.requested() {
                    Some(reason) => {
                        self.record(Event::UnwindRequested {
                            by: String::new(),
                            fault: Fault::new("operator", reason),
                            successor: None,
                        })
                        .await?
                    }
                    None => self.forward().await?,
                },
                Phase::Unwinding if self.state.keeps() => self.keep().await?,
                Phase::Unwinding => self.backward().await?,
                Phase::Done | Phase::NeedsOperator => match self.cancel.requested() {
                    Some(reason) => {
                        self.record(Event::UnwindRequested {
                            by: String::new(),
                            fault: Fault::new("operator", reason),
                            successor: None,
                        })
                        .await?
                    }
                    None => return Ok(()),
                },
                Phase::RolledBack | Phase::Abandoned => return Ok(()),
            }
        }
    }

    async fn forward(&mut self) -> Result<(), JournalError> {
        let saga = Arc::clone(&self.saga);
        let Some(step) = self.state.current_step().and_then(|info| find(&*saga, &info.name)) else {
            return self
                .stuck(Fault::new("unknown-step", "the journal names a step that this version does not know"))
                .await;
        };
        if !self.state.started {
            self.record(Event::StepStarted { step: step.name().to_owned() }).await?;
        }
        let cancel = Arc::clone(&self.cancel);
        let outcome = tokio::select! {
            outcome = self.settle(step) => outcome?,
            () = cancel.wait(), if step.waits() => return Ok(()),
        };
        match outcome {
            Settled::Done(output) => {
                self.record(Event::StepSucceeded { step: step.name().to_owned(), output }).await
            }
            Settled::Failed(fault) => {
                let console = step.evidence(&self.context()).await;
                self.record(Event::StepFailed { step: step.name().to_owned(), fault, console }).await
            }
            Settled::Unclear(fault) => self.stuck(fault).await,
        }
    }

    /// Probes, acts if nothing is there yet, and probes again as long as the outcome is unknown.
    async fn settle(&mut self, step: &dyn Step) -> Result<Settled, JournalError> {
        let deadline = Instant::now() + UNKNOWN_DEADLINE;
        let mut attempt = 0;
        loop {
            attempt += 1;
            let doubt = match step.probe(&self.context()).await {
                Ok(Probe::Present(output)) => return Ok(Settled::Done(output)),
                Ok(Probe::Foreign(what)) => {
                    return Ok(Settled::Failed(
                        Fault::new("foreign", what)
                            .with_hint("choose another name, or remove what is there yourself"),
                    ));
                }
                Ok(Probe::InFlight(task)) => {
                    if self.state.tasks.get(step.name()) != Some(&task) {
                        self.record(Event::StepProgress { step: step.name().to_owned(), task: task.clone() })
                            .await?;
                    }
                    Fault::new("in-flight", format!("task {task} has not ended"))
                }
                Ok(Probe::Absent) => match step.act(&self.context()).await {
                    Act::Applied(output) => return Ok(Settled::Done(output)),
                    Act::Refused(fault) => return Ok(Settled::Failed(fault)),
                    Act::Started(task) => Fault::new("in-flight", task),
                    Act::Unknown(fault) => {
                        let event =
                            Event::StepUncertain { step: step.name().to_owned(), fault: fault.clone() };
                        self.record(event).await?;
                        fault
                    }
                },
                Err(fault) => fault,
            };
            if Instant::now() >= deadline {
                return Ok(Settled::Unclear(doubt));
            }
            sleep(RETRY.delay(attempt, rand::random())).await;
        }
    }

    async fn backward(&mut self) -> Result<(), JournalError> {
        let saga = Arc::clone(&self.saga);
        let Some(step) = self.state.to_undo.last().and_then(|name| find(&*saga, name)) else {
            return self
                .stuck(Fault::new("unknown-step", "the journal names a step that this version does not know"))
                .await;
        };
        self.record(Event::UndoStarted { step: step.name().to_owned() }).await?;
        for attempt in 1.. {
            match step.undo(&self.context()).await {
                Undo::Absent => {
                    return self.record(Event::UndoFinished { step: step.name().to_owned() }).await;
                }
                Undo::Failed(fault) if attempt >= UNDO_ATTEMPTS => return self.stuck(fault).await,
                Undo::Started(_) => {}
                Undo::Failed(fault) => {
                    tracing::warn!(job = %self.job, step = step.name(), attempt, error = %fault, "undo failed, trying again");
                    sleep(RETRY.delay(attempt, rand::random())).await;
                }
            }
        }
        Ok(())
    }

    async fn keep(&mut self) -> Result<(), JournalError> {
        let fault = Fault::new("kept", "the guest was kept for inspection, as its spec asks");
        self.stuck(fault).await
    }

    async fn stuck(&mut self, fault: Fault) -> Result<(), JournalError> {
        let leftovers = self.saga.leftovers(&self.context());
        // A request that led here is spent: only a new one may unwind again.
        self.cancel.lock().take();
        self.record(Event::NeedsOperator { fault, leftovers }).await
    }

    fn context(&self) -> Context<'_> {
        Context { job: &self.job, state: &self.state }
    }

    /// Makes the event durable, then true.
    async fn record(&mut self, event: Event) -> Result<(), JournalError> {
        let recorded = Recorded { seq: self.state.events, at_ms: self.journal.now_ms(), event };
        let mut next = self.state.clone();
        next.apply(&recorded)
            .map_err(|illegal| JournalError::Store { job: self.job.clone(), source: illegal.into() })?;
        self.journal.append(&self.job, &recorded).await?;
        tracing::debug!(job = %self.job, event = ?recorded.event, "journaled");
        self.state = next;
        self.journal.publish(&self.job, &self.state);
        Ok(())
    }
}

enum Settled {
    Done(Value),
    Failed(Fault),
    Unclear(Fault),
}

fn find<'a>(saga: &'a dyn Saga, name: &str) -> Option<&'a dyn Step> {
    saga.steps().iter().map(|step| &**step).find(|step| step.name() == name)
}

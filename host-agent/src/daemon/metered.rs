//! The store as the runner sees it, and backends' calls, with everything counted on the way.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::broadcast;
use tokio::time::Instant;

use crate::backend::link::CallWatch;
use crate::clock::now_ms;
use crate::job::{
    Change, Claimant, Claimed, Course, Event, JobStore, JournalError, Lease, NewJob, Outline, Phase,
    Recorded, Request, State,
};
use crate::metrics::Metrics;

/// See the module.
#[derive(Debug)]
pub struct Metered {
    store: Arc<dyn JobStore>,
    metrics: Arc<Metrics>,
    /// What is remembered of driven jobs, by id.
    driven: Mutex<HashMap<String, Driven>>,
}

/// Of one job: nothing that its journal does not say.
#[derive(Debug)]
struct Driven {
    backend: String,
    created_ms: u64,
    course: Course,
    /// When the step at work began.
    began: Option<Instant>,
}

impl Driven {
    fn of(claimed: &Claimed) -> Option<Self> {
        let (first, rest) = claimed.events.split_first()?;
        let mut state = State::created(first).ok()?;
        let mut course = Course::new(state.spec.change_of.is_some());
        course.moved(state.phase);
        for recorded in rest {
            state.apply(recorded).ok()?;
            course.moved(state.phase);
        }
        Some(Self { backend: state.spec.backend, created_ms: first.at_ms, course, began: None })
    }
}

impl Metered {
    pub fn new(store: Arc<dyn JobStore>, metrics: Arc<Metrics>) -> Self {
        Self { store, metrics, driven: Mutex::default() }
    }

    async fn count<T>(
        &self,
        operation: &'static str,
        work: impl Future<Output = Result<T, JournalError>>,
    ) -> Result<T, JournalError> {
        let began = Instant::now();
        let result = work.await;
        self.metrics.store_took(operation, began.elapsed());
        if let Err(JournalError::Store { .. }) = &result {
            self.metrics.store_error(operation);
        }
        result
    }

    fn written(&self, job: &str, recorded: &Recorded, phase: Phase) {
        let mut driven = self.driven.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(driven) = driven.get_mut(job) else { return };
        if let Some(ending) = driven.course.moved(phase) {
            let took = Duration::from_millis(recorded.at_ms.saturating_sub(driven.created_ms));
            self.metrics.ended(&driven.backend, ending, took);
        }
        let mut ended = |step: &str, result| {
            if let Some(began) = driven.began.take() {
                self.metrics.step(step, result, began.elapsed());
            }
        };
        match &recorded.event {
            Event::StepSucceeded { step, output } => {
                ended(step, "succeeded");
                // The step that waited for a report says when it came in.
                if let Some(received) = output.get("received_at_ms").and_then(serde_json::Value::as_u64) {
                    let waited = Duration::from_millis(now_ms().saturating_sub(received));
                    self.metrics.report_moved_on.observe(waited.as_secs_f64());
                }
            }
            Event::StepFailed { step, .. } => ended(step, "failed"),
            Event::StepUncertain { step, .. } => {
                ended(step, "uncertain");
                self.metrics.step_again(step);
            }
            Event::UndoFinished { step } => ended(step, "undone"),
            Event::UndoFailed { step, .. } => {
                ended(step, "undo-failed");
                self.metrics.step_again(step);
            }
            Event::StepStarted { .. } | Event::UndoStarted { .. } => {
                driven.began = Some(Instant::now());
            }
            _ => {}
        }
    }

    fn forget(&self, job: &str) {
        self.driven.lock().unwrap_or_else(PoisonError::into_inner).remove(job);
    }
}

#[async_trait]
impl JobStore for Metered {
    async fn create(&self, jobs: &[NewJob]) -> Result<(), JournalError> {
        self.count("create", self.store.create(jobs)).await
    }

    async fn claim(&self, claimant: &Claimant) -> Result<Vec<Claimed>, JournalError> {
        let claimed = self.count("claim", self.store.claim(claimant)).await?;
        for job in &claimed {
            self.metrics.claims.inc();
            if job.taken_over {
                self.metrics.take_overs.inc();
            }
            if let Some(driven) = Driven::of(job) {
                let mut all = self.driven.lock().unwrap_or_else(PoisonError::into_inner);
                all.insert(job.lease.job.clone(), driven);
            }
        }
        Ok(claimed)
    }

    async fn append(
        &self,
        lease: &Lease,
        recorded: &Recorded,
        outline: &Outline,
    ) -> Result<(), JournalError> {
        let began = Instant::now();
        self.count("append", self.store.append(lease, recorded, outline)).await?;
        self.metrics.journal_appends.inc();
        self.metrics.journal_append.observe(began.elapsed().as_secs_f64());
        self.written(&lease.job, recorded, outline.phase);
        Ok(())
    }

    async fn renew(&self, leases: &[Lease], ttl: Duration) -> Result<Vec<String>, JournalError> {
        let lost = self.count("renew", self.store.renew(leases, ttl)).await?;
        for job in &lost {
            self.metrics.leases_lost.inc();
            self.forget(job);
        }
        Ok(lost)
    }

    async fn release(&self, leases: &[Lease]) -> Result<(), JournalError> {
        for lease in leases {
            self.forget(&lease.job);
        }
        self.count("release", self.store.release(leases)).await
    }

    async fn ask(&self, job: &str, request: &Request) -> Result<(), JournalError> {
        self.count("ask", self.store.ask(job, request)).await
    }

    async fn request(&self, job: &str) -> Result<Option<Request>, JournalError> {
        self.count("request", self.store.request(job)).await
    }

    async fn settle_request(&self, lease: &Lease, request: &Request) -> Result<(), JournalError> {
        self.count("settle-request", self.store.settle_request(lease, request)).await
    }

    async fn events(&self, job: &str) -> Result<Vec<Recorded>, JournalError> {
        self.count("events", self.store.events(job)).await
    }

    fn changes(&self) -> broadcast::Receiver<Change> {
        self.store.changes()
    }
}

/// Counts calls to hypervisors.
#[derive(Debug)]
pub(super) struct CallMeter {
    pub(super) metrics: Arc<Metrics>,
}

impl CallWatch for CallMeter {
    fn called(&self, backend: &'static str, method: &'static str, took: Duration, code: Option<&str>) {
        self.metrics.call(backend, method, took);
        if let Some(code) = code {
            self.metrics.call_failed(backend, code);
        }
    }
}

//! The store as the runner sees it, with everything counted on the way.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::broadcast;
use tokio::time::Instant;

use crate::clock::now_ms;
use crate::job::{
    Change, Claimant, Claimed, Event, JobStore, JournalError, Lease, NewJob, Outline, Recorded, Request,
};
use crate::metrics::Metrics;

/// See the module.
#[derive(Debug)]
pub struct Metered {
    store: Arc<dyn JobStore>,
    metrics: Arc<Metrics>,
    /// When the step at work began, by job; of driven jobs only.
    began: Mutex<HashMap<String, Instant>>,
}

impl Metered {
    pub fn new(store: Arc<dyn JobStore>, metrics: Arc<Metrics>) -> Self {
        Self { store, metrics, began: Mutex::default() }
    }

    fn count<T>(&self, operation: &'static str, result: Result<T, JournalError>) -> Result<T, JournalError> {
        if let Err(JournalError::Store { .. }) = &result {
            self.metrics.store_error(operation);
        }
        result
    }

    fn written(&self, job: &str, event: &Event) {
        let mut began = self.began.lock().unwrap_or_else(PoisonError::into_inner);
        let mut ended = |step: &str, result| {
            if let Some(began) = began.remove(job) {
                self.metrics.step(step, result, began.elapsed());
            }
        };
        match event {
            Event::StepSucceeded { step, output } => {
                ended(step, "succeeded");
                // The step that waited for a report says when it came in.
                if let Some(received) = output.get("received_at_ms").and_then(serde_json::Value::as_u64) {
                    let waited = Duration::from_millis(now_ms().saturating_sub(received));
                    self.metrics.report_moved_on.observe(waited.as_secs_f64());
                }
            }
            Event::StepFailed { step, .. } => ended(step, "failed"),
            Event::StepUncertain { step, .. } => ended(step, "uncertain"),
            Event::UndoFinished { step } => ended(step, "undone"),
            Event::UndoFailed { step, .. } => ended(step, "undo-failed"),
            Event::StepStarted { .. } | Event::UndoStarted { .. } => {
                began.insert(job.to_owned(), Instant::now());
            }
            _ => {}
        }
    }

    fn forget(&self, job: &str) {
        self.began.lock().unwrap_or_else(PoisonError::into_inner).remove(job);
    }
}

#[async_trait]
impl JobStore for Metered {
    async fn create(&self, jobs: &[NewJob]) -> Result<(), JournalError> {
        self.count("create", self.store.create(jobs).await)
    }

    async fn claim(&self, claimant: &Claimant) -> Result<Vec<Claimed>, JournalError> {
        let claimed = self.count("claim", self.store.claim(claimant).await)?;
        for job in &claimed {
            self.metrics.claims.inc();
            if job.taken_over {
                self.metrics.take_overs.inc();
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
        self.count("append", self.store.append(lease, recorded, outline).await)?;
        self.metrics.journal_appends.inc();
        self.metrics.journal_append.observe(began.elapsed().as_secs_f64());
        self.written(&lease.job, &recorded.event);
        Ok(())
    }

    async fn renew(&self, leases: &[Lease], ttl: Duration) -> Result<Vec<String>, JournalError> {
        let lost = self.count("renew", self.store.renew(leases, ttl).await)?;
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
        self.count("release", self.store.release(leases).await)
    }

    async fn ask(&self, job: &str, request: &Request) -> Result<(), JournalError> {
        self.count("ask", self.store.ask(job, request).await)
    }

    async fn request(&self, job: &str) -> Result<Option<Request>, JournalError> {
        self.count("request", self.store.request(job).await)
    }

    async fn settle_request(&self, lease: &Lease, request: &Request) -> Result<(), JournalError> {
        self.count("settle-request", self.store.settle_request(lease, request).await)
    }

    async fn events(&self, job: &str) -> Result<Vec<Recorded>, JournalError> {
        self.count("events", self.store.events(job).await)
    }

    fn changes(&self) -> broadcast::Receiver<Change> {
        self.store.changes()
    }
}

//! Runs jobs in the background, one engine each, and tidies up after the last guest.

use std::collections::HashMap;
use std::sync::{Arc, MutexGuard, PoisonError};

use async_trait::async_trait;
use firstlight_shared::error::Chain;

use super::service::Bringups;
use super::steps::BringUp;
use crate::backend::Backend;
use crate::clock::now_ms;
use crate::job::{Cancel, Engine, Journal, JournalError, Phase, Recorded, Saga, State};
use crate::outcome::Fault;
use crate::store::StoreError;

impl Bringups {
    /// Runs the job in the background until it is final; at once, if nobody does.
    pub(super) async fn spawn(self: &Arc<Self>, job: &str) {
        self.drive_with(job, |_| {}).await;
    }

    pub(super) async fn drive_with(self: &Arc<Self>, job: &str, ask: impl FnOnce(&Cancel)) {
        let mut running = self.running.lock().await;
        let cancel = {
            let mut driven = self.lock_driven();
            if let Some(cancel) = driven.get(job) {
                return ask(cancel);
            }
            let cancel = Arc::new(Cancel::default());
            ask(&cancel);
            driven.insert(job.to_owned(), Arc::clone(&cancel));
            cancel
        };
        while running.try_join_next().is_some() {}
        let (service, job) = (Arc::clone(self), job.to_owned());
        running.spawn(async move { service.drive(&job, cancel).await });
    }

    async fn drive(self: Arc<Self>, job: &str, cancel: Arc<Cancel>) {
        loop {
            let ended = self.drive_once(job, &cancel).await;
            let mut driven = self.lock_driven();
            // A request that came after the engine had looked for the last time.
            if ended && cancel.is_requested() {
                continue;
            }
            driven.remove(job);
            return;
        }
    }

    /// True: the job is final and could be asked to unwind.
    async fn drive_once(self: &Arc<Self>, job: &str, cancel: &Arc<Cancel>) -> bool {
        let Some(state) = self.registry.get(job) else { return false };
        let saga = serde_json::from_value(state.spec.spec.clone())
            .map_err(|error| Fault::new("spec-unreadable", error.to_string()))
            .and_then(|spec| BringUp::new(self, spec, job));
        let saga = match saga {
            Ok(saga) => Arc::new(saga),
            Err(fault) => {
                tracing::error!(job, error = %fault, "the job cannot be resumed");
                return false;
            }
        };
        let backend = Arc::clone(saga.backend());
        // Guests of an interrupted job report to the same place as before.
        if let Err(fault) = self.endpoints.ensure(&*backend).await {
            tracing::warn!(job, error = %fault, "no place for reports yet");
        }
        let journal: Arc<dyn Journal> = Arc::clone(self) as Arc<dyn Journal>;
        let cancel = Arc::clone(cancel);
        let mut engine = Engine { job: job.to_owned(), saga: saga as Arc<dyn Saga>, journal, state, cancel };
        let mut stopping = self.stopping.subscribe();
        let ended = tokio::select! {
            ended = engine.run() => match ended {
                Ok(()) => true,
                Err(error) => {
                    tracing::error!(job, error = %Chain(&error), "the job stopped; a new start resumes it");
                    false
                }
            },
            // Wherever it is: the journal says so, and the next start goes on from there.
            _ = stopping.wait_for(|stopping| *stopping) => {
                tracing::info!(job, "interrupted");
                false
            }
        };
        self.release(&*backend).await;
        ended && !engine.state.phase.is_gone()
    }

    pub(super) fn has_guests(&self, backend: &dyn Backend) -> bool {
        let live = |state: &State| state.spec.backend == backend.name() && !state.phase.is_gone();
        self.registry.all().iter().any(|(_, state)| live(state))
    }

    /// Removes what guests shared, if there is no guest any more.
    pub(super) async fn release(&self, backend: &dyn Backend) {
        if let Err(fault) = self.endpoints.release(backend, || self.has_guests(backend)).await {
            tracing::warn!(backend = backend.name(), error = %fault, "what guests shared could not be removed");
        }
    }

    fn lock_driven(&self) -> MutexGuard<'_, HashMap<String, Arc<Cancel>>> {
        self.driven.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Journal for Bringups {
    async fn append(&self, job: &str, recorded: &Recorded) -> Result<(), JournalError> {
        let failed =
            |source: StoreError| JournalError::Store { job: job.to_owned(), source: Box::new(source) };
        self.store.append(job, recorded).await.map_err(failed)
    }

    fn now_ms(&self) -> u64 {
        now_ms()
    }

    fn publish(&self, job: &str, state: &State) {
        let step = state.current_step().map_or("", |info| info.name.as_str());
        match state.phase {
            Phase::Done => tracing::info!(job, guest = %state.spec.guest, "done"),
            Phase::NeedsOperator => {
                tracing::error!(job, guest = %state.spec.guest, failure = ?state.failure, "an operator is needed")
            }
            phase => {
                tracing::debug!(job, guest = %state.spec.guest, phase = phase.as_str(), step, "job changed")
            }
        }
        self.registry.set(job, state.clone());
        // Nobody may be listening.
        let _ = self.changes.send(crate::job::Change::Job(job.to_owned()));
    }
}

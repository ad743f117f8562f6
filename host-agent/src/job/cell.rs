//! What a runner and the engine of one job share: the lease, the folded state, and ways to be heard.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::fold::State;
use super::journal::Lease;

/// One driven job.
#[derive(Debug)]
pub(super) struct Cell {
    pub(super) lease: Lease,
    state: Mutex<Arc<State>>,
    /// Until when the lease surely holds.
    until: Mutex<Instant>,
    /// Something was asked of the job, perhaps.
    pub(super) asked: Notify,
    lost: Notify,
}

impl Cell {
    pub(super) fn new(lease: Lease, state: State, until: Instant) -> Self {
        Self {
            lease,
            state: Mutex::new(Arc::new(state)),
            until: Mutex::new(until),
            asked: Notify::new(),
            lost: Notify::new(),
        }
    }

    pub(super) fn job(&self) -> &str {
        &self.lease.job
    }

    pub(super) fn state(&self) -> Arc<State> {
        Arc::clone(&lock(&self.state))
    }

    /// What was made durable is true from now on.
    pub(super) fn set_state(&self, state: State) {
        *lock(&self.state) = Arc::new(state);
    }

    pub(super) fn until(&self) -> Instant {
        *lock(&self.until)
    }

    pub(super) fn hold_until(&self, until: Instant) {
        *lock(&self.until) = until;
    }

    /// The lease surely holds now.
    pub(super) fn holds(&self) -> bool {
        Instant::now() < self.until()
    }

    /// The lease is gone: whatever is under way stops.
    pub(super) fn lose(&self) {
        self.hold_until(Instant::now());
        self.lost.notify_one();
    }

    /// Ends when the lease is gone.
    pub(super) async fn lost(&self) {
        self.lost.notified().await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

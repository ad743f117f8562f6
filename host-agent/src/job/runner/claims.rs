//! Claims: which jobs come to this companion, and how they go.

use std::sync::Arc;
use std::time::Duration;

use firstlight_shared::error::Chain;
use tokio::task::JoinError;
use tokio::time::Instant;

use super::lock;
use super::work::{Aside, Done, Work};
use crate::job::cell::Cell;
use crate::job::engine::{Ended, Hands, drive};
use crate::job::fold::fold;
use crate::job::journal::{Claimant, Claimed, JournalError, Lease};

/// Between two claims, since many wake-ups are answered by one: a few times as long as a claim takes, within these.
const BREATH: Duration = Duration::from_millis(20);
const SHORT_BREATH: Duration = Duration::from_millis(1);

/// Before the store is asked again after it failed.
const AGAIN: Duration = Duration::from_secs(1);

impl Work {
    /// Not while leases go back: what they free may be wanted again.
    pub(super) fn may_claim(&self) -> bool {
        self.claims && !self.claiming && !self.releasing && self.room() > 0
    }

    pub(super) fn claim_due(&self) -> Instant {
        if self.wanted { self.claim_at } else { self.look_at }
    }

    fn room(&self) -> usize {
        self.runner.config.room.saturating_sub(self.jobs.len())
    }

    pub(super) fn start_claim(&mut self, now: Instant) {
        if !self.may_claim() || now < self.claim_due() {
            return;
        }
        let config = &self.runner.config;
        let claimant = Claimant {
            companion: config.companion.clone(),
            room: self.room(),
            limits: lock(&self.runner.limits).clone(),
            lease: config.lease,
            grace: config.grace,
        };
        self.claiming = true;
        self.wanted = false;
        self.look_at = now + config.look;
        let store = Arc::clone(&self.runner.hands.store);
        self.tasks.spawn(async move {
            let asked = Instant::now();
            Done::Claimed { asked, claimed: store.claim(&claimant).await }
        });
    }

    pub(super) fn claimed(&mut self, asked: Instant, claimed: Result<Vec<Claimed>, JournalError>) {
        self.claiming = false;
        self.claim_at = Instant::now() + (4 * asked.elapsed()).clamp(SHORT_BREATH, BREATH);
        match claimed {
            Ok(claimed) => claimed.into_iter().for_each(|claimed| self.begin(claimed, asked)),
            Err(error) => {
                tracing::warn!(error = %Chain(&error), "no jobs can be claimed now");
                self.wanted = true;
                self.claim_at = Instant::now() + AGAIN;
            }
        }
    }

    fn begin(&mut self, claimed: Claimed, asked: Instant) {
        let Claimed { lease, taken_over, events } = claimed;
        let state = match fold(&events) {
            Ok(state) => state,
            Err(error) => {
                tracing::error!(job = lease.job, %error, "this journal cannot be read; the job is left alone");
                self.aside.insert(lease.job.clone(), Aside { lease, until: None });
                return;
            }
        };
        drop(events);
        let until = asked + self.runner.config.lease;
        let cell = Arc::new(Cell::new(lease.clone(), state, until));
        let before = lock(&self.runner.driven).insert(lease.job.clone(), Arc::clone(&cell));
        if let Some(before) = before {
            // It was overtaken unnoticed, and no renewal will ask for it any more.
            before.lose();
        }
        let hands = Arc::clone(&self.runner.hands);
        let handle = self.tasks.spawn(run_job(hands, cell, taken_over));
        self.jobs.insert(handle.id(), (lease, handle));
    }

    pub(super) fn job_ended(&mut self, lease: Lease, ended: Ended) {
        self.forget(&lease);
        let job = lease.job.as_str();
        match ended {
            Ended::Final | Ended::Drained => self.ended.push(lease),
            Ended::Fenced => tracing::info!(job, "the job is in other hands"),
            Ended::Lost => tracing::warn!(job, "the lease could not be held; the job is let go"),
            Ended::NoSaga(fault) => {
                tracing::error!(job, error = %fault, "the job cannot be driven here");
                self.set_aside(lease, Some(self.runner.config.grace));
            }
            Ended::Illegal(error) => {
                tracing::error!(job, %error, "the job is left alone: what happened does not fit its journal");
                self.set_aside(lease, None);
            }
        }
        self.wanted = true;
    }

    /// A task of the loop has panicked: a job's step, most likely.
    pub(super) fn broken(&mut self, error: &JoinError) {
        let Some((lease, _)) = self.jobs.remove(&error.id()) else {
            // A call to the store: all of them may be begun again.
            tracing::error!(%error, "a call to the store broke");
            (self.claiming, self.renewing, self.releasing) = (false, false, false);
            return;
        };
        tracing::error!(job = lease.job, %error, "a step broke; the job is left for a while");
        let cell = self.forget(&lease);
        if let Some(cell) = cell {
            let hands = Arc::clone(&self.runner.hands);
            self.tasks.spawn(async move {
                hands.sagas.left(cell.job(), &cell.state()).await;
                Done::Tidied
            });
        }
        self.set_aside(lease, Some(self.runner.config.grace));
    }

    fn set_aside(&mut self, lease: Lease, patience: Option<Duration>) {
        let until = patience.map(|patience| Instant::now() + patience);
        self.aside.insert(lease.job.clone(), Aside { lease, until });
    }

    /// Jobs that were left for a while may be claimed again, by anybody.
    pub(super) fn take_back(&mut self, now: Instant) {
        let over = |aside: &Aside| aside.until.is_some_and(|until| until <= now);
        if self.aside.values().any(over) {
            let back = self.aside.extract_if(.., |_, aside| over(aside));
            self.ended.extend(back.map(|(_, aside)| aside.lease));
        }
    }

    /// Unless the job has come back under a newer lease already.
    fn forget(&mut self, lease: &Lease) -> Option<Arc<Cell>> {
        let mut driven = lock(&self.runner.driven);
        let ours = driven.get(&lease.job).is_some_and(|cell| cell.lease == *lease);
        ours.then(|| driven.remove(&lease.job)).flatten()
    }
}

async fn run_job(hands: Arc<Hands>, cell: Arc<Cell>, taken_over: bool) -> Done {
    let ended = tokio::select! {
        biased;
        () = cell.lost() => Ended::Lost,
        ended = drive(Arc::clone(&hands), Arc::clone(&cell), taken_over) => ended,
    };
    hands.sagas.left(cell.job(), &cell.state()).await;
    Done::Job { lease: cell.lease.clone(), ended }
}

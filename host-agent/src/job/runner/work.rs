//! The loop: it never waits for a store or a step itself, so that it can always be asked whether it is alive.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::{self, error::RecvError};
use tokio::task::{self, AbortHandle, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::{Mode, Runner, lock};
use crate::job::engine::Ended;
use crate::job::journal::{Change, Claimed, JournalError, Lease};

/// The loop turns at least this often.
const TURN: Duration = Duration::from_secs(1);
/// How long the store may take to give leases back at the end.
const PARTING: Duration = Duration::from_secs(5);

/// What a task of the loop brought.
pub(super) enum Done {
    Job {
        lease: Lease,
        ended: Ended,
    },
    /// Tidied up after a job that ended by a panic.
    Tidied,
    Claimed {
        asked: Instant,
        claimed: Result<Vec<Claimed>, JournalError>,
    },
    Renewed {
        asked: Instant,
        leases: Vec<Lease>,
        lost: Result<Vec<String>, String>,
    },
    Released {
        leases: Vec<Lease>,
        released: Result<(), JournalError>,
    },
}

/// A job that is held and not driven.
pub(super) struct Aside {
    pub(super) lease: Lease,
    /// When it may be claimed again; none: not in this life.
    pub(super) until: Option<Instant>,
}

pub(super) struct Work {
    pub(super) runner: Arc<Runner>,
    pub(super) tasks: JoinSet<Done>,
    /// The tasks that drive a job.
    pub(super) jobs: HashMap<task::Id, (Lease, AbortHandle)>,
    pub(super) aside: BTreeMap<String, Aside>,
    /// Leases to be given back.
    pub(super) ended: Vec<Lease>,
    pub(super) releasing: bool,
    pub(super) release_at: Instant,
    /// Jobs are claimed at all.
    pub(super) claims: bool,
    pub(super) claiming: bool,
    /// There may be something to claim.
    pub(super) wanted: bool,
    pub(super) claim_at: Instant,
    pub(super) look_at: Instant,
    pub(super) renewing: bool,
    pub(super) renew_at: Instant,
    /// The first end of a lease while renewals fail.
    pub(super) expires_at: Option<Instant>,
}

impl Work {
    pub(super) fn new(runner: Arc<Runner>) -> Self {
        let now = Instant::now();
        Self {
            renew_at: now + runner.config.lease / 3,
            runner,
            tasks: JoinSet::new(),
            jobs: HashMap::new(),
            aside: BTreeMap::new(),
            ended: Vec::new(),
            releasing: false,
            release_at: now,
            claims: true,
            claiming: false,
            wanted: true,
            claim_at: now,
            look_at: now,
            renewing: false,
            expires_at: None,
        }
    }

    pub(super) async fn run(mut self) {
        let runner = Arc::clone(&self.runner);
        let mut mode = runner.mode.subscribe();
        let mut changes = Some(runner.hands.store.changes());
        loop {
            runner.turned();
            let now = *mode.borrow_and_update();
            if now == Mode::Stop || (now == Mode::Drain && self.jobs.is_empty() && !self.claiming) {
                break;
            }
            self.claims = now == Mode::Work;
            self.start_what_is_due();
            let turn = self.next_turn();
            tokio::select! {
                biased;
                _ = mode.changed() => {}
                change = hear(&mut changes) => self.heard(change),
                Some(done) = self.tasks.join_next_with_id() => self.take(done),
                () = runner.hands.place_free.notified() => self.wanted = true,
                () = sleep_until(turn) => {}
            }
        }
        self.part().await;
    }

    fn start_what_is_due(&mut self) {
        let now = Instant::now();
        self.expire(now);
        self.take_back(now);
        self.start_release(now);
        self.start_renewal(now);
        self.start_claim(now);
    }

    fn next_turn(&self) -> Instant {
        let mut next = Instant::now() + TURN;
        if !self.renewing {
            next = next.min(self.renew_at);
        }
        if self.may_claim() {
            next = next.min(self.claim_due());
        }
        self.expires_at.map_or(next, |expires| next.min(expires))
    }

    fn take(&mut self, done: Result<(task::Id, Done), JoinError>) {
        match done {
            Ok((id, Done::Job { lease, ended })) => {
                self.jobs.remove(&id);
                self.job_ended(lease, ended);
            }
            Ok((_, Done::Claimed { asked, claimed })) => self.claimed(asked, claimed),
            Ok((_, Done::Renewed { asked, leases, lost })) => self.renewed(asked, &leases, lost),
            Ok((_, Done::Released { leases, released })) => self.released(leases, released),
            Ok((_, Done::Tidied)) => {}
            Err(error) => self.broken(&error),
        }
    }

    fn heard(&mut self, change: Result<Change, RecvError>) {
        match change {
            Ok(Change::Job(job)) => match lock(&self.runner.driven).get(&job) {
                Some(cell) => cell.asked.notify_one(),
                None => self.wanted = true,
            },
            Ok(Change::Report { .. } | Change::Refused { .. }) => {}
            Ok(Change::Unknown) | Err(_) => {
                for cell in lock(&self.runner.driven).values() {
                    cell.asked.notify_one();
                }
                self.wanted = true;
            }
        }
    }

    /// Stops what is still under way, and gives every lease back.
    async fn part(mut self) {
        for (_, job) in self.jobs.values() {
            job.abort();
        }
        let ends = Instant::now() + PARTING;
        let mut leases: Vec<Lease> = self.jobs.drain().map(|(_, (lease, _))| lease).collect();
        while let Ok(Some(done)) = timeout_at(ends, self.tasks.join_next()).await {
            self.runner.turned();
            // What else ends now is journaled, and its lease is in the list.
            if let Ok(Done::Claimed { claimed, .. }) = done {
                leases.extend(claimed.unwrap_or_default().into_iter().map(|claimed| claimed.lease));
            }
        }
        leases.extend(self.aside.into_values().map(|aside| aside.lease));
        leases.extend(self.ended);
        if leases.is_empty() {
            return;
        }
        match timeout_at(ends, self.runner.hands.store.release(&leases)).await {
            Ok(Ok(())) => tracing::info!(jobs = leases.len(), "leases given back"),
            Ok(Err(error)) => {
                tracing::warn!(error = %firstlight_shared::error::Chain(&error), "the leases end by themselves");
            }
            Err(_) => tracing::warn!("the store does not answer; the leases end by themselves"),
        }
    }
}

async fn hear(changes: &mut Option<broadcast::Receiver<Change>>) -> Result<Change, RecvError> {
    let heard = match changes {
        Some(receiver) => receiver.recv().await,
        None => std::future::pending().await,
    };
    // A store that tells nothing any more is looked at from time to time.
    if matches!(heard, Err(RecvError::Closed)) {
        *changes = None;
    }
    heard
}

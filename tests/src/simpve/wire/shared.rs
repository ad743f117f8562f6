//! What all connections share: the world behind its lock, the clock that drives it, and the log.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::time::Instant;

use super::super::call::{Method, Moment, Parameters};
use super::super::faults::{Fault, Faults};
use super::super::world::World;

/// Calls that a node's daemon carries out at once.
const WORKERS: usize = 3;

/// Who lets time pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// The clock: tasks end after the profile's times.
    Auto,
    /// The test: nothing ends, and no lock is given up on, unless the test says so. Answers come at once.
    Explicit,
}

/// A request that came, for assertions.
#[derive(Debug, Clone, PartialEq)]
pub struct Logged {
    pub node: String,
    /// Of the connection: requests with the same number came over the same one.
    pub connection: u64,
    /// The token's id; empty if it was refused.
    pub who: String,
    pub method: Method,
    pub path: String,
    pub parameters: Parameters,
    /// None if the connection was cut.
    pub status: Option<u16>,
    pub reason: String,
    pub fault: Option<Fault>,
    /// When it came, since the server's start.
    pub at: Moment,
}

impl Logged {
    pub(super) fn new(
        node: &str,
        connection: u64,
        method: Method,
        path: &str,
        parameters: &Parameters,
        fault: Option<&Fault>,
        at: Moment,
    ) -> Self {
        Self {
            node: node.into(),
            connection,
            who: String::new(),
            method,
            path: path.into(),
            parameters: parameters.clone(),
            status: None,
            reason: String::new(),
            fault: fault.cloned(),
            at,
        }
    }
}

/// Behind the lock.
#[derive(Debug)]
pub(super) struct State {
    pub(super) world: World,
    pub(super) faults: Faults,
    pub(super) log: Vec<Logged>,
}

#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    changes: watch::Sender<u64>,
    started: Instant,
    pace: Pace,
    certificates: Mutex<BTreeMap<String, Arc<ServerConfig>>>,
    /// Of each node's daemon.
    workers: BTreeMap<String, Semaphore>,
    strange: Arc<ServerConfig>,
}

impl Shared {
    pub(super) fn new(
        world: World,
        pace: Pace,
        certificates: BTreeMap<String, Arc<ServerConfig>>,
        strange: Arc<ServerConfig>,
    ) -> Self {
        let state = Mutex::new(State { world, faults: Faults::default(), log: Vec::new() });
        let workers = certificates.keys().map(|node| (node.clone(), Semaphore::new(WORKERS))).collect();
        let certificates = Mutex::new(certificates);
        Self {
            state,
            changes: watch::Sender::new(0),
            started: Instant::now(),
            pace,
            certificates,
            workers,
            strange,
        }
    }

    /// A test that panicked with the lock held must not hide its message behind another one.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn certificate(&self, node: &str, strange: bool) -> Option<Arc<ServerConfig>> {
        if strange {
            return Some(Arc::clone(&self.strange));
        }
        self.certificates.lock().unwrap_or_else(PoisonError::into_inner).get(node).cloned()
    }

    pub(super) fn set_certificate(&self, node: &str, config: Arc<ServerConfig>) {
        self.certificates.lock().unwrap_or_else(PoisonError::into_inner).insert(node.into(), config);
    }

    /// One of the few workers of the daemon that carries a call out, for as long as that takes. At the test's pace
    /// there are enough of them: nobody would be there to let time pass.
    pub(super) async fn worker(&self, reached: &str, path: &str) -> Option<SemaphorePermit<'_>> {
        let named = path.strip_prefix("/nodes/").and_then(|rest| rest.split('/').next());
        let workers = named.and_then(|node| self.workers.get(node)).or_else(|| self.workers.get(reached))?;
        match self.pace {
            Pace::Auto => workers.acquire().await.ok(),
            Pace::Explicit => None,
        }
    }

    pub(super) fn now(&self, world: &World) -> Moment {
        match self.pace {
            Pace::Auto => self.started.elapsed().max(world.now()),
            Pace::Explicit => world.now(),
        }
    }

    /// Lets everything happen that is due; the time.
    pub(super) fn bring_up_to_date(&self) -> Moment {
        let mut state = self.lock();
        let now = self.now(&state.world);
        if self.pace == Pace::Auto {
            state.world.advance(now);
        }
        now
    }

    pub(super) fn note(&self, entry: Logged) {
        self.lock().log.push(entry);
    }

    /// Tells those that wait that the world may have changed.
    pub(super) fn wake(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    pub(super) fn changed(&self) -> watch::Receiver<u64> {
        let mut changed = self.changes.subscribe();
        changed.mark_unchanged();
        changed
    }

    /// Until the world has changed or the moment has come.
    pub(super) async fn wait(&self, mut changed: watch::Receiver<u64>, until: Moment) {
        match self.pace {
            Pace::Explicit => drop(changed.changed().await),
            Pace::Auto => {
                let _ = tokio::time::timeout_at(self.started + until, changed.changed()).await;
                self.bring_up_to_date();
            }
        }
    }

    pub(super) async fn pause(&self, time: Duration) {
        if self.pace == Pace::Auto && !time.is_zero() {
            tokio::time::sleep(time).await;
        }
    }

    /// Lets the clock drive the world, for ever.
    pub(super) async fn drive(&self) {
        if self.pace == Pace::Explicit {
            return std::future::pending().await;
        }
        loop {
            let mut changed = self.changed();
            let due = {
                let mut state = self.lock();
                let before = state.world.running();
                let now = self.started.elapsed();
                state.world.advance(now);
                (state.world.next_due(), before != state.world.running())
            };
            if due.1 {
                self.wake();
                changed.mark_unchanged();
            }
            match due.0 {
                Some(at) => drop(tokio::time::timeout_at(self.started + at, changed.changed()).await),
                None => drop(changed.changed().await),
            }
        }
    }
}

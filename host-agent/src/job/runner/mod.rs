//! Drives the jobs of one companion: claims them, runs an engine for each, holds the leases, and gives them back.

mod claims;
mod leases;
mod work;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};

use super::cell::Cell;
use super::deadline::WallClock;
use super::engine::Hands;
use super::fold::State;
use super::journal::{JobStore, Lease};
use super::queue::Limits;
use super::step::Sagas;

/// How a companion works on jobs.
#[derive(Debug, Clone)]
pub struct RunnerConfig {
    /// Of this life of this companion; see [`super::journal::Claimant`].
    pub companion: String,
    /// Jobs at once, waiting ones included.
    pub room: usize,
    pub limits: Limits,
    pub lease: Duration,
    pub grace: Duration,
    /// How often to look for work that nobody told of (a dead companion's jobs).
    pub look: Duration,
}

/// See the module.
pub struct Runner {
    hands: Arc<Hands>,
    config: RunnerConfig,
    limits: Mutex<Limits>,
    driven: Mutex<BTreeMap<String, Arc<Cell>>>,
    mode: watch::Sender<Mode>,
    running: watch::Sender<bool>,
    born: Instant,
    /// When the loop last turned, in milliseconds since `born`.
    turned_ms: AtomicU64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Work,
    /// Nothing more is claimed; jobs end at the end of their step.
    Drain,
    Stop,
}

impl std::fmt::Debug for Runner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runner").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Runner {
    pub fn new(store: Arc<dyn JobStore>, sagas: Arc<dyn Sagas>, config: RunnerConfig) -> Arc<Self> {
        Self::with_clock(store, sagas, config, Arc::new(crate::clock::now_ms))
    }

    /// With another wall clock than the machine's.
    pub fn with_clock(
        store: Arc<dyn JobStore>,
        sagas: Arc<dyn Sagas>,
        config: RunnerConfig,
        clock: WallClock,
    ) -> Arc<Self> {
        let hands = Hands {
            store,
            sagas,
            companion: config.companion.clone(),
            clock,
            draining: watch::Sender::new(false),
            place_free: Notify::new(),
        };
        Arc::new(Self {
            hands: Arc::new(hands),
            limits: Mutex::new(config.limits.clone()),
            config,
            driven: Mutex::default(),
            mode: watch::Sender::new(Mode::Work),
            running: watch::Sender::new(false),
            born: Instant::now(),
            turned_ms: AtomicU64::new(0),
        })
    }

    /// Works until [`Runner::drain`] or [`Runner::stop`] has ended everything. Dropped, it leaves everything as a crash
    /// would.
    pub async fn run(self: Arc<Self>) {
        self.running.send_replace(true);
        work::Work::new(Arc::clone(&self)).run().await;
        lock(&self.driven).clear();
        self.running.send_replace(false);
    }

    /// New limits count from the next claim on.
    pub fn set_limits(&self, limits: Limits) {
        *lock(&self.limits) = limits;
        self.hands.place_free.notify_one();
    }

    /// The jobs that are driven here now.
    pub fn driven(&self) -> BTreeMap<String, (Lease, Arc<State>)> {
        let driven = lock(&self.driven);
        driven.iter().map(|(job, cell)| (job.clone(), (cell.lease.clone(), cell.state()))).collect()
    }

    /// Claims nothing more, lets every job reach the end of its step (waiting steps are left at once), at most for
    /// `patience`, then gives the leases back.
    pub async fn drain(&self, patience: Duration) {
        self.mode.send_if_modified(|mode| {
            let works = *mode == Mode::Work;
            if works {
                *mode = Mode::Drain;
            }
            works
        });
        self.hands.draining.send_replace(true);
        let _ = timeout(patience, self.ended()).await;
        self.stop().await;
    }

    /// Stops every job where it is, and gives the leases back.
    pub async fn stop(&self) {
        self.mode.send_replace(Mode::Stop);
        self.ended().await;
    }

    /// How long ago the loop last turned: for the watchdog. The loop never waits for a store or a step.
    pub fn idle(&self) -> Duration {
        let turned = Duration::from_millis(self.turned_ms.load(Ordering::Relaxed));
        self.born.elapsed().saturating_sub(turned)
    }

    fn turned(&self) {
        let since = u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.turned_ms.store(since, Ordering::Relaxed);
    }

    async fn ended(&self) {
        // The sender lives as long as `self`.
        let _ = self.running.subscribe().wait_for(|running| !running).await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

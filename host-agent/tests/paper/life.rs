//! One companion's life, its clock, and how to wait for a job.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use firstlight::job::{
    JobStore, Limits, Request, RequestKind, Runner, RunnerConfig, Sagas, State, WallClock, fold,
};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

/// A wall clock that can be made to jump; otherwise it goes with tokio's time.
#[derive(Debug, Clone)]
pub struct Clock {
    born: Instant,
    jumped_ms: Arc<AtomicI64>,
}

impl Clock {
    /// Of the year 2026.
    pub fn new() -> Self {
        Self { born: Instant::now(), jumped_ms: Arc::new(AtomicI64::new(1_790_000_000_000)) }
    }

    pub fn jump(&self, by_ms: i64) {
        let _ = self
            .jumped_ms
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |now| Some(now.saturating_add(by_ms)));
    }

    fn now_ms(&self) -> u64 {
        let gone = i64::try_from(self.born.elapsed().as_millis()).unwrap();
        u64::try_from(self.jumped_ms.load(Ordering::SeqCst).saturating_add(gone)).unwrap_or(0)
    }

    fn wall(&self) -> WallClock {
        let clock = self.clone();
        Arc::new(move || clock.now_ms())
    }
}

pub fn config(companion: &str) -> RunnerConfig {
    RunnerConfig {
        companion: companion.into(),
        room: 1000,
        limits: Limits::default(),
        lease: Duration::from_secs(30),
        grace: Duration::from_secs(10),
        look: Duration::from_secs(5),
    }
}

/// A runner at work.
#[derive(Debug)]
pub struct Life {
    pub runner: Arc<Runner>,
    task: JoinHandle<()>,
}

impl Life {
    pub fn start(
        store: Arc<dyn JobStore>,
        sagas: Arc<dyn Sagas>,
        config: RunnerConfig,
        clock: &Clock,
    ) -> Self {
        let runner = Runner::with_clock(store, sagas, config, clock.wall());
        Self { task: tokio::spawn(Arc::clone(&runner).run()), runner }
    }

    /// Nothing of it goes on, nothing is given back.
    pub async fn crash(self) {
        self.task.abort();
        let _ = self.task.await;
    }

    pub async fn stop(self) {
        self.runner.stop().await;
        self.task.await.unwrap();
    }

    pub async fn drain(self, patience: Duration) {
        self.runner.drain(patience).await;
        self.task.await.unwrap();
    }
}

pub async fn ask(store: &dyn JobStore, job: &str, kind: RequestKind) {
    let request = Request { kind, by: "tester".into(), reason: "asked on paper".into() };
    store.ask(job, &request).await.unwrap();
}

pub async fn state_of(store: &dyn JobStore, job: &str) -> State {
    fold(&store.events(job).await.unwrap()).unwrap()
}

/// Waits until nothing more will happen to the job unless somebody asks.
pub async fn settled(store: &dyn JobStore, job: &str) -> State {
    let (began, mut pause) = (Instant::now(), Duration::from_millis(10));
    loop {
        // In this order: a request that is settled is answered in the journal.
        let asked = store.request(job).await.unwrap().is_some();
        let state = state_of(store, job).await;
        if !state.outline().open && !asked {
            return state;
        }
        if began.elapsed() > Duration::from_secs(6 * 3600) {
            let events = store.events(job).await.unwrap();
            panic!("job {job} does not come to an end: {events:#?}");
        }
        sleep(pause).await;
        pause = (pause * 3 / 2).min(Duration::from_millis(400));
    }
}

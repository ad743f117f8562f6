//! What the engine costs: jobs of ten steps that take no time, journaled as always.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use firstlight::job::{
    Context, Event, JobSpec, JobStore, Limits, NewJob, Recorded, Runner, RunnerConfig, Saga, Sagas, State,
    Step, StepInfo,
};
use firstlight::outcome::{Act, Fault, Probe, Undo};
use firstlight::store::Store;
use serde_json::json;

use crate::bare;
use firstlight_tests::figures::{Row, Table};

const STEPS: [&str; 10] =
    ["allocate", "restore", "mac", "hostname", "size", "mounts", "start", "await-report", "verify", "finish"];
/// The median of so many rounds counts.
const ROUNDS: usize = 5;

pub(crate) async fn measure(jobs: usize, table: &mut Table) {
    one_way(jobs, 64, table).await;
    // Without company nobody shares a commit: the engine's own way of working shows.
    one_way(jobs.div_ceil(5), 1, table).await;
}

/// In turns with the peer, so that the disk's mood is the same for both.
async fn one_way(jobs: usize, room: usize, table: &mut Table) {
    let (mut ours, mut bare, mut commits, mut ratios) = (Duration::ZERO, Duration::ZERO, 0, Vec::new());
    let jobs = jobs.div_ceil(ROUNDS);
    for _ in 0..ROUNDS {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("firstlight.db")).await.unwrap();
        let (took, count) = run(&store, jobs, room).await;
        store.close().await;
        let peer = bare::commits(folder.path(), count).await;
        ratios.push(took.as_secs_f64() / peer.as_secs_f64());
        (ours, bare, commits) = (ours + took, bare + peer, commits + count);
    }
    ratios.sort_by(f64::total_cmp);
    let ratio = ratios[ROUNDS / 2];
    let (jobs, steps) = (jobs * ROUNDS, STEPS.len());
    let rate = jobs as f64 / ours.as_secs_f64();
    table.add(Row {
        figure: format!(
            "engine's cost: {jobs} jobs of {steps} idle steps, {room} at once, SQLite with full sync"
        ),
        ours: format!("{:.2} s, {rate:.0} jobs/s: {ratio:.2} x", ours.as_secs_f64()),
        beside: format!("sqlx: {commits} bare durable commits in {:.2} s", bare.as_secs_f64()),
        aim: "<= 3 x".into(),
        met: Some(ratio <= 3.0),
    });
}

/// Time from the first claim to the last end, and how many events were appended for it.
async fn run(store: &Store, jobs: usize, room: usize) -> (Duration, usize) {
    let store: Arc<dyn JobStore> = Arc::new(store.clone());
    let new: Vec<NewJob> = (0..jobs).map(job).collect();
    let mut changes = store.changes();
    store.create(&new).await.unwrap();
    let config = RunnerConfig {
        companion: "bench".to_owned(),
        room,
        limits: Limits::default(),
        lease: Duration::from_secs(30),
        grace: Duration::from_secs(30),
        look: Duration::from_secs(2),
    };
    let runner = Runner::new(Arc::clone(&store), Arc::new(Idle), config);
    let start = Instant::now();
    let running = tokio::spawn(Arc::clone(&runner).run());
    while store.events(&new[jobs - 1].id).await.unwrap().len() <= 2 * STEPS.len() {
        // A job that nobody hears of is asked for again.
        let _ = tokio::time::timeout(Duration::from_millis(20), changes.recv()).await;
    }
    let mut commits = 0;
    for job in &new {
        loop {
            let events = store.events(&job.id).await.unwrap().len();
            if events > 2 * STEPS.len() {
                commits += events - 1;
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    let took = start.elapsed();
    runner.stop().await;
    running.await.unwrap();
    (took, commits)
}

fn job(number: usize) -> NewJob {
    let step = |name: &&str| StepInfo { name: (*name).to_owned(), waits: false, deadline_ms: None };
    let created = Event::Created(JobSpec {
        guest: format!("guest-{number}"),
        backend: "bench".to_owned(),
        spec: json!({}),
        steps: STEPS.iter().map(step).collect(),
        keep_on_failure: false,
        batch: "bench".to_owned(),
        resources: vec!["node:bench".to_owned()],
        deadline_ms: None,
        retry_of: None,
        by: "bench".to_owned(),
        change_of: None,
        destroy_after_ms: None,
        ephemeral: false,
    });
    NewJob { id: format!("{number:016x}"), created: Recorded { seq: 0, at_ms: 1, event: created } }
}

/// Steps that find nothing and do nothing, at once.
struct Idle;
struct IdleSaga(Vec<Box<dyn Step>>);
struct IdleStep(&'static str);

#[async_trait]
impl Sagas for Idle {
    async fn saga(&self, _: &str, _: &State) -> Result<Arc<dyn Saga>, Fault> {
        let steps = STEPS.iter().map(|name| -> Box<dyn Step> { Box::new(IdleStep(name)) });
        Ok(Arc::new(IdleSaga(steps.collect())))
    }

    async fn successor(&self, _: &str, state: &State) -> Result<JobSpec, Fault> {
        Ok(state.spec.clone())
    }
}

#[async_trait]
impl Saga for IdleSaga {
    fn steps(&self) -> &[Box<dyn Step>] {
        &self.0
    }

    async fn leftovers(&self, _: &Context<'_>) -> Vec<String> {
        Vec::new()
    }
}

#[async_trait]
impl Step for IdleStep {
    fn name(&self) -> &'static str {
        self.0
    }

    async fn probe(&self, _: &Context<'_>) -> Result<Probe, Fault> {
        Ok(Probe::Absent)
    }

    async fn act(&self, _: &Context<'_>) -> Act {
        Act::Applied(json!({}))
    }

    async fn undo(&self, _: &Context<'_>) -> Undo {
        Undo::Absent
    }
}

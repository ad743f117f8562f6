//! What every test of the engine starts from, and the count of cases.

use std::io::Write as _;
use std::sync::Arc;

use firstlight::job::{JobSpec, JobStore, RequestKind, Sagas, State};

use crate::paper::{
    Break, Brittle, Clock, End, Life, MemoryStore, PaperSagas, World, ask, config, job_spec, judge, new_job,
    settled,
};

pub(crate) const GUEST: &str = "web-01";
pub(crate) const JOB: &str = "job-1";

/// A world, a store, a clock, and companions that come and go.
pub(crate) struct Rig {
    pub(crate) world: World,
    pub(crate) memory: Arc<MemoryStore>,
    pub(crate) clock: Clock,
    born: usize,
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self { world: World::new(), memory: Arc::default(), clock: Clock::new(), born: 0 }
    }

    /// With one job, `JOB` of `GUEST`.
    pub(crate) async fn with_job(change: impl FnOnce(&mut JobSpec)) -> Self {
        let rig = Self::new();
        rig.submit(JOB, GUEST, change).await;
        rig
    }

    pub(crate) async fn submit(&self, job: &str, guest: &str, change: impl FnOnce(&mut JobSpec)) {
        let mut spec = job_spec(guest);
        change(&mut spec);
        self.memory.create(&[new_job(job, spec)]).await.unwrap();
    }

    pub(crate) fn sagas(&self) -> Arc<dyn Sagas> {
        PaperSagas::over(&self.world, &self.memory)
    }

    /// A new companion.
    pub(crate) fn begin(&mut self, breaks: &[Break]) -> (Arc<Brittle>, Life) {
        self.born += 1;
        let store = Brittle::over(&self.memory, breaks);
        let config = config(&format!("companion-{}", self.born));
        let life = Life::start(Arc::clone(&store) as Arc<dyn JobStore>, self.sagas(), config, &self.clock);
        (store, life)
    }

    /// One companion after the other until the job has ended, was asked for each of these in turn, and has ended again.
    /// Each companion breaks as told for it; those of whom nothing is told live.
    pub(crate) async fn play(&mut self, asks: &[RequestKind], breaks: &[&[Break]]) -> State {
        let mut breaks = breaks.iter();
        let mut next = || breaks.next().copied().unwrap_or_default();
        let (mut store, mut life) = self.begin(next());
        let mut asks = asks.iter();
        let state = loop {
            tokio::select! {
                state = settled(&*self.memory, JOB) => match asks.next() {
                    Some(kind) => ask(&*self.memory, JOB, kind.clone()).await,
                    None => break state,
                },
                () = store.died() => {
                    life.crash().await;
                    (store, life) = self.begin(next());
                }
            }
        };
        life.stop().await;
        state
    }

    /// One companion's whole life.
    pub(crate) async fn run(&mut self, asks: &[RequestKind]) -> State {
        self.play(asks, &[]).await
    }

    pub(crate) fn judge(&self, state: &State) -> Result<End, String> {
        judge(&self.world, JOB, state)
    }

    pub(crate) async fn journal(&self) -> String {
        format!("{:#?}", self.memory.events(JOB).await.unwrap())
    }

    /// The job ended like this, rightly.
    pub(crate) async fn expect(&self, state: &State, end: End, case: &str) {
        let judged = self.judge(state);
        assert!(judged == Ok(end), "{case}: {judged:?}, not {end:?}\n{}", self.journal().await);
    }
}

/// Says how many cases a test tried, even in a quiet run.
pub(crate) fn tell(what: &str, cases: usize, at_least: usize) {
    let _ = writeln!(std::io::stderr(), "engine faults: {what}: {cases} cases");
    assert!(cases >= at_least, "{what}: only {cases} cases of {at_least}");
}

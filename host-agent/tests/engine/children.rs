//! The same deaths in real processes: this test program runs itself, with a real store and the world in a file, and
//! kills itself with SIGKILL before or after an append.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use firstlight::job::RequestKind::Unwind;
use firstlight::job::{JobStore, Lease, Phase, RunnerConfig, State};
use firstlight::store::Store;
use tempfile::TempDir;

use crate::paper::{
    Break, Brittle, Clock, Death, End, Life, PaperSagas, Trouble, Verb, World, ask, config, job_spec, judge,
    new_job, settled, state_of,
};
use crate::rig::{GUEST, JOB, tell};

const FOLDER: &str = "FIRSTLIGHT_PAPER_FOLDER";
const BREAK: &str = "FIRSTLIGHT_PAPER_BREAK";
/// Processes at once.
const AT_ONCE: usize = 6;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Story {
    Straight,
    Refused,
    Removed,
}

struct Place {
    folder: TempDir,
    story: Story,
}

fn store_file(folder: &Path) -> PathBuf {
    folder.join("store.db")
}

fn world_of(folder: &Path) -> World {
    World::in_file(&folder.join("world.json"))
}

impl Place {
    async fn new(story: Story) -> Self {
        let folder = tempfile::Builder::new().prefix("firstlight-paper-").tempdir().unwrap();
        let store = Store::open(&store_file(folder.path())).await.unwrap();
        store.create(&[new_job(JOB, job_spec(GUEST))]).await.unwrap();
        store.close().await;
        let world = world_of(folder.path());
        if story == Story::Refused {
            world.arm(GUEST, "finish", Verb::Act, Trouble::Refused, u32::MAX);
        }
        if story == Story::Removed {
            std::fs::write(folder.path().join("remove"), "").unwrap();
        }
        Self { folder, story }
    }

    /// Ends the lease of a process that is surely dead, whichever it had: time would do the same, later.
    async fn bury(&self) {
        let store = Store::open(&store_file(self.folder.path())).await.unwrap();
        let leases: Vec<Lease> = (1..100).map(|fence| Lease { job: JOB.into(), fence }).collect();
        store.release(&leases).await.unwrap();
        store.close().await;
    }

    /// One process; it dies as told or brings the job to its end.
    fn live(&self, breaks: &str) -> ExitStatus {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "children::a_life", "--test-threads=1", "-q"]);
        child.env(FOLDER, self.folder.path()).env(BREAK, breaks);
        let output = child.output().unwrap();
        let killed = std::os::unix::process::ExitStatusExt::signal(&output.status) == Some(9);
        assert!(
            output.status.success() || killed,
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        output.status
    }

    async fn state(&self) -> State {
        let store = Store::open(&store_file(self.folder.path())).await.unwrap();
        let state = state_of(&store, JOB).await;
        store.close().await;
        state
    }

    async fn check(&self, case: &str) -> State {
        let state = self.state().await;
        let end = if self.story == Story::Straight { End::Complete } else { End::Clean };
        let judged = judge(&world_of(self.folder.path()), JOB, &state);
        assert_eq!(judged, Ok(end), "{:?}, {case}", self.story);
        state
    }
}

/// Not a test of its own: what a child process does.
#[test]
fn a_life() {
    let (Ok(folder), Ok(breaks)) = (std::env::var(FOLDER), std::env::var(BREAK)) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(live(Path::new(&folder), parse(&breaks).as_slice()));
}

fn parse(breaks: &str) -> Vec<Break> {
    let at = |text: &str| text.parse().unwrap();
    match breaks.split_once(' ') {
        Some(("before", number)) => vec![Break::DieBefore(at(number))],
        Some(("after", number)) => vec![Break::DieAfter(at(number))],
        _ => Vec::new(),
    }
}

async fn live(folder: &Path, breaks: &[Break]) {
    let store: Arc<dyn JobStore> = Arc::new(Store::open(&store_file(folder)).await.unwrap());
    let brittle = Brittle::over_any(Arc::clone(&store), breaks, Death::Kill);
    let strict = Some(Arc::clone(&store));
    let sagas = Arc::new(PaperSagas { world: world_of(folder), strict, leases: None });
    let config = RunnerConfig {
        // No machine is so slow; whoever comes after a death is told that this lease is over.
        lease: Duration::from_secs(3600),
        look: Duration::from_millis(30),
        ..config(&format!("process-{}", std::process::id()))
    };
    let life = Life::start(brittle, sagas, config, &Clock::new());
    let mut state = settled(&*store, JOB).await;
    if folder.join("remove").exists() && state.phase == Phase::Done {
        ask(&*store, JOB, Unwind).await;
        state = settled(&*store, JOB).await;
    }
    assert!(state.phase.is_final());
    // The last event can be read before its append has returned, and with it comes a death.
    life.drain(Duration::from_secs(600)).await;
}

/// Runs every case, several processes at once, each as often as it dies, but `lives` times at most; how many died.
fn in_parallel(cases: &[Case]) -> usize {
    let (next, met) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::SeqCst)) {
                    let died = runtime.block_on(case.play());
                    met.fetch_add(died, Ordering::SeqCst);
                }
            });
        }
    });
    met.into_inner()
}

/// A story whose processes die at the same append of each one's own.
struct Case {
    story: Story,
    breaks: String,
    lives: usize,
}

impl Case {
    async fn play(&self) -> usize {
        let place = Place::new(self.story).await;
        let mut died = 0;
        while died < self.lives && !place.live(&self.breaks).success() {
            place.bury().await;
            died += 1;
        }
        place.live("");
        place.check(&format!("{} times {}", died, self.breaks)).await;
        died
    }
}

const STORIES: [Story; 3] = [Story::Straight, Story::Refused, Story::Removed];

/// How many events a story has when nobody dies.
fn events(story: Story) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let place = runtime.block_on(Place::new(story));
    place.live("");
    usize::try_from(runtime.block_on(place.check("alive")).events).unwrap()
}

#[test]
fn killed_before_and_after_every_append() {
    let mut cases = Vec::new();
    for story in STORIES {
        for at in 1..events(story) {
            cases.extend(["before", "after"].map(|when| Case {
                story,
                breaks: format!("{when} {at}"),
                lives: 1,
            }));
        }
    }
    let met = in_parallel(&cases);
    assert_eq!(met, cases.len(), "every death is met");
    tell("kill -9 in a process of its own", met, 100);
}

#[test]
fn killed_after_every_single_step_forward() {
    // The first event of each process says that it took the job over, the second one is the way it makes.
    let cases = STORIES.map(|story| Case { story, breaks: "after 2".into(), lives: 100 });
    // The first process takes nothing over, and makes two events of the way.
    let ways: usize = STORIES.iter().map(|story| events(*story) - 2).sum();
    let met = in_parallel(&cases);
    assert_eq!(met, ways, "every death is met");
    tell("kill -9 after each step forward", met, 30);
}

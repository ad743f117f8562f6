//! A seeded random walk: many jobs at once, with every fault, death and request interleaved. In paused time on one
//! thread the same seed walks the same way.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use firstlight::job::{JobStore, Limits, Phase, RequestKind, RunnerConfig};
use tokio::time::sleep;

use super::brittle::{Brittle, Weather};
use super::judge::{End, judge};
use super::life::{Clock, Life, ask, config, settled, state_of};
use super::memory::MemoryStore;
use super::step::{LINE, PaperSagas, job_spec, new_job};
use super::trouble::{Trouble, Verb};
use super::world::World;

/// How to walk.
#[derive(Debug, Clone, Copy)]
pub struct Walk {
    pub seed: u64,
    /// Guests that are worked on at once.
    pub guests: usize,
    /// Faults, deaths and requests.
    pub turns: usize,
}

/// What a walk met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Walked {
    pub jobs: usize,
    pub ends: BTreeMap<End, usize>,
    pub events: usize,
    pub requests: u64,
    /// Of all journals; the same for the same walk.
    pub digest: u64,
}

/// Small, seeded, good enough to choose faults.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % sides as u64).unwrap()
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.roll(of.len())]
    }
}

struct Road {
    walk: Walk,
    dice: Dice,
    world: World,
    memory: Arc<MemoryStore>,
    stores: Vec<Arc<Brittle>>,
    lives: Vec<Option<Life>>,
    clock: Clock,
    born: usize,
    /// Ids that were given out.
    ids: usize,
}

/// Walks, then lets everything come to an end and judges every job.
///
/// # Errors
/// The seed, and what went wrong.
pub async fn walk(walk: Walk) -> Result<Walked, String> {
    let mut road = Road::new(walk);
    for companion in 0..road.lives.len() {
        road.begin_life(companion);
    }
    for _ in 0..walk.guests {
        road.submit().await;
    }
    for _ in 0..walk.turns {
        road.turn().await;
    }
    road.come_home().await;
    road.reckon().await.map_err(|what| format!("seed {}: {what}", walk.seed))
}

impl Road {
    fn new(walk: Walk) -> Self {
        let memory = Arc::new(MemoryStore::default());
        let stores = (0..2).map(|_| Brittle::over(&memory, &[])).collect();
        Self {
            walk,
            dice: Dice(walk.seed),
            world: World::new(),
            memory,
            stores,
            lives: vec![None, None],
            clock: Clock::new(),
            born: 0,
            ids: 0,
        }
    }

    fn begin_life(&mut self, companion: usize) {
        self.born += 1;
        let limits = Limits { at_once: [("node".to_owned(), 6)].into() };
        let config = RunnerConfig { limits, ..config(&format!("companion-{companion}-{}", self.born)) };
        let store: Arc<dyn JobStore> = Arc::clone(&self.stores[companion]) as Arc<dyn JobStore>;
        let sagas = PaperSagas::over(&self.world, &self.memory);
        self.lives[companion] = Some(Life::start(store, sagas, config, &self.clock));
    }

    fn guest(&mut self) -> String {
        format!("guest-{:03}", self.dice.roll(self.walk.guests))
    }

    fn id(&mut self) -> String {
        self.ids += 1;
        format!("job-{:05}", self.ids)
    }

    fn job(&mut self) -> String {
        self.dice.pick(&self.memory.jobs()).clone()
    }

    /// A job for a guest, unless it has one.
    async fn submit(&mut self) {
        let (guest, id) = (self.guest(), self.id());
        let mut spec = job_spec(&guest);
        spec.resources = vec![format!("node:{}", self.dice.roll(3))];
        spec.batch = format!("batch-{}", self.dice.roll(4));
        spec.keep_on_failure = self.dice.roll(8) == 0;
        spec.deadline_ms = (self.dice.roll(6) == 0).then_some(20_000);
        if self.dice.roll(6) == 0 {
            spec.steps.iter_mut().for_each(|step| step.deadline_ms = Some(60_000));
        }
        let _ = self.memory.create(&[new_job(&id, spec)]).await;
    }

    async fn turn(&mut self) {
        sleep(Duration::from_millis(self.dice.roll(700) as u64)).await;
        match self.dice.roll(20) {
            0..=6 => self.trouble(),
            7..=10 => self.submit().await,
            11..=14 => self.request().await,
            15 => {
                let companion = self.dice.roll(self.lives.len());
                if let Some(life) = self.lives[companion].take() {
                    life.crash().await;
                }
                self.begin_life(companion);
            }
            16 => {
                let companion = self.dice.roll(self.lives.len());
                let patience = Duration::from_millis(self.dice.roll(3000) as u64);
                if let Some(life) = self.lives[companion].take() {
                    life.drain(patience).await;
                }
                self.begin_life(companion);
            }
            17 => {
                let job = self.job();
                self.memory.steal(&job);
            }
            18 => {
                let weather =
                    *self.dice.pick(&[Weather::Fine, Weather::Full, Weather::Gone, Weather::Silent]);
                let companion = self.dice.roll(self.stores.len());
                self.stores[companion].set_weather(weather);
            }
            _ => {
                let by = *self.dice.pick(&[-7_200_000, -5_000, 5_000, 86_400_000]);
                self.clock.jump(by);
            }
        }
    }

    fn trouble(&mut self) {
        let (guest, (step, _)) = (self.guest(), *self.dice.pick(LINE));
        let (verb, of) = match self.dice.roll(3) {
            0 => (Verb::Undo, Trouble::OF_UNDO),
            _ => (Verb::Act, Trouble::OF_ACT),
        };
        let trouble = *self.dice.pick(of);
        // A namesake that nobody removes would stop the guest for good.
        if trouble != Trouble::Foreign {
            let times = 1 + u32::try_from(self.dice.roll(3)).unwrap();
            self.world.arm(&guest, step, verb, trouble, times);
        }
    }

    async fn request(&mut self) {
        let job = self.job();
        let kind = match self.dice.roll(8) {
            0..=2 => RequestKind::Unwind,
            3 => RequestKind::Anew { successor: self.id() },
            4..=5 => RequestKind::Retry,
            6 => RequestKind::Abandon,
            _ => RequestKind::Sweep,
        };
        ask(&*self.memory, &job, kind).await;
    }

    /// Nothing goes wrong any more: every job must come to its end.
    async fn come_home(&mut self) {
        self.world.disarm();
        self.stores.iter().for_each(|store| store.set_weather(Weather::Fine));
        self.settle_all().await;
        self.world.carry_out_late();
        for job in self.made().await {
            if state_of(&*self.memory, &job).await.phase == Phase::RolledBack {
                ask(&*self.memory, &job, RequestKind::Sweep).await;
            }
        }
        self.settle_all().await;
        for life in self.lives.iter_mut().filter_map(Option::take) {
            life.stop().await;
        }
    }

    async fn settle_all(&self) {
        for job in self.made().await {
            settled(&*self.memory, &job).await;
        }
    }

    /// Jobs that begin anew may never have been made.
    async fn made(&self) -> Vec<String> {
        self.memory.jobs()
    }

    async fn reckon(&self) -> Result<Walked, String> {
        let (mut ends, mut events) = (BTreeMap::new(), 0);
        let mut digest = DefaultHasher::new();
        let jobs = self.made().await;
        for job in &jobs {
            let journal = self.memory.events(job).await.unwrap();
            events += journal.len();
            serde_json::to_string(&journal).unwrap().hash(&mut digest);
            let state = state_of(&*self.memory, job).await;
            let end =
                judge(&self.world, job, &state).map_err(|what| format!("job {job}: {what}\n{journal:#?}"))?;
            *ends.entry(end).or_default() += 1;
        }
        Ok(Walked {
            jobs: jobs.len(),
            ends,
            events,
            requests: self.world.requests(),
            digest: digest.finish(),
        })
    }
}

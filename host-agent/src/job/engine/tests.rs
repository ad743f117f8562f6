//! The engine against a world of flags: every step makes one thing, every undo removes it.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::json;

use super::*;
use crate::job::{StepInfo, fold};

const STEPS: [&str; 4] = ["one", "two", "three", "four"];

/// What is there, and how the next call of a step shall end.
#[derive(Default)]
struct World {
    things: Mutex<BTreeSet<&'static str>>,
    fault: Mutex<Option<(&'static str, Ending)>>,
    undo_fails: Mutex<u32>,
    made: Mutex<Vec<&'static str>>,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Ending {
    Refused,
    LostBefore,
    LostAfter,
    Foreign,
    /// Unknown for ever.
    Dark,
}

struct Make(&'static str, Arc<World>);

impl Make {
    fn fault(&self) -> Option<Ending> {
        self.1.fault.lock().unwrap().filter(|(step, _)| *step == self.0).map(|(_, ending)| ending)
    }

    fn make(&self) {
        let new = self.1.things.lock().unwrap().insert(self.0);
        assert!(new, "{} was made twice", self.0);
        self.1.made.lock().unwrap().push(self.0);
    }
}

#[async_trait]
impl Step for Make {
    fn name(&self) -> &'static str {
        self.0
    }

    async fn probe(&self, _: &Context<'_>) -> Result<Probe, Fault> {
        match self.fault() {
            Some(Ending::Foreign) => Ok(Probe::Foreign("somebody else's".into())),
            Some(Ending::Dark) => Err(Fault::new("dark", "no answer")),
            _ if self.1.things.lock().unwrap().contains(self.0) => Ok(Probe::Present(json!({}))),
            _ => Ok(Probe::Absent),
        }
    }

    async fn act(&self, _: &Context<'_>) -> Act {
        let fault = self.fault();
        // A fault happens once.
        self.1.fault.lock().unwrap().take_if(|_| fault.is_some_and(|ending| ending != Ending::Refused));
        match fault {
            Some(Ending::Refused) => Act::Refused(Fault::new("refused", "no")),
            Some(Ending::LostBefore) => Act::Unknown(Fault::new("lost", "no reply")),
            Some(Ending::LostAfter) => {
                self.make();
                Act::Unknown(Fault::new("lost", "no reply"))
            }
            _ => {
                self.make();
                Act::Applied(json!({}))
            }
        }
    }

    async fn undo(&self, _: &Context<'_>) -> Result<(), Fault> {
        let mut failures = self.1.undo_fails.lock().unwrap();
        if *failures > 0 {
            *failures -= 1;
            return Err(Fault::new("undo", "not now"));
        }
        self.1.things.lock().unwrap().remove(self.0);
        Ok(())
    }
}

struct Line(Vec<Box<dyn Step>>);

impl Saga for Line {
    fn steps(&self) -> &[Box<dyn Step>] {
        &self.0
    }

    fn leftovers(&self, _: &Context<'_>) -> Vec<String> {
        vec!["look by hand".into()]
    }
}

/// A journal in memory that stops taking events after `limit`: the process "dies" there.
struct Paper {
    events: Mutex<Vec<Recorded>>,
    limit: AtomicU64,
}

#[async_trait]
impl Journal for Paper {
    async fn append(&self, job: &str, recorded: &Recorded) -> Result<(), JournalError> {
        let mut events = self.events.lock().unwrap();
        if events.len() as u64 >= self.limit.load(Ordering::SeqCst) {
            return Err(JournalError { job: job.into(), source: "the disk is full".into() });
        }
        assert_eq!(recorded.seq, events.len() as u64);
        events.push(recorded.clone());
        Ok(())
    }

    fn now_ms(&self) -> u64 {
        1
    }

    fn publish(&self, _: &str, _: &State) {}
}

struct Rig {
    world: Arc<World>,
    paper: Arc<Paper>,
    cancel: Arc<Cancel>,
}

impl Rig {
    fn new(keep: bool) -> Self {
        let steps = STEPS.iter().map(|name| StepInfo { name: (*name).into(), waits: false }).collect();
        let event = Event::Created {
            guest: "web-01".into(),
            backend: "test".into(),
            spec: json!({}),
            steps,
            keep_on_failure: keep,
        };
        let paper = Paper {
            events: Mutex::new(vec![Recorded { seq: 0, at_ms: 0, event }]),
            limit: AtomicU64::new(u64::MAX),
        };
        Self { world: Arc::default(), paper: Arc::new(paper), cancel: Arc::default() }
    }

    /// One life of the process: from the journal as it is, to the end or to its death.
    async fn live(&self) -> Result<State, JournalError> {
        let steps = STEPS.iter().map(|name| Box::new(Make(name, Arc::clone(&self.world))) as Box<dyn Step>);
        let mut engine = Engine {
            job: "job".into(),
            saga: Arc::new(Line(steps.collect())),
            journal: Arc::clone(&self.paper) as Arc<dyn Journal>,
            state: fold(&self.paper.events.lock().unwrap()).unwrap(),
            cancel: Arc::clone(&self.cancel),
        };
        engine.run().await?;
        assert_eq!(
            engine.state,
            fold(&self.paper.events.lock().unwrap()).unwrap(),
            "live state is the folded one"
        );
        Ok(engine.state)
    }

    fn things(&self) -> usize {
        self.world.things.lock().unwrap().len()
    }

    fn set(&self, step: &'static str, ending: Ending) {
        *self.world.fault.lock().unwrap() = Some((step, ending));
    }
}

#[tokio::test(start_paused = true)]
async fn every_fault_at_every_step_ends_complete_or_clean() {
    for step in STEPS {
        for (ending, phase, things) in [
            (Ending::Refused, Phase::RolledBack, 0),
            (Ending::Foreign, Phase::RolledBack, 0),
            (Ending::LostBefore, Phase::Done, 4),
            (Ending::LostAfter, Phase::Done, 4),
        ] {
            let rig = Rig::new(false);
            rig.set(step, ending);
            let state = rig.live().await.unwrap();
            assert_eq!((state.phase, rig.things()), (phase, things), "{ending:?} at {step}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_outcome_that_stays_unknown_needs_an_operator_and_unwinds_nothing() {
    let rig = Rig::new(false);
    rig.set("three", Ending::Dark);
    let state = rig.live().await.unwrap();
    assert_eq!((state.phase, rig.things()), (Phase::NeedsOperator, 2));
    assert_eq!(state.leftovers, ["look by hand"]);
}

#[tokio::test(start_paused = true)]
async fn death_at_every_event_then_a_new_life_ends_the_same() {
    for ending in [None, Some(Ending::Refused), Some(Ending::LostAfter)] {
        for limit in 1.. {
            let rig = Rig::new(false);
            if let Some(ending) = ending {
                rig.set("three", ending);
            }
            rig.paper.limit.store(limit, Ordering::SeqCst);
            let survived = rig.live().await.is_ok();
            rig.paper.limit.store(u64::MAX, Ordering::SeqCst);
            let state = rig.live().await.unwrap();
            let (phase, things) =
                if ending == Some(Ending::Refused) { (Phase::RolledBack, 0) } else { (Phase::Done, 4) };
            assert_eq!((state.phase, rig.things()), (phase, things), "{ending:?}, dead after event {limit}");
            if survived {
                assert!(limit > 5, "the journal was never short");
                break;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_undo_that_fails_is_tried_again_and_then_handed_to_an_operator() {
    for (failures, phase) in [(UNDO_ATTEMPTS - 1, Phase::RolledBack), (UNDO_ATTEMPTS, Phase::NeedsOperator)] {
        let rig = Rig::new(false);
        rig.set("two", Ending::Refused);
        *rig.world.undo_fails.lock().unwrap() = failures;
        assert_eq!(rig.live().await.unwrap().phase, phase);
        // Asked again, it goes on from where it stood.
        rig.cancel.request("destroyed");
        assert_eq!(rig.live().await.unwrap().phase, Phase::RolledBack);
        assert_eq!(rig.things(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_kept_guest_stays_until_it_is_destroyed_even_across_a_death() {
    let rig = Rig::new(true);
    rig.set("three", Ending::Refused);
    let state = rig.live().await.unwrap();
    assert_eq!((state.phase, rig.things()), (Phase::NeedsOperator, 2));

    rig.cancel.request("destroyed");
    rig.paper.limit.store(state.events + 2, Ordering::SeqCst);
    assert!(rig.live().await.is_err());
    rig.paper.limit.store(u64::MAX, Ordering::SeqCst);
    // The new process knows of no request: the journal does.
    let rig = Rig { cancel: Arc::default(), ..rig };
    assert_eq!(rig.live().await.unwrap().phase, Phase::RolledBack);
    assert_eq!(rig.things(), 0);
}

#[tokio::test(start_paused = true)]
async fn done_can_be_destroyed() {
    let rig = Rig::new(false);
    assert_eq!(rig.live().await.unwrap().phase, Phase::Done);
    rig.cancel.request("destroyed");
    assert_eq!(rig.live().await.unwrap().phase, Phase::RolledBack);
    assert_eq!(rig.things(), 0);
}

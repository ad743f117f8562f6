//! The line of steps on paper.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use firstlight::job::{
    Context, Event, JobSpec, JobStore, NewJob, Phase, Recorded, Saga, Sagas, State, Step, StepInfo,
};
use firstlight::outcome::{Act, Fault, Followed, Probe, Undo};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::checks::Held;
use super::memory::MemoryStore;
use super::trouble::{Trouble, Verb};
use super::world::{Stand, Thing, World};

/// What a step is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Chooses an id; nothing is made.
    Choice,
    /// Done when the reply is there.
    Quick,
    /// A remote task does it, and another undoes it.
    Task,
    /// Waits for the guest's report.
    Wait,
}

/// The steps of every job on paper, in order.
pub const LINE: &[(&str, Kind)] = &[
    ("choose", Kind::Choice),
    ("make", Kind::Task),
    ("dress", Kind::Quick),
    ("start", Kind::Task),
    ("report", Kind::Wait),
    ("finish", Kind::Quick),
];

/// The first event of a job for this guest.
pub fn job_spec(guest: &str) -> JobSpec {
    let info = |(name, kind): &(&str, Kind)| StepInfo {
        name: (*name).to_owned(),
        waits: *kind == Kind::Wait,
        deadline_ms: None,
    };
    JobSpec {
        guest: guest.to_owned(),
        backend: "paper".into(),
        spec: json!({}),
        steps: LINE.iter().map(info).collect(),
        keep_on_failure: false,
        batch: "batch".into(),
        resources: Vec::new(),
        deadline_ms: None,
        retry_of: None,
        by: "test".into(),
        change_of: None,
        destroy_after_ms: None,
        ephemeral: false,
    }
}

pub fn new_job(id: &str, spec: JobSpec) -> NewJob {
    NewJob { id: id.to_owned(), created: Recorded { seq: 0, at_ms: 1_000, event: Event::Created(spec) } }
}

/// Builds jobs on paper.
#[derive(Debug)]
pub struct PaperSagas {
    pub world: World,
    /// What a step is shown is compared with this store's journal at every call.
    pub strict: Option<Arc<dyn JobStore>>,
    /// Nothing may be done under a lease of this store that is over.
    pub leases: Option<Arc<MemoryStore>>,
}

impl PaperSagas {
    /// As strict as can be.
    pub fn over(world: &World, memory: &Arc<MemoryStore>) -> Arc<Self> {
        let strict: Arc<dyn JobStore> = Arc::clone(memory) as Arc<dyn JobStore>;
        Arc::new(Self { world: world.clone(), strict: Some(strict), leases: Some(Arc::clone(memory)) })
    }
}

#[async_trait]
impl Sagas for PaperSagas {
    async fn saga(&self, job: &str, _: &State) -> Result<Arc<dyn Saga>, Fault> {
        let leases = self.leases.iter();
        let held = leases.map(|memory| Held { memory: Arc::clone(memory), fence: memory.fence(job) }).next();
        let step = |(name, kind): &(&'static str, Kind)| -> Box<dyn Step> {
            Box::new(PaperStep {
                name,
                kind: *kind,
                world: self.world.clone(),
                strict: self.strict.clone(),
                held: held.clone(),
                told: Mutex::default(),
            })
        };
        Ok(Arc::new(PaperSaga(LINE.iter().map(step).collect())))
    }

    async fn successor(&self, _: &str, state: &State) -> Result<JobSpec, Fault> {
        Ok(state.spec.clone())
    }
}

struct PaperSaga(Vec<Box<dyn Step>>);

#[async_trait]
impl Saga for PaperSaga {
    fn steps(&self) -> &[Box<dyn Step>] {
        &self.0
    }

    async fn leftovers(&self, context: &Context<'_>) -> Vec<String> {
        let of = &context.state.spec.guest;
        context.state.to_undo.iter().rev().map(|step| format!("remove {of}/{step}")).collect()
    }
}

pub(super) struct PaperStep {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) world: World,
    pub(super) strict: Option<Arc<dyn JobStore>>,
    pub(super) held: Option<Held>,
    /// The task of an undo that this very engine was told of.
    pub(super) told: Mutex<Option<String>>,
}

fn fault(code: &str) -> Fault {
    Fault::new(code, format!("on paper: {code}"))
}

fn outputs() -> Value {
    json!({ "made": true })
}

#[async_trait]
impl Step for PaperStep {
    fn name(&self) -> &'static str {
        self.name
    }

    fn waits(&self) -> bool {
        self.kind == Kind::Wait
    }

    async fn probe(&self, context: &Context<'_>) -> Result<Probe, Fault> {
        let thing = self.thing(context);
        let look = self.world.look();
        if look.dark.contains(&self.place(context)) {
            return Err(fault("no-answer"));
        }
        if self.kind == Kind::Choice {
            return Ok(Probe::Absent);
        }
        if self.kind == Kind::Wait {
            let here = look.reports.contains(&thing.guest);
            return Ok(if here { Probe::Present(outputs()) } else { Probe::Absent });
        }
        if let Some((task, trouble)) = look.running(Verb::Act, &thing)
            && trouble != Some(Trouble::Hidden)
        {
            return Ok(Probe::InFlight(task));
        }
        let there = look.beside(&thing);
        Ok(match there.iter().find(|there| there.stamp == thing.stamp).or(there.first()) {
            None => Probe::Absent,
            Some(there) if there.stamp != thing.stamp => Probe::Foreign(format!("of {}", there.stamp)),
            Some(there) if there.half => Probe::Absent,
            Some(_) => Probe::Present(outputs()),
        })
    }

    async fn act(&self, context: &Context<'_>) -> Act {
        self.check(context, "act").await;
        self.check_may_act(context);
        let trouble = self.meet(context, Verb::Act).await;
        match (trouble, self.kind) {
            (Some(Trouble::Panics), _) => break_down(self.name),
            (Some(Trouble::Hangs), _) => std::future::pending().await,
            (Some(Trouble::Refused), _) => return Act::Refused(fault("refused")),
            (Some(Trouble::LostBefore), _) => return Act::Unknown(fault("lost")),
            (Some(Trouble::Dark), _) => {
                self.world.look().dark.insert(self.place(context));
                return Act::Unknown(fault("no-answer"));
            }
            (_, Kind::Choice) => {
                return Act::Applied(json!({ "id": format!("{:06}", self.world.look().tick) }));
            }
            (_, Kind::Wait) => {
                self.world.reported(&context.state.spec.guest).await;
                return Act::Applied(outputs());
            }
            _ => {}
        }
        let thing = self.thing(context);
        let task = self.kind == Kind::Task;
        if let Some(Trouble::Late(ticks)) = trouble {
            self.world.look().send_late(Verb::Act, thing, task, ticks);
            return Act::Unknown(fault("given-up"));
        }
        let reply = if task { self.begin(thing, trouble) } else { self.make(thing) };
        match trouble {
            Some(Trouble::LostAfter) => Act::Unknown(fault("lost")),
            Some(Trouble::DarkDone) => {
                self.world.look().dark.insert(self.place(context));
                Act::Unknown(fault("no-answer"))
            }
            _ => reply,
        }
    }

    async fn follow(&self, context: &Context<'_>, task: &str) -> Followed {
        self.check(context, "follow").await;
        self.check_journaled(context, task);
        match self.end_of(task).await {
            None => Followed::Unknown(fault("no-such-task")),
            Some(Stand::Badly) => Followed::Failed(fault("ended-badly")),
            Some(_) => Followed::Done(outputs()),
        }
    }

    async fn undo(&self, context: &Context<'_>) -> Undo {
        self.check(context, "undo").await;
        self.check_may_undo(context);
        let trouble = self.meet(context, Verb::Undo).await;
        let thing = self.thing(context);
        let task = self.kind == Kind::Task;
        match trouble {
            Some(Trouble::Panics) => break_down(self.name),
            Some(Trouble::Refused) => return Undo::Failed(fault("refused")),
            Some(Trouble::LostBefore) => return Undo::Failed(fault("lost")),
            Some(Trouble::Late(ticks)) => {
                self.world.look().send_late(Verb::Undo, thing, task, ticks);
                return Undo::Failed(fault("given-up"));
            }
            _ => {}
        }
        let mut look = self.world.look();
        if look.running(Verb::Act, &thing).is_some() || look.running(Verb::Undo, &thing).is_some() {
            return Undo::Failed(fault("locked"));
        }
        if !look.beside(&thing).iter().any(|there| there.stamp == thing.stamp) {
            return Undo::Absent;
        }
        if task {
            let started = look.begin(Verb::Undo, thing, trouble);
            if trouble == Some(Trouble::LostAfter) {
                return Undo::Failed(fault("lost"));
            }
            *self.told.lock().unwrap() = Some(started.clone());
            return Undo::Started(started);
        }
        look.remove(&thing);
        if trouble == Some(Trouble::LostAfter) { Undo::Failed(fault("lost")) } else { Undo::Absent }
    }

    async fn follow_undo(&self, context: &Context<'_>, task: &str) {
        self.check(context, "follow-undo").await;
        if context.state.phase == Phase::Unwinding && context.state.undo_task.as_deref() != Some(task) {
            self.wrong(context, &format!("follows {task} of an undo, which is not journaled"));
        }
        self.end_of(task).await;
    }
}

impl PaperStep {
    /// What happens to the request, when it is sent.
    async fn meet(&self, context: &Context<'_>, verb: Verb) -> Option<Trouble> {
        let trouble = self.world.look().meet(&context.state.spec.guest, self.name, verb);
        if let Some(Trouble::Takes(seconds)) = trouble {
            sleep(Duration::from_secs(seconds)).await;
        }
        self.check_lease(context, if verb == Verb::Act { "acts" } else { "is undone" });
        trouble
    }

    pub(super) fn place(&self, context: &Context<'_>) -> String {
        format!("{}/{}", context.state.spec.guest, self.name)
    }

    pub(super) fn thing(&self, context: &Context<'_>) -> Thing {
        let chosen = context.state.outputs.get("choose").and_then(|output| output["id"].as_str());
        Thing {
            guest: context.state.spec.guest.clone(),
            step: self.name.to_owned(),
            id: chosen.unwrap_or("none").to_owned(),
            stamp: context.job.to_owned(),
            half: false,
        }
    }

    fn make(&self, thing: Thing) -> Act {
        // What a hypervisor says to a repeated request; a probe then tells whose it is.
        if self.world.look().make(thing, false) {
            Act::Applied(outputs())
        } else {
            Act::Unknown(fault("exists"))
        }
    }

    fn begin(&self, thing: Thing, trouble: Option<Trouble>) -> Act {
        let mut look = self.world.look();
        if look.running(Verb::Act, &thing).is_some() {
            return Act::Unknown(fault("locked"));
        }
        match look.beside(&thing).iter().find(|there| there.stamp == thing.stamp) {
            Some(there) if there.half => Act::Refused(fault("half-there")),
            Some(_) => Act::Unknown(fault("exists")),
            None => Act::Started(look.begin(Verb::Act, thing, trouble)),
        }
    }

    /// None: nobody knows the task.
    async fn end_of(&self, task: &str) -> Option<Stand> {
        loop {
            {
                let mut look = self.world.look();
                let known = look.tasks.get_mut(task)?;
                let gone = matches!(known.trouble, Some(Trouble::Forgotten | Trouble::Vanished));
                if known.stand != Stand::Running {
                    known.disowned = gone;
                    return (!gone).then_some(known.stand);
                }
            }
            sleep(self.world.pace()).await;
        }
    }
}

/// A panic that says nothing to the terminal.
fn break_down(step: &str) -> ! {
    std::panic::resume_unwind(Box::new(format!("the step {step} breaks, as asked")))
}

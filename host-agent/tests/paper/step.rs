//! The line of steps on paper.

use std::sync::Arc;

use async_trait::async_trait;
use firstlight::job::{
    Context, Event, JobSpec, JobStore, NewJob, Phase, Recorded, Saga, Sagas, State, Step, StepInfo, fold,
};
use firstlight::outcome::{Act, Fault, Followed, Probe, Undo};
use serde_json::{Value, json};
use tokio::time::sleep;

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
}

#[async_trait]
impl Sagas for PaperSagas {
    async fn saga(&self, _: &str, _: &State) -> Result<Arc<dyn Saga>, Fault> {
        let step = |(name, kind): &(&'static str, Kind)| -> Box<dyn Step> {
            Box::new(PaperStep { name, kind: *kind, world: self.world.clone(), strict: self.strict.clone() })
        };
        Ok(Arc::new(PaperSaga(LINE.iter().map(step).collect())))
    }

    async fn successor(&self, _: &str, state: &State) -> Result<JobSpec, Fault> {
        Ok(state.spec.clone())
    }
}

struct PaperSaga(Vec<Box<dyn Step>>);

impl Saga for PaperSaga {
    fn steps(&self) -> &[Box<dyn Step>] {
        &self.0
    }

    fn leftovers(&self, context: &Context<'_>) -> Vec<String> {
        let of = &context.state.spec.guest;
        context.state.to_undo.iter().rev().map(|step| format!("remove {of}/{step}")).collect()
    }
}

struct PaperStep {
    name: &'static str,
    kind: Kind,
    world: World,
    strict: Option<Arc<dyn JobStore>>,
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
        let trouble = self.world.look().meet(&context.state.spec.guest, self.name, Verb::Act);
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
        let trouble = self.world.look().meet(&context.state.spec.guest, self.name, Verb::Undo);
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
            return if trouble == Some(Trouble::LostAfter) {
                Undo::Failed(fault("lost"))
            } else {
                Undo::Started(started)
            };
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
    fn place(&self, context: &Context<'_>) -> String {
        format!("{}/{}", context.state.spec.guest, self.name)
    }

    fn thing(&self, context: &Context<'_>) -> Thing {
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

    fn wrong(&self, context: &Context<'_>, what: &str) {
        let (job, name) = (context.job, self.name);
        self.world.look().violation(format!("job {job}, step {name}: {what}"));
    }

    /// What the step is shown is what is durable: nothing is done that the journal does not announce.
    async fn check(&self, context: &Context<'_>, call: &str) {
        let Some(store) = &self.strict else { return };
        // A store that refuses to be read tells nothing.
        let Ok(events) = store.events(context.job).await else { return };
        match fold(&events) {
            Ok(durable) if durable == *context.state => {}
            // Another companion has it, and this one cannot know yet.
            Ok(durable) if durable.events > context.state.events => {}
            Ok(durable) => self
                .wrong(context, &format!("{call} at event {} of {}", context.state.events, durable.events)),
            Err(error) => self.wrong(context, &format!("{call}: {error}")),
        }
    }

    fn check_may_act(&self, context: &Context<'_>) {
        let at = context.state.current_step().is_some_and(|step| step.name == self.name);
        if !context.state.started || !at {
            self.wrong(context, "acts though it was not started");
        }
        if let Some(task) = context.state.tasks.get(self.name)
            && self.world.look().tasks.get(task).is_some_and(|task| !task.disowned)
        {
            self.wrong(context, &format!("acts again though {task} is journaled"));
        }
        let thing = self.thing(context);
        let makes = matches!(self.kind, Kind::Quick | Kind::Task);
        if makes && self.world.look().beside(&thing).iter().any(|there| there.stamp == "somebody") {
            self.wrong(context, "acts on what is somebody else's");
        }
    }

    fn check_journaled(&self, context: &Context<'_>, task: &str) {
        let sweeps = context.state.phase.is_final();
        if !sweeps && context.state.tasks.get(self.name).map(String::as_str) != Some(task) {
            self.wrong(context, &format!("follows {task}, which is not journaled"));
        }
    }

    fn check_may_undo(&self, context: &Context<'_>) {
        let state = context.state;
        if state.phase.is_final() {
            return;
        }
        if state.phase != Phase::Unwinding
            || !state.undo_begun
            || state.to_undo.last().is_none_or(|step| step != self.name)
        {
            self.wrong(context, "is undone out of turn");
        }
        let running = |task: &String| {
            self.world.look().tasks.get(task).is_some_and(|task| task.stand == Stand::Running)
        };
        if state.tasks.get(self.name).is_some_and(running) {
            self.wrong(context, "is undone while its task is at work");
        }
    }
}

/// A panic that says nothing to the terminal.
fn break_down(step: &str) -> ! {
    std::panic::resume_unwind(Box::new(format!("the step {step} breaks, as asked")))
}

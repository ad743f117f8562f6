//! What a step on paper sees to whenever it is called: the journal announced it, and the lease holds.

use std::sync::Arc;

use firstlight::job::{Context, Phase, fold};

use super::memory::MemoryStore;
use super::step::{Kind, PaperStep};
use super::trouble::{Trouble, Verb};
use super::world::Stand;

/// The lease under which a job is driven.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) memory: Arc<MemoryStore>,
    pub(super) fence: u64,
}

impl PaperStep {
    pub(super) fn wrong(&self, context: &Context<'_>, what: &str) {
        let (job, name) = (context.job, self.name);
        self.world.look().violation(format!("job {job}, step {name}: {what}"));
    }

    /// What the step is shown is what is durable: nothing is done that the journal does not announce.
    pub(super) async fn check(&self, context: &Context<'_>, call: &str) {
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

    /// Nothing is done on a hypervisor under a lease that is over: another companion may be at work on the same.
    pub(super) fn check_lease(&self, context: &Context<'_>, call: &str) {
        if self.held.as_ref().is_some_and(|held| held.memory.is_over(context.job, held.fence)) {
            self.wrong(context, &format!("{call} though its lease is over"));
        }
    }

    pub(super) fn check_may_act(&self, context: &Context<'_>) {
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

    pub(super) fn check_journaled(&self, context: &Context<'_>, task: &str) {
        let sweeps = context.state.phase.is_final();
        if !sweeps && context.state.tasks.get(self.name).map(String::as_str) != Some(task) {
            self.wrong(context, &format!("follows {task}, which is not journaled"));
        }
    }

    pub(super) fn check_may_undo(&self, context: &Context<'_>) {
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
        if state.tasks.get(self.name).is_some_and(|task| self.is_running(task))
            || self.is_seen_at_work(context)
        {
            self.wrong(context, "is undone while its task is at work");
        }
        let told = self.told.lock().unwrap().clone();
        if let Some(task) = state.undo_task.iter().chain(&told).find(|task| self.is_running(task)) {
            self.wrong(context, &format!("is undone again while {task} undoes it"));
        }
    }

    fn is_running(&self, task: &str) -> bool {
        self.world.look().tasks.get(task).is_some_and(|task| task.stand == Stand::Running)
    }

    /// A probe would show a task that is making the thing.
    fn is_seen_at_work(&self, context: &Context<'_>) -> bool {
        let look = self.world.look();
        let shown = |task: &str| look.tasks.get(task).is_some_and(|task| !task.late);
        let at_work = look.running(Verb::Act, &self.thing(context));
        !look.dark.contains(&self.place(context))
            && at_work.is_some_and(|(task, trouble)| trouble != Some(Trouble::Hidden) && shown(&task))
    }
}

//! From events to state: pure, total, and the only place that says what an event means.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::event::{Event, JobSpec, Recorded, StepInfo};
use super::life::{Attend, Kept, Life};
use super::phase::Phase;
use crate::outcome::Fault;

/// Code of the fault that unwinds a job whose deadline ended.
pub const JOB_DEADLINE: &str = "job-deadline";

/// When a step began and ended, in milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    pub started_ms: u64,
    pub ended_ms: Option<u64>,
}

/// Everything known about a job.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    pub spec: JobSpec,
    pub phase: Phase,
    /// Index of the first step that has not succeeded.
    pub current: usize,
    /// The current step has been started (perhaps by a process that is gone).
    pub started: bool,
    /// Remote tasks that were journaled and whose end was not, by step.
    pub tasks: BTreeMap<String, String>,
    /// The last remote task that was journaled of each step, however it ended.
    pub last_tasks: BTreeMap<String, String>,
    /// Steps of which more may have been asked for than the journal tells: another process was at work on them, or their
    /// outcome was unknown.
    pub unsure: BTreeSet<String>,
    /// The undo of the last step of `to_undo` has been started (perhaps by a process that is gone).
    pub undo_started: bool,
    /// The remote task of the undo at work.
    pub undo_task: Option<String>,
    /// How often the undo at work has failed since somebody asked for it.
    pub undo_failures: u32,
    /// Why it failed last.
    pub undo_failure: Option<Fault>,
    pub outputs: BTreeMap<String, Value>,
    pub timings: BTreeMap<String, Timing>,
    /// How often a step's outcome was unknown or its undo failed, by step.
    pub doubts: BTreeMap<String, u32>,
    /// Steps that reached `started` and are not undone, in order of starting.
    pub to_undo: Vec<String>,
    /// Something was undone, or tried to be: there is no way forward any more.
    pub undo_begun: bool,
    /// The operator ordered the unwinding: nothing is kept for inspection.
    pub unwind_ordered: bool,
    /// Id of the job that begins anew when this one is rolled back.
    pub successor: Option<String>,
    /// That job exists, or cannot be made.
    pub successor_settled: bool,
    /// Who drives the job, if it was ever taken over.
    pub companion: Option<String>,
    pub failure: Option<Fault>,
    pub console: Vec<String>,
    pub leftovers: Vec<String>,
    pub created_ms: u64,
    /// When the first step was started.
    pub begun_ms: Option<u64>,
    /// From when the job's deadline counts: the first step's start, or the last retry.
    pub timed_ms: Option<u64>,
    pub ended_ms: Option<u64>,
    /// Of the guest, once it is ready.
    pub life: Life,
    /// How many events were folded: the next event's `seq`.
    pub events: u64,
}

/// What lists and the queue need of a job; kept beside its journal, always made from the folded state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outline {
    pub phase: Phase,
    /// The step at work, or where it failed.
    pub step: Option<String>,
    pub failure: Option<Fault>,
    /// Takes a place of its resources' limits.
    pub works: bool,
    /// Somebody must drive it.
    pub open: bool,
    /// Its guest's name is not free; of a change: its guest takes no other change.
    pub live: bool,
    pub ended_ms: Option<u64>,
    /// The guest is ready, and gone once it stops.
    pub ephemeral: bool,
    /// When the guest is destroyed, in milliseconds since the Unix epoch.
    pub due_ms: Option<u64>,
    /// When somebody must attend to that next.
    pub attend_ms: Option<u64>,
}

/// An event that cannot follow what was before; the job then needs an operator, nothing is guessed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("event {seq} does not fit the job's journal: {what}")]
pub struct IllegalEvent {
    pub seq: u64,
    pub what: &'static str,
}

/// Folds a whole journal. Empty or not beginning with `created`: illegal.
pub fn fold(events: &[Recorded]) -> Result<State, IllegalEvent> {
    let (first, rest) = events.split_first().ok_or(IllegalEvent { seq: 0, what: "the journal is empty" })?;
    let mut state = State::created(first)?;
    for event in rest {
        state.apply(event)?;
    }
    Ok(state)
}

impl State {
    /// The state after the first event.
    pub fn created(first: &Recorded) -> Result<Self, IllegalEvent> {
        let Event::Created(spec) = &first.event else {
            return Err(IllegalEvent { seq: first.seq, what: "the first event is not `created`" });
        };
        if first.seq != 0 || spec.steps.is_empty() {
            return Err(IllegalEvent { seq: first.seq, what: "`created` has a wrong number or no steps" });
        }
        Ok(Self {
            spec: spec.clone(),
            phase: Phase::Queued,
            current: 0,
            started: false,
            tasks: BTreeMap::new(),
            last_tasks: BTreeMap::new(),
            unsure: BTreeSet::new(),
            undo_started: false,
            undo_task: None,
            undo_failures: 0,
            undo_failure: None,
            outputs: BTreeMap::new(),
            timings: BTreeMap::new(),
            doubts: BTreeMap::new(),
            to_undo: Vec::new(),
            undo_begun: false,
            unwind_ordered: false,
            successor: None,
            successor_settled: false,
            companion: None,
            failure: None,
            console: Vec::new(),
            leftovers: Vec::new(),
            created_ms: first.at_ms,
            begun_ms: None,
            timed_ms: None,
            ended_ms: None,
            life: Life::default(),
            events: 1,
        })
    }

    /// The step that is at work or comes next.
    pub fn current_step(&self) -> Option<&StepInfo> {
        self.spec.steps.get(self.current)
    }

    /// The job keeps its guest on failure, and nobody has ordered otherwise.
    pub fn keeps(&self) -> bool {
        self.spec.keep_on_failure && !self.unwind_ordered
    }

    /// A retry of the failed step is possible.
    pub fn can_retry(&self) -> bool {
        self.phase == Phase::NeedsOperator && !self.undo_begun && self.current < self.spec.steps.len()
    }

    /// The job takes a place of its resources' limits.
    pub fn works(&self) -> bool {
        match self.phase {
            Phase::Running => !self.spec.steps.iter().take(self.current).any(|step| step.waits),
            Phase::Unwinding => true,
            _ => false,
        }
    }

    /// Rolled back, and the job that begins anew is still to be made.
    pub fn owes_successor(&self) -> bool {
        self.phase == Phase::RolledBack && self.successor.is_some() && !self.successor_settled
    }

    /// A step is at work that cannot be left before its outcome is known.
    pub fn is_committed(&self) -> bool {
        self.started && self.phase == Phase::Running
    }

    /// What the store keeps beside the journal.
    pub fn outline(&self) -> Outline {
        Outline {
            phase: self.phase,
            step: self.current_step().map(|info| info.name.clone()),
            failure: self.failure.clone(),
            works: self.works(),
            open: !self.phase.is_final() || self.owes_successor(),
            live: !(self.phase.is_gone() || self.phase == Phase::Done && self.spec.change_of.is_some()),
            ended_ms: self.ended_ms,
            ephemeral: self.is_ephemeral(),
            due_ms: self.due_ms(),
            attend_ms: (self.phase == Phase::Done).then(|| self.life.attend_ms(&self.spec)).flatten(),
        }
    }

    /// When the guest, which is ready, is destroyed, in milliseconds since the Unix epoch.
    pub fn due_ms(&self) -> Option<u64> {
        (self.phase == Phase::Done).then(|| self.life.due_ms(&self.spec)).flatten()
    }

    /// What is to be done about the time of the guest.
    pub fn attend(&self, now_ms: u64) -> Attend {
        if self.phase == Phase::Done { self.life.attend(&self.spec, now_ms) } else { Attend::Nothing }
    }

    /// The operator's last word on the guest's time is just this.
    pub fn is_kept_so(&self, until_ms: Option<u64>, promoted: bool) -> bool {
        self.life.kept.is_some_and(|kept| kept.until_ms == until_ms) && (self.life.promoted || !promoted)
    }

    /// The guest is ready, and gone once it stops.
    pub fn is_ephemeral(&self) -> bool {
        self.phase == Phase::Done && self.spec.ephemeral && !self.life.promoted
    }

    /// Takes one more event; on an illegal one the state is unchanged.
    pub fn apply(&mut self, recorded: &Recorded) -> Result<(), IllegalEvent> {
        let illegal = |what| Err(IllegalEvent { seq: recorded.seq, what });
        if recorded.seq != self.events {
            return illegal("its number is not the next one");
        }
        match self.misfit(&recorded.event) {
            Some(what) => illegal(what),
            None => {
                self.take(&recorded.event, recorded.at_ms);
                self.events += 1;
                Ok(())
            }
        }
    }

    /// Why the event cannot come now; none: it can.
    pub fn misfit(&self, event: &Event) -> Option<&'static str> {
        let unless = |fits: bool, what| (!fits).then_some(what);
        match event {
            Event::Created(_) => Some("a job is created once"),
            Event::TakenOver { .. } => None,
            Event::StepStarted { step } => {
                let begins = matches!(self.phase, Phase::Queued | Phase::Running) && !self.started;
                let next = self.current_step().is_some_and(|info| info.name == *step);
                unless(begins, "no step may start now").or(unless(next, "this step is not the next one"))
            }
            Event::StepProgress { step, .. } => {
                // A task that nobody knew of may be found while its step is undone.
                let undone = self.phase == Phase::Unwinding && self.to_undo.last() == Some(step);
                unless(self.is_at(step) || undone, "progress of a step that is not at work")
            }
            Event::StepUncertain { step, .. } => {
                unless(self.is_at(step), "doubt about a step that is not at work")
            }
            Event::StepSucceeded { step, .. } => {
                unless(self.is_at(step), "success of a step that is not at work")
            }
            Event::StepFailed { step, .. } => {
                unless(self.is_at(step), "failure of a step that is not at work")
            }
            Event::UnwindRequested { successor, .. } => {
                // What unwinds already can still be given a successor, or lose it.
                let news = self.phase != Phase::Unwinding || self.keeps() || self.successor != *successor;
                unless(!self.phase.is_gone() && news, "there is nothing to unwind")
            }
            Event::UndoStarted { step }
            | Event::UndoProgress { step, .. }
            | Event::UndoFailed { step, .. }
            | Event::UndoFinished { step } => {
                let next = self.phase == Phase::Unwinding && self.to_undo.last() == Some(step);
                unless(next, "this step is not the next one to undo")
                    .or(unless(!self.keeps(), "the guest is kept"))
            }
            Event::NeedsOperator { .. } => unless(!self.phase.is_final(), "the job has ended already"),
            Event::RetryRequested { .. } => unless(self.can_retry(), "no step can be tried again"),
            Event::Abandoned { .. } => {
                unless(self.phase == Phase::NeedsOperator, "only what needs an operator can be abandoned")
            }
            Event::Kept { .. } => {
                let lives = !self.phase.is_gone() && self.phase != Phase::Unwinding;
                unless(lives, "the guest is being undone, or gone")
            }
            Event::DueSoon { due_ms } => unless(self.due_ms() == Some(*due_ms), "the guest is not due then"),
            Event::Swept { .. } => unless(self.phase == Phase::RolledBack, "the job is not rolled back"),
            Event::SuccessorSettled { .. } => unless(self.owes_successor(), "no job is to begin anew"),
        }
    }

    /// What the event means; it fits.
    fn take(&mut self, event: &Event, at: u64) {
        match event {
            Event::Created(_) | Event::Swept { .. } => {}
            Event::TakenOver { companion, .. } => {
                self.companion = Some(companion.clone());
                let at_work = self.current_step().filter(|_| self.started).map(|info| info.name.clone());
                self.unsure.extend(at_work);
            }
            Event::StepStarted { step } => {
                let waits = self.current_step().is_some_and(|info| info.waits);
                self.started = true;
                self.phase = if waits { Phase::Waiting } else { Phase::Running };
                self.begun_ms.get_or_insert(at);
                self.timed_ms.get_or_insert(at);
                self.timings.insert(step.clone(), Timing { started_ms: at, ended_ms: None });
                if !self.to_undo.contains(step) {
                    self.to_undo.push(step.clone());
                }
            }
            Event::StepProgress { step, task } => {
                self.tasks.insert(step.clone(), task.clone());
                self.last_tasks.insert(step.clone(), task.clone());
            }
            Event::StepUncertain { step, .. } => {
                self.doubt(step);
                self.unsure.insert(step.clone());
            }
            Event::StepSucceeded { step, output } => {
                self.end_step(step, at);
                self.unsure.remove(step);
                self.outputs.insert(step.clone(), output.clone());
                self.current += 1;
                if self.current == self.spec.steps.len() {
                    self.phase = Phase::Done;
                    self.ended_ms = Some(at);
                    self.life.ready_ms = Some(at);
                } else {
                    self.phase = Phase::Running;
                }
            }
            Event::StepFailed { step, fault, console } => {
                self.end_step(step, at);
                self.failure = Some(fault.clone());
                self.console.clone_from(console);
                self.phase = Phase::Unwinding;
            }
            Event::UnwindRequested { fault, successor, .. } => {
                self.started = false;
                self.leftovers.clear();
                // An ended deadline is a failure like others: `keep_on_failure` still counts.
                self.unwind_ordered |= fault.code != JOB_DEADLINE;
                self.undo_started = false;
                self.undo_failures = 0;
                self.successor.clone_from(successor);
                // Why it failed is worth more than why it was tidied up.
                self.failure.get_or_insert_with(|| fault.clone());
                self.unwind(at);
            }
            Event::UndoStarted { .. } => (self.undo_begun, self.undo_started) = (true, true),
            Event::UndoProgress { task, .. } => self.undo_task = Some(task.clone()),
            Event::UndoFailed { step, fault } => {
                self.undo_task = None;
                self.undo_failures = self.undo_failures.saturating_add(1);
                self.undo_failure = Some(fault.clone());
                self.doubt(step);
            }
            Event::UndoFinished { step } => {
                self.undo_started = false;
                self.undo_task = None;
                self.undo_failures = 0;
                self.undo_failure = None;
                self.tasks.remove(step);
                self.to_undo.pop();
                self.unwind(at);
            }
            Event::NeedsOperator { fault, leftovers } => {
                self.failure.get_or_insert_with(|| fault.clone());
                self.leftovers.clone_from(leftovers);
                self.started = false;
                self.phase = Phase::NeedsOperator;
                self.ended_ms = Some(at);
            }
            Event::RetryRequested { .. } => {
                self.failure = None;
                self.console.clear();
                self.leftovers.clear();
                self.timed_ms = Some(at);
                self.ended_ms = None;
                self.phase = Phase::Running;
            }
            Event::SuccessorSettled { .. } => self.successor_settled = true,
            Event::Kept { until_ms, promoted, .. } => {
                self.life.kept = Some(Kept { said_ms: at, until_ms: *until_ms });
                self.life.promoted |= *promoted;
            }
            Event::DueSoon { due_ms } => self.life.told_ms = Some(*due_ms),
            Event::Abandoned { .. } => {
                self.phase = Phase::Abandoned;
                self.ended_ms = Some(at);
            }
        }
    }

    fn doubt(&mut self, step: &str) {
        let doubts = self.doubts.entry(step.to_owned()).or_default();
        *doubts = doubts.saturating_add(1);
    }

    fn unwind(&mut self, at: u64) {
        if self.to_undo.is_empty() {
            self.phase = Phase::RolledBack;
            self.ended_ms = Some(at);
        } else {
            self.phase = Phase::Unwinding;
            self.ended_ms = None;
        }
    }

    fn is_at(&self, step: &str) -> bool {
        self.started
            && matches!(self.phase, Phase::Running | Phase::Waiting)
            && self.current_step().is_some_and(|info| info.name == step)
    }

    fn end_step(&mut self, step: &str, at: u64) {
        self.started = false;
        self.tasks.remove(step);
        if let Some(timing) = self.timings.get_mut(step) {
            timing.ended_ms = Some(at);
        }
    }
}

#[cfg(test)]
mod tests;

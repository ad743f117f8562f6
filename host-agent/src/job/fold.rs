//! From events to state: pure, total, and the only place that says what an event means.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::event::{Event, Recorded, StepInfo};
use crate::outcome::Fault;

/// A job's state as people see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    Queued,
    Running,
    Waiting,
    Unwinding,
    Done,
    RolledBack,
    NeedsOperator,
    Abandoned,
}

impl Phase {
    /// Nothing more will happen unless somebody asks.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Done | Self::RolledBack | Self::NeedsOperator | Self::Abandoned)
    }

    /// The guest's name is free again.
    pub fn is_gone(self) -> bool {
        matches!(self, Self::RolledBack | Self::Abandoned)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Unwinding => "unwinding",
            Self::Done => "done",
            Self::RolledBack => "rolled-back",
            Self::NeedsOperator => "needs-operator",
            Self::Abandoned => "abandoned",
        }
    }
}

/// When a step began and ended, in milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    pub started_ms: u64,
    pub ended_ms: Option<u64>,
}

/// Everything known about a job.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    pub guest: String,
    pub backend: String,
    pub spec: Value,
    pub steps: Vec<StepInfo>,
    pub keep_on_failure: bool,
    pub phase: Phase,
    /// Index of the first step that has not succeeded.
    pub current: usize,
    /// The current step has been started (perhaps by a process that is gone).
    pub started: bool,
    /// The remote task of the current step, if one was journaled.
    pub task: Option<String>,
    pub outputs: BTreeMap<String, Value>,
    pub timings: BTreeMap<String, Timing>,
    /// Steps that reached `started` and are not undone, in order of starting.
    pub to_undo: Vec<String>,
    /// The operator ordered the unwinding: nothing is kept for inspection.
    pub unwind_ordered: bool,
    pub failure: Option<Fault>,
    pub console: Vec<String>,
    pub leftovers: Vec<String>,
    pub created_ms: u64,
    pub ended_ms: Option<u64>,
    /// How many events were folded: the next event's `seq`.
    pub events: u64,
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
        let Event::Created { guest, backend, spec, steps, keep_on_failure } = &first.event else {
            return Err(IllegalEvent { seq: first.seq, what: "the first event is not `created`" });
        };
        if first.seq != 0 || steps.is_empty() {
            return Err(IllegalEvent { seq: first.seq, what: "`created` has a wrong number or no steps" });
        }
        Ok(Self {
            guest: guest.clone(),
            backend: backend.clone(),
            spec: spec.clone(),
            steps: steps.clone(),
            keep_on_failure: *keep_on_failure,
            phase: Phase::Queued,
            current: 0,
            started: false,
            task: None,
            outputs: BTreeMap::new(),
            timings: BTreeMap::new(),
            to_undo: Vec::new(),
            unwind_ordered: false,
            failure: None,
            console: Vec::new(),
            leftovers: Vec::new(),
            created_ms: first.at_ms,
            ended_ms: None,
            events: 1,
        })
    }

    /// The step that is at work or comes next.
    pub fn current_step(&self) -> Option<&StepInfo> {
        self.steps.get(self.current)
    }

    /// Takes one more event; on an illegal one the state is unchanged.
    pub fn apply(&mut self, recorded: &Recorded) -> Result<(), IllegalEvent> {
        let illegal = |what| Err(IllegalEvent { seq: recorded.seq, what });
        if recorded.seq != self.events {
            return illegal("its number is not the next one");
        }
        let at = recorded.at_ms;
        match &recorded.event {
            Event::Created { .. } => return illegal("a job is created once"),
            Event::StepStarted { step } => {
                if !matches!(self.phase, Phase::Queued | Phase::Running | Phase::Waiting) || self.started {
                    return illegal("no step may start now");
                }
                let waits = match self.current_step() {
                    Some(info) if info.name == *step => info.waits,
                    _ => return illegal("this step is not the next one"),
                };
                self.started = true;
                self.phase = if waits { Phase::Waiting } else { Phase::Running };
                self.timings.insert(step.clone(), Timing { started_ms: at, ended_ms: None });
                self.to_undo.push(step.clone());
            }
            Event::StepProgress { step, task } => {
                if !self.is_at(step) {
                    return illegal("progress of a step that is not at work");
                }
                self.task = Some(task.clone());
            }
            Event::StepUncertain { step, .. } => {
                if !self.is_at(step) {
                    return illegal("doubt about a step that is not at work");
                }
            }
            Event::StepSucceeded { step, output } => {
                if !self.is_at(step) {
                    return illegal("success of a step that is not at work");
                }
                self.end_step(step, at);
                self.outputs.insert(step.clone(), output.clone());
                self.current += 1;
                if self.current == self.steps.len() {
                    self.phase = Phase::Done;
                    self.ended_ms = Some(at);
                } else {
                    self.phase = Phase::Running;
                }
            }
            Event::StepFailed { step, fault, console } => {
                if !self.is_at(step) {
                    return illegal("failure of a step that is not at work");
                }
                self.end_step(step, at);
                self.failure = Some(fault.clone());
                self.console.clone_from(console);
                self.phase = Phase::Unwinding;
            }
            Event::UnwindRequested { reason } => {
                if self.phase.is_gone() || self.phase == Phase::Unwinding {
                    return illegal("there is nothing to unwind");
                }
                self.started = false;
                self.task = None;
                self.leftovers.clear();
                self.unwind_ordered = true;
                self.failure = Some(Fault::new("operator", reason.clone()));
                self.unwind(at);
            }
            Event::UndoStarted { step } => {
                if self.phase != Phase::Unwinding || self.to_undo.last() != Some(step) {
                    return illegal("this step is not the next one to undo");
                }
            }
            Event::UndoFinished { step } => {
                if self.phase != Phase::Unwinding || self.to_undo.last() != Some(step) {
                    return illegal("this step is not the next one to undo");
                }
                self.to_undo.pop();
                self.unwind(at);
            }
            Event::NeedsOperator { fault, leftovers } => {
                if self.phase.is_final() {
                    return illegal("the job has ended already");
                }
                self.failure.get_or_insert_with(|| fault.clone());
                self.leftovers.clone_from(leftovers);
                self.started = false;
                self.phase = Phase::NeedsOperator;
                self.ended_ms = Some(at);
            }
        }
        self.events += 1;
        Ok(())
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
        self.task = None;
        if let Some(timing) = self.timings.get_mut(step) {
            timing.ended_ms = Some(at);
        }
    }
}

#[cfg(test)]
mod tests;

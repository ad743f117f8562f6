//! A job's journal as a timeline: step by step, what was tried, how long it took, who took it over. Pure.

use serde_json::Value;

use crate::backend::Trouble;
use crate::bringup::api::{StepState, StepView};
use crate::bringup::facts::TOLD_AT;
use crate::job::{Event, JobSpec, Recorded};
use crate::outcome::Fault;

/// One entry for each step of the spec, in their order.
pub(in crate::bringup) fn timeline(spec: &JobSpec, events: &[Recorded]) -> Vec<StepView> {
    let steps = spec.steps.iter().map(|info| StepView { name: info.name.clone(), ..StepView::default() });
    let mut line = Line { steps: steps.collect(), undo_since: vec![None; spec.steps.len()], at: 0 };
    for recorded in events {
        line.take(&recorded.event, recorded.at_ms);
    }
    line.steps
}

/// What keeps the step at work from going on, as far as the journal knows it.
pub(in crate::bringup) fn doubt(steps: &[StepView]) -> Option<Trouble> {
    let at_work = |step: &&StepView| matches!(step.state, StepState::AtWork | StepState::Undoing);
    let step = steps.iter().filter(at_work).find(|step| step.doubt_since_ms.is_some())?;
    Some(Trouble { fault: step.fault.clone()?, since_ms: step.doubt_since_ms?, next_try_ms: None })
}

struct Line {
    steps: Vec<StepView>,
    /// When each step's undo was begun.
    undo_since: Vec<Option<u64>>,
    /// Where the job stands: index of the step that was named last.
    at: usize,
}

impl Line {
    fn take(&mut self, event: &Event, at_ms: u64) {
        match event {
            Event::StepStarted { step } => self.edit(step, |view, _| {
                view.state = StepState::AtWork;
                view.attempts += 1;
                (view.started_at_ms, view.duration_ms) = (Some(at_ms), None);
                view.doubt_since_ms = None;
            }),
            Event::StepProgress { step, task } | Event::UndoProgress { step, task } => {
                self.edit(step, |view, _| {
                    view.tasks.push(task.clone());
                    view.doubt_since_ms = None;
                });
            }
            Event::StepUncertain { step, fault } => self.edit(step, |view, _| {
                view.doubts += 1;
                view.doubt_since_ms.get_or_insert(at_ms);
                view.fault = Some(fault.clone());
            }),
            Event::StepSucceeded { step, output } => {
                self.edit(step, |view, _| view.told_at_ms = output.get(TOLD_AT).and_then(Value::as_u64));
                self.ended(step, StepState::Done, None, at_ms);
            }
            Event::StepFailed { step, fault, .. } => {
                self.ended(step, StepState::Failed, Some(fault.clone()), at_ms);
            }
            Event::UndoStarted { step } => self.edit(step, |view, undo_since| {
                view.state = StepState::Undoing;
                view.doubt_since_ms = None;
                undo_since.get_or_insert(at_ms);
            }),
            Event::UndoFailed { step, fault } => self.edit(step, |view, _| {
                view.undo_failures += 1;
                view.doubt_since_ms.get_or_insert(at_ms);
                view.fault = Some(fault.clone());
            }),
            Event::UndoFinished { step } => self.edit(step, |view, undo_since| {
                view.state = StepState::Undone;
                view.doubt_since_ms = None;
                view.undo_duration_ms = undo_since.map(|since| at_ms.saturating_sub(since));
            }),
            Event::TakenOver { companion, .. } => {
                if let Some(view) = self.steps.get_mut(self.at) {
                    view.taken_over_by.push(companion.clone());
                }
            }
            Event::NeedsOperator { fault, .. } => self.stuck(fault, at_ms),
            Event::Created(_)
            | Event::UnwindRequested { .. }
            | Event::RetryRequested { .. }
            | Event::Abandoned { .. }
            | Event::SuccessorSettled { .. }
            | Event::Kept { .. }
            | Event::DueSoon { .. }
            | Event::Swept { .. } => {}
        }
    }

    fn ended(&mut self, step: &str, state: StepState, fault: Option<Fault>, at_ms: u64) {
        self.edit(step, |view, _| {
            view.state = state;
            view.doubt_since_ms = None;
            view.duration_ms = view.started_at_ms.map(|started| at_ms.saturating_sub(started));
            view.fault = fault;
        });
        if state == StepState::Done {
            self.at += 1;
        }
    }

    /// The step at work, if there is one, is where it could not go on.
    fn stuck(&mut self, fault: &Fault, at_ms: u64) {
        if let Some(view) = self.steps.get_mut(self.at).filter(|view| view.state == StepState::AtWork) {
            view.state = StepState::Failed;
            view.doubt_since_ms = None;
            view.duration_ms = view.started_at_ms.map(|started| at_ms.saturating_sub(started));
            view.fault = Some(fault.clone());
        }
    }

    fn edit(&mut self, step: &str, change: impl FnOnce(&mut StepView, &mut Option<u64>)) {
        let Some(index) = self.steps.iter().position(|view| view.name == step) else { return };
        self.at = index;
        if let (Some(view), Some(undo_since)) = (self.steps.get_mut(index), self.undo_since.get_mut(index)) {
            change(view, undo_since);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::job::StepInfo;

    fn spec(steps: &[&str]) -> JobSpec {
        let info = |name: &&str| StepInfo { name: (*name).into(), waits: false, deadline_ms: None };
        JobSpec {
            guest: "web-01".into(),
            backend: "paper".into(),
            spec: json!({}),
            steps: steps.iter().map(info).collect(),
            keep_on_failure: false,
            batch: String::new(),
            resources: vec![],
            deadline_ms: None,
            retry_of: None,
            by: String::new(),
            change_of: None,
            destroy_after_ms: None,
            ephemeral: false,
        }
    }

    fn journal(events: Vec<Event>) -> Vec<Recorded> {
        let numbered = events.into_iter().zip(0..);
        numbered.map(|(event, seq)| Recorded { seq, at_ms: seq * 10, event }).collect()
    }

    #[test]
    fn every_try_is_told() {
        let step = |name: &str| name.to_owned();
        let fault = |code: &str| Fault::new(code, "x");
        let spec = spec(&["a", "b", "c"]);
        let events = journal(vec![
            Event::Created(spec.clone()),
            Event::StepStarted { step: step("a") },
            Event::StepProgress { step: step("a"), task: "t1".into() },
            Event::StepSucceeded { step: step("a"), output: json!({ "told_at_ms": 25 }) },
            Event::StepStarted { step: step("b") },
            Event::StepUncertain { step: step("b"), fault: fault("lost") },
            Event::TakenOver { companion: "two".into(), fence: 2 },
            Event::StepFailed { step: step("b"), fault: fault("no"), console: vec![] },
            Event::UndoStarted { step: step("b") },
            Event::UndoFailed { step: step("b"), fault: fault("busy") },
            Event::UndoFinished { step: step("b") },
            Event::UndoStarted { step: step("a") },
        ]);
        let shown = timeline(&spec, &events);
        let [a, b, c] = &shown[..] else { panic!("{shown:?}") };
        assert_eq!(
            (a.state, a.duration_ms, a.tasks.as_slice()),
            (StepState::Undoing, Some(20), &["t1".to_owned()][..])
        );
        assert_eq!((a.told_at_ms, b.told_at_ms), (Some(25), None));
        assert_eq!((b.state, b.started_at_ms, b.duration_ms), (StepState::Undone, Some(40), Some(30)));
        assert_eq!((b.attempts, b.doubts, b.undo_failures, b.undo_duration_ms), (1, 1, 1, Some(20)));
        assert_eq!(
            (b.taken_over_by.as_slice(), b.fault.clone()),
            (&["two".to_owned()][..], Some(fault("busy")))
        );
        assert_eq!(c, &StepView { name: "c".into(), ..StepView::default() });
        // What stands still is told for as long as it does.
        let since = |events: &[Recorded]| {
            doubt(&timeline(&spec, events)).map(|doubt| (doubt.fault.code, doubt.since_ms))
        };
        assert_eq!(since(&events[..5]), None);
        assert_eq!(since(&events[..7]), Some(("lost".into(), 50)), "whoever drives it");
        assert_eq!(since(&events[..8]), None);
        assert_eq!(since(&events[..10]), Some(("busy".into(), 90)));
        assert_eq!(since(&events), None);
    }

    #[test]
    fn a_step_that_is_stuck_and_tried_again_is_counted_twice() {
        let spec = spec(&["a"]);
        let started = || Event::StepStarted { step: "a".into() };
        let events = journal(vec![
            Event::Created(spec.clone()),
            started(),
            Event::NeedsOperator { fault: Fault::new("unclear", "x"), leftovers: vec![] },
            Event::RetryRequested { by: "me".into() },
            started(),
        ]);
        let stuck = timeline(&spec, &events[..3]);
        assert_eq!((stuck[0].state, stuck[0].duration_ms), (StepState::Failed, Some(10)));
        let again = timeline(&spec, &events);
        assert_eq!((again[0].state, again[0].attempts, again[0].duration_ms), (StepState::AtWork, 2, None));
    }
}

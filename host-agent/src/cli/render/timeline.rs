//! From a journal to lines that people read: one for each step with how long it took, one for each thing that was asked.

use crate::job::{Event, Recorded};
use crate::outcome::Fault;

/// One line of the timeline.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Entry {
    /// Milliseconds since the epoch.
    pub(super) at_ms: u64,
    pub(super) ended_ms: Option<u64>,
    /// It has not ended.
    pub(super) open: bool,
    /// A step, `undo` and a step, or what was asked.
    pub(super) what: String,
    pub(super) outcome: String,
    /// How often it was tried again.
    pub(super) retries: u32,
    /// Tasks, faults, names.
    pub(super) detail: String,
}

impl Entry {
    fn add(&mut self, detail: &str) {
        if !detail.is_empty() && self.detail != detail {
            self.detail =
                if self.detail.is_empty() { detail.to_owned() } else { format!("{}; {detail}", self.detail) };
        }
    }
}

/// What happened, oldest first. Total: whatever the journal holds is shown, nothing is guessed.
pub(super) fn timeline(events: &[Recorded]) -> Vec<Entry> {
    let mut line = Timeline::default();
    for recorded in events {
        line.take(recorded);
    }
    line.entries
}

#[derive(Default)]
struct Timeline {
    entries: Vec<Entry>,
}

impl Timeline {
    fn take(&mut self, recorded: &Recorded) {
        let at = recorded.at_ms;
        match &recorded.event {
            Event::Created(spec) => {
                let repeats = spec.retry_of.as_ref().map(|job| format!("repeats {job}")).unwrap_or_default();
                self.point(at, "created", &by(&spec.by), &repeats);
            }
            Event::TakenOver { companion, .. } => {
                self.point(at, "taken over", &format!("by {companion}"), "");
            }
            Event::StepStarted { step } => self.begin(at, step.clone()),
            Event::StepProgress { step, task } => {
                self.at(at, step, |entry| entry.add(&format!("task {task}")))
            }
            Event::StepUncertain { step, fault } => self.at(at, step, |entry| again(entry, fault)),
            Event::StepSucceeded { step, output } => {
                let alone = step == "verify" && !output["beacon"].is_null();
                self.end(at, step, "done", if alone { "by the beacon alone: no report came" } else { "" });
            }
            Event::StepFailed { step, fault, .. } => self.end(at, step, "failed", &fault.message),
            Event::UnwindRequested { by: who, fault, successor } => {
                self.interrupt(at);
                let anew =
                    successor.as_ref().map(|job| format!("; begins anew as {job}")).unwrap_or_default();
                self.point(at, "undo asked for", &by(who), &format!("{}{anew}", fault.message));
            }
            Event::UndoStarted { step } => self.begin(at, format!("undo {step}")),
            Event::UndoProgress { step, task } => {
                self.at(at, &format!("undo {step}"), |entry| entry.add(&format!("task {task}")));
            }
            Event::UndoFailed { step, fault } => {
                self.at(at, &format!("undo {step}"), |entry| again(entry, fault))
            }
            Event::UndoFinished { step } => self.end(at, &format!("undo {step}"), "done", ""),
            Event::NeedsOperator { fault, .. } => {
                self.interrupt(at);
                self.point(at, "operator needed", "", &fault.message);
            }
            Event::RetryRequested { by: who } => self.point(at, "retry asked for", &by(who), ""),
            Event::Abandoned { by: who, reason } => self.point(at, "abandoned", &by(who), reason),
            Event::Kept { by: who, until_ms, promoted } => {
                let until = match until_ms {
                    Some(until) => format!("for {}", super::span(until.saturating_sub(at))),
                    None => "for ever".to_owned(),
                };
                let also = if *promoted { ", also when it stops" } else { "" };
                self.point(at, "kept", &by(who), &format!("{until}{also}"));
            }
            Event::DueSoon { due_ms } => {
                let left = super::span(due_ms.saturating_sub(at));
                self.point(at, "end is near", "", &format!("destroyed in {left}, unless somebody keeps it"));
            }
            Event::Swept { what } => self.point(at, "swept", "came late", &what.join(", ")),
            #[allow(
                unreachable_patterns,
                reason = "an event that is added later is shown by its name at least"
            )]
            other => {
                let kind = serde_json::to_value(other).unwrap_or_default();
                self.point(at, kind["kind"].as_str().unwrap_or("?"), "", "");
            }
        }
    }

    fn point(&mut self, at_ms: u64, what: &str, outcome: &str, detail: &str) {
        self.entries.push(Entry {
            at_ms,
            what: what.to_owned(),
            outcome: outcome.to_owned(),
            detail: detail.to_owned(),
            ..Entry::default()
        });
    }

    /// What is begun again by another process goes on.
    fn begin(&mut self, at_ms: u64, what: String) {
        if self.open(&what).is_none() {
            let outcome = "at work".to_owned();
            self.entries.push(Entry { at_ms, open: true, what, outcome, ..Entry::default() });
        }
    }

    fn open(&mut self, what: &str) -> Option<&mut Entry> {
        self.entries.iter_mut().rev().find(|entry| entry.open && entry.what == what)
    }

    /// Changes the open entry of this name; there is none in a journal that does not fit: then it is made.
    fn at(&mut self, at_ms: u64, what: &str, change: impl FnOnce(&mut Entry)) {
        if self.open(what).is_none() {
            self.begin(at_ms, what.to_owned());
        }
        if let Some(entry) = self.open(what) {
            change(entry);
        }
    }

    fn end(&mut self, at_ms: u64, what: &str, outcome: &str, detail: &str) {
        self.at(at_ms, what, |entry| {
            entry.open = false;
            entry.ended_ms = Some(at_ms);
            entry.outcome = outcome.to_owned();
            entry.add(detail);
        });
    }

    /// What was at work is left where it is.
    fn interrupt(&mut self, at_ms: u64) {
        for entry in self.entries.iter_mut().filter(|entry| entry.open) {
            entry.open = false;
            entry.ended_ms = Some(at_ms);
            entry.outcome = "left".to_owned();
            // The last attempt failed, and none came after it.
            entry.retries = entry.retries.saturating_sub(1);
        }
    }
}

fn again(entry: &mut Entry, fault: &Fault) {
    entry.retries += 1;
    entry.add(&fault.message);
}

fn by(who: &str) -> String {
    if who.is_empty() { String::new() } else { format!("by {who}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn journal(events: &[(u64, serde_json::Value)]) -> Vec<Recorded> {
        let mut journal = Vec::new();
        for (seq, (at_ms, event)) in (0..).zip(events) {
            let event = serde_json::from_value(event.clone()).unwrap();
            journal.push(Recorded { seq, at_ms: *at_ms, event });
        }
        journal
    }

    fn shown(events: &[(u64, serde_json::Value)]) -> Vec<String> {
        let line = |entry: &Entry| {
            let took = entry.ended_ms.map(|end| (end - entry.at_ms).to_string()).unwrap_or_default();
            let parts = [
                &entry.at_ms.to_string(),
                &entry.what,
                &entry.outcome,
                &took,
                &entry.retries.to_string(),
                &entry.detail,
            ];
            parts.map(String::as_str).join("|")
        };
        timeline(&journal(events)).iter().map(line).collect()
    }

    fn created() -> serde_json::Value {
        json!({"kind": "created", "guest": "a", "backend": "b", "spec": {}, "keep_on_failure": false, "by": "root",
            "steps": [{"name": "restore", "waits": false}]})
    }

    #[test]
    fn a_step_is_one_line_with_its_tries_and_tasks() {
        let fault = json!({"code": "timeout", "message": "no answer"});
        assert_eq!(
            shown(&[
                (100, created()),
                (150, json!({"kind": "step-started", "step": "restore"})),
                (160, json!({"kind": "step-uncertain", "step": "restore", "fault": fault})),
                (170, json!({"kind": "taken-over", "companion": "second", "fence": 7})),
                (180, json!({"kind": "step-progress", "step": "restore", "task": "UPID:1"})),
                (400, json!({"kind": "step-succeeded", "step": "restore", "output": {}})),
            ]),
            [
                "100|created|by root||0|",
                "150|restore|done|250|1|no answer; task UPID:1",
                "170|taken over|by second||0|",
            ]
        );
    }

    #[test]
    fn what_was_asked_and_undone_is_told() {
        let fault = |message: &str| json!({"code": "operator", "message": message});
        assert_eq!(
            shown(&[
                (0, created()),
                (1, json!({"kind": "step-started", "step": "restore"})),
                (
                    5,
                    json!({"kind": "unwind-requested", "by": "anna", "fault": fault("wrong golden"), "successor": "j2"})
                ),
                (6, json!({"kind": "undo-started", "step": "restore"})),
                (8, json!({"kind": "undo-failed", "step": "restore", "fault": fault("locked")})),
                (9, json!({"kind": "undo-started", "step": "restore"})),
                (11, json!({"kind": "undo-finished", "step": "restore"})),
                (50, json!({"kind": "swept", "what": ["volume x"]})),
            ]),
            [
                "0|created|by root||0|",
                "1|restore|left|4|0|",
                "5|undo asked for|by anna||0|wrong golden; begins anew as j2",
                "6|undo restore|done|5|1|locked",
                "50|swept|came late||0|volume x",
            ]
        );
    }

    #[test]
    fn a_journal_that_does_not_fit_is_shown_all_the_same() {
        let line = shown(&[(3, json!({"kind": "step-succeeded", "step": "x", "output": null}))]);
        assert_eq!(line, ["3|x|done|0|0|"]);
        assert!(timeline(&[]).is_empty());
    }
}

//! From the journal: steps, the hypervisor's tasks in them, undoing, and what was asked. Times are absolute here.

use std::collections::BTreeSet;

use super::super::bound;
use super::{Outcome, Side, Span, SpanKind};
use crate::job::{Event, JobSpec, Recorded};
use crate::outcome::Fault;

/// The journal as spans.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) spans: Vec<Span>,
    pub(super) later: Vec<Span>,
    /// When the last step was done: the guest was ready.
    pub(super) ready_at_ms: Option<u64>,
    /// When the guest may have been started first. None: somebody else started it.
    pub(super) started_at_ms: Option<u64>,
}

/// The step that starts the guest.
const START: &str = "start";
const QUEUE: &str = "queue";
/// Of a journal that holds more, the rest is not shown.
const SPANS: usize = 2000;

/// Total: whatever the journal holds is shown, nothing is guessed.
pub(super) fn told(events: &[Recorded]) -> Told {
    let mut line = Line::default();
    for recorded in events {
        line.take(recorded);
    }
    line.told
}

#[derive(Default)]
struct Line {
    told: Told,
    steps: usize,
    waits: BTreeSet<String>,
    succeeded: BTreeSet<String>,
    queued: bool,
}

impl Line {
    fn take(&mut self, recorded: &Recorded) {
        let at = recorded.at_ms;
        match &recorded.event {
            Event::Created(spec) => self.created(at, spec),
            Event::TakenOver { companion, .. } => self.mark(at, "taken over", &format!("by {companion}")),
            Event::StepStarted { step } => {
                self.unqueue(at);
                if step == START {
                    self.told.started_at_ms.get_or_insert(at);
                }
                let kind = if self.waits.contains(step) { SpanKind::Wait } else { SpanKind::Step };
                self.begin(at, kind, step);
            }
            Event::StepProgress { step, task } => self.task(at, step, task),
            Event::StepUncertain { step, fault } => self.at(step, |span| again(span, fault)),
            Event::StepSucceeded { step, output } => {
                let alone = step == "verify" && !output["beacon"].is_null();
                let detail = if alone { "by the beacon alone: no report came" } else { "" };
                self.end(at, step, Outcome::Done, detail);
                self.succeeded.insert(step.clone());
                if self.succeeded.len() == self.steps {
                    self.told.ready_at_ms.get_or_insert(at);
                }
            }
            Event::StepFailed { step, fault, .. } => self.end(at, step, Outcome::Failed, &fault.message),
            Event::UnwindRequested { by, fault, successor } => {
                self.unqueue(at);
                self.interrupt(at);
                let anew =
                    successor.as_ref().map(|job| format!("; begins anew as {job}")).unwrap_or_default();
                self.mark(at, "undo asked for", &format!("{}{}{anew}", who(by), fault.message));
            }
            Event::UndoStarted { step } => self.begin(at, SpanKind::Undo, &undo(step)),
            Event::UndoProgress { step, task } => self.task(at, &undo(step), task),
            Event::UndoFailed { step, fault } => self.at(&undo(step), |span| again(span, fault)),
            Event::UndoFinished { step } => self.end(at, &undo(step), Outcome::Done, ""),
            Event::NeedsOperator { fault, .. } => {
                self.interrupt(at);
                self.mark(at, "operator needed", &fault.message);
            }
            Event::RetryRequested { by } => self.mark(at, "retry asked for", who(by).trim_end_matches(": ")),
            Event::Abandoned { by, reason } => self.mark(at, "abandoned", &format!("{}{reason}", who(by))),
            Event::Kept { by, until_ms, .. } => {
                let until = until_ms.map_or_else(
                    || "for ever".to_owned(),
                    |until| format!("until {}", crate::clock::utc(until)),
                );
                self.mark(at, "kept", &format!("{}{until}", who(by)));
            }
            Event::DueSoon { due_ms } => {
                let due = crate::clock::utc(*due_ms);
                self.mark(at, "end is near", &format!("destroyed at {due}, unless somebody keeps it"));
            }
            Event::SuccessorSettled { fault } => {
                let detail = fault.as_ref().map(|fault| fault.message.clone()).unwrap_or_default();
                self.mark(at, "new job settled", &detail);
            }
            Event::Swept { what } => self.mark(at, "swept", &what.join(", ")),
        }
    }

    fn created(&mut self, at: u64, spec: &JobSpec) {
        self.steps = spec.steps.len();
        self.waits = spec.steps.iter().filter(|step| step.waits).map(|step| step.name.clone()).collect();
        self.queued = true;
        self.push(fresh(at, SpanKind::Queue, QUEUE, 0));
    }

    /// The first step begins, or nothing will.
    fn unqueue(&mut self, at: u64) {
        if std::mem::take(&mut self.queued) {
            self.end(at, QUEUE, Outcome::Done, "");
        }
    }

    fn push(&mut self, span: Span) {
        let list = if self.told.ready_at_ms.is_some() { &mut self.told.later } else { &mut self.told.spans };
        if list.len() < SPANS {
            list.push(span);
        }
    }

    fn mark(&mut self, at: u64, name: &str, detail: &str) {
        let mut span = fresh(at, SpanKind::Mark, name, 0);
        (span.took_ms, span.outcome) = (Some(0), Outcome::Done);
        span.detail = bound::line(detail);
        self.push(span);
    }

    /// What is begun again by another process goes on.
    fn begin(&mut self, at: u64, kind: SpanKind, name: &str) {
        if self.open(name).is_none() {
            self.push(fresh(at, kind, name, 0));
        }
    }

    fn open(&mut self, name: &str) -> Option<usize> {
        let name = bound::word(name);
        let is_it = |span: &Span| span.took_ms.is_none() && span.depth == 0 && span.name == name;
        self.list().iter().rposition(is_it)
    }

    fn list(&mut self) -> &mut Vec<Span> {
        if self.told.ready_at_ms.is_some() { &mut self.told.later } else { &mut self.told.spans }
    }

    fn at(&mut self, name: &str, change: impl FnOnce(&mut Span)) {
        if let Some(index) = self.open(name)
            && let Some(span) = self.list().get_mut(index)
        {
            change(span);
        }
    }

    fn task(&mut self, at: u64, name: &str, task: &str) {
        let Some(index) = self.open(name) else { return };
        let list = self.list();
        close(&mut list[index + 1..], at, Outcome::Done);
        let deeper = list[index + 1..].iter().take_while(|span| span.depth > 0).count();
        if list.len() < SPANS {
            list.insert(index + 1 + deeper, fresh(at, SpanKind::Task, task, 1));
        }
    }

    fn end(&mut self, at: u64, name: &str, outcome: Outcome, detail: &str) {
        let Some(index) = self.open(name) else { return };
        let list = self.list();
        close(&mut list[index..], at, outcome);
        add(&mut list[index], detail);
    }

    /// What was at work is left where it is.
    fn interrupt(&mut self, at: u64) {
        close(self.list(), at, Outcome::Left);
    }
}

/// Of the span at the beginning and what is part of it, what is open.
fn close(spans: &mut [Span], at: u64, outcome: Outcome) {
    for span in spans.iter_mut().filter(|span| span.took_ms.is_none()) {
        span.took_ms = Some(at.saturating_sub(span.starts_ms));
        span.outcome = outcome;
    }
}

fn fresh(at: u64, kind: SpanKind, name: &str, depth: u8) -> Span {
    Span {
        side: if kind == SpanKind::Task { Side::Hypervisor } else { Side::Host },
        kind,
        name: bound::word(name),
        starts_ms: at,
        took_ms: None,
        depth,
        outcome: Outcome::AtWork,
        retries: 0,
        detail: String::new(),
    }
}

fn again(span: &mut Span, fault: &Fault) {
    span.retries += 1;
    add(span, &fault.message);
}

/// The same message again says nothing.
fn add(span: &mut Span, detail: &str) {
    let detail = bound::line(detail);
    if detail.is_empty() || span.detail.split("; ").any(|part| part == detail) {
        return;
    }
    if !span.detail.is_empty() {
        span.detail.push_str("; ");
    }
    span.detail.push_str(&detail);
    span.detail = span.detail.chars().take(2000).collect();
}

fn undo(step: &str) -> String {
    format!("undo {step}")
}

fn who(by: &str) -> String {
    if by.is_empty() { String::new() } else { format!("by {by}: ") }
}

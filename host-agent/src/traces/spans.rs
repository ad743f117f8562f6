//! A bring-up's timeline as spans. Pure; ids follow from the job, so that what is sent twice is the same.

use sha2::{Digest as _, Sha256};

use super::otlp::{Attribute, Event, Span};
use crate::bringup::Told;
use crate::ending::Ending;
use crate::job;
use crate::outcome::Fault;
use crate::report::{Outcome, Side, SpanKind, Timeline};

/// Of a trace, of the specification: 16 bytes.
const TRACE: usize = 16;
const SPAN: usize = 8;

/// The root first. `seq`: of the event that ended it.
pub(super) fn spans(told: &Told, line: &Timeline, seq: u64) -> Vec<Span> {
    let job = &told.view.job;
    let trace = trace_id(job);
    let id = |index: usize| hash(&format!("{job}/{seq}/{index}"), SPAN);
    let name = if told.view.change_of.is_some() { "change" } else { "bring-up" };
    let end = told.at_ms.max(line.begins_at_ms.saturating_add(line.length_ms));
    // What went wrong before an operator helped is in the spans of its steps.
    let went_well = matches!(told.ending, Ending::Ready | Ending::Changed);
    let failure = told.view.failure.as_ref().filter(|_| !went_well);
    let mut root = Span::new(
        (trace.clone(), id(0), String::new()),
        name,
        (line.begins_at_ms, end),
        failure.map(|fault| fault.message.as_str()),
    );
    root.attributes = of_root(told, failure);
    root.events = of_job(&told.events);
    let mut spans = vec![root];
    // The latest span of each depth is the parent of what is deeper.
    let mut parents: Vec<String> = vec![id(0)];
    for (index, one) in line.spans.iter().enumerate() {
        let depth = usize::from(one.depth).min(parents.len() - 1);
        parents.truncate(depth + 1);
        let parent = parents.last().cloned().unwrap_or_default();
        let own = id(index + 1);
        parents.push(own.clone());
        let starts = line.begins_at_ms.saturating_add(one.starts_ms);
        let ends = line.begins_at_ms.saturating_add(one.ends_ms(line));
        let failed = (one.outcome == Outcome::Failed).then_some(one.detail.as_str());
        let mut span = Span::new((trace.clone(), own, parent), &one.name, (starts, ends.max(starts)), failed);
        span.attributes = vec![
            Attribute::text("firstlight.side", side(one.side)),
            Attribute::text("firstlight.kind", kind(one.kind)),
        ];
        if one.retries > 0 {
            span.attributes.push(Attribute::number("firstlight.retries", u64::from(one.retries)));
        }
        if matches!(one.kind, SpanKind::Step | SpanKind::Wait | SpanKind::Undo) {
            span.events = of_step(&told.events, &one.name, (starts, ends));
        }
        spans.push(span);
    }
    joined(&mut spans, line);
    spans
}

fn joined(spans: &mut [Span], line: &Timeline) {
    if let (Some(join), Some(root)) = (&line.join, spans.first_mut()) {
        root.attributes.push(Attribute::text("firstlight.guest_clock", &join.means));
    }
}

fn of_root(told: &Told, failure: Option<&Fault>) -> Vec<Attribute> {
    let view = &told.view;
    let trust = view.trust.map(|trust| trust.as_str());
    let mut attributes = vec![
        Attribute::text("firstlight.guest", &view.name),
        Attribute::text("firstlight.job", &view.job),
        Attribute::text("firstlight.backend", &view.backend),
        Attribute::text("firstlight.ending", told.ending.as_str()),
    ];
    let optional = [
        ("firstlight.trust", trust),
        ("firstlight.golden", told.golden.as_deref()),
        ("firstlight.batch", Some(view.batch.as_str()).filter(|batch| !batch.is_empty())),
        ("error.type", failure.map(|fault| fault.code.as_str())),
    ];
    attributes.extend(optional.into_iter().filter_map(|(key, value)| Some(Attribute::text(key, value?))));
    attributes
}

/// What happened to the job as a whole.
fn of_job(events: &[job::Recorded]) -> Vec<Event> {
    let told = |recorded: &job::Recorded| match &recorded.event {
        job::Event::TakenOver { companion, .. } => {
            let by = vec![Attribute::text("firstlight.companion", companion)];
            Some(Event::new(recorded.at_ms, "taken over", by))
        }
        job::Event::UnwindRequested { fault, .. } => {
            Some(Event::new(recorded.at_ms, "unwind", vec![Attribute::text("firstlight.code", &fault.code)]))
        }
        job::Event::RetryRequested { .. } => Some(Event::new(recorded.at_ms, "retry requested", Vec::new())),
        _ => None,
    };
    events.iter().filter_map(told).collect()
}

/// What was tried again while the step was at work.
fn of_step(events: &[job::Recorded], name: &str, (starts, ends): (u64, u64)) -> Vec<Event> {
    let within = events.iter().filter(|recorded| (starts..=ends).contains(&recorded.at_ms));
    let told = |recorded: &job::Recorded| match &recorded.event {
        job::Event::StepUncertain { step, fault } | job::Event::UndoFailed { step, fault }
            if step == name =>
        {
            let why = vec![
                Attribute::text("firstlight.code", &fault.code),
                Attribute::text("firstlight.message", &fault.message),
            ];
            Some(Event::new(recorded.at_ms, "retry", why))
        }
        _ => None,
    };
    within.filter_map(told).collect()
}

/// The job's id behind zeros.
fn trace_id(job: &str) -> String {
    let is_id = job.len() <= 2 * TRACE && job.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'));
    if is_id && job.chars().any(|c| c != '0') { format!("{job:0>32}") } else { hash(job, TRACE) }
}

fn hash(text: &str, length: usize) -> String {
    let digest = Sha256::digest(text.as_bytes());
    hex::encode(digest.get(..length).unwrap_or_default())
}

fn side(side: Side) -> &'static str {
    match side {
        Side::Host => "host",
        Side::Hypervisor => "hypervisor",
        Side::Guest => "guest",
    }
}

fn kind(kind: SpanKind) -> &'static str {
    match kind {
        SpanKind::Queue => "queue",
        SpanKind::Step => "step",
        SpanKind::Wait => "wait",
        SpanKind::Undo => "undo",
        SpanKind::Task => "task",
        SpanKind::Boot => "boot",
        SpanKind::Unit => "unit",
        SpanKind::Identity => "identity",
        SpanKind::Checks => "checks",
        SpanKind::Check => "check",
        SpanKind::Report => "report",
        SpanKind::Mark => "mark",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_has_the_jobs_own_id() {
        assert_eq!(trace_id("1a203da0c31f6409a5"), "000000000000001a203da0c31f6409a5");
        for other in ["j1", "", "1A203DA0C31F6409A5", &"0".repeat(32), &"a".repeat(33)] {
            let id = trace_id(other);
            assert!(id.len() == 32 && id.chars().any(|c| c != '0') && id != other, "{other}: {id}");
        }
    }
}

//! Where the time went: the companion's steps, the hypervisor's tasks and the guest's boot on one line.

mod guest;
mod host;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::bringup::ReportView;
use crate::job::Recorded;

/// Spans in the order of their beginnings; what is part of another comes after it, deeper.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Timeline {
    /// Where the line begins, in milliseconds since the Unix epoch by the companion's clock: the request, or the guest's
    /// boot where that came first.
    pub begins_at_ms: u64,
    /// Up to the end of the last span; of a job at work, up to now.
    pub length_ms: u64,
    /// From the line's beginning until the guest was ready.
    pub ready_ms: Option<u64>,
    /// The bring-up.
    pub spans: Vec<Span>,
    /// What happened after the guest was ready: kept, destroyed, swept.
    pub later: Vec<Span>,
    /// How the guest's clock was put beside the companion's. None: there is nothing of the guest.
    pub join: Option<Join>,
}

/// Something that took time, or happened at a moment (then it took 0 ms).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Span {
    pub side: Side,
    pub kind: SpanKind,
    /// A step, a task's id, a phase, a unit, a check, or what was asked.
    pub name: String,
    /// Milliseconds after the line's beginning.
    pub starts_ms: u64,
    /// None: it has not ended.
    pub took_ms: Option<u64>,
    /// 0: on its own; 1: part of the one before that has 0; and so on.
    pub depth: u8,
    pub outcome: Outcome,
    /// How often it was tried again.
    pub retries: u32,
    /// Faults, reasons, who asked.
    pub detail: String,
}

/// Who tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    Host,
    Hypervisor,
    Guest,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SpanKind {
    /// Waiting for a turn.
    Queue,
    Step,
    /// A step that waits for the guest.
    Wait,
    Undo,
    /// A task of the hypervisor.
    Task,
    /// A phase of the guest's boot.
    Boot,
    Unit,
    /// The guest's own work on its identity.
    Identity,
    Checks,
    Check,
    /// The report on its way.
    Report,
    /// Something that was asked, or that happened at a moment.
    Mark,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    Done,
    AtWork,
    Failed,
    /// It was interrupted.
    Left,
}

/// How two clocks were put on one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Join {
    pub by: JoinedBy,
    /// How far the guest's clock was ahead of the companion's when the report came; below 0: behind, or the report was on
    /// its way so long.
    pub guest_ahead_ms: i64,
    /// The same in words.
    pub means: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum JoinedBy {
    /// The guest's clock fits: its boot lies between its start and its report.
    Clock,
    /// It does not: the report is taken to have been made when it came.
    Receipt,
}

impl Span {
    /// Milliseconds after the line's beginning; of one at work, the line's end.
    pub fn ends_ms(&self, timeline: &Timeline) -> u64 {
        self.took_ms.map_or(timeline.length_ms, |took| self.starts_ms.saturating_add(took))
    }
}

/// The whole line. `now_ms`: up to where what has not ended is drawn.
pub(crate) fn timeline(events: &[Recorded], report: Option<&ReportView>, now_ms: u64) -> Timeline {
    let told = host::told(events);
    let created = events.first().map_or(0, |event| event.at_ms);
    let of_guest = report.map(|report| guest::told(report, told.started_at_ms));
    let first_of_guest = of_guest.iter().flat_map(|told| &told.spans).map(|span| span.starts_ms).min();
    let begins = first_of_guest.map_or(created, |first| first.min(created));
    let shift = |mut span: Span| {
        span.starts_ms = span.starts_ms.saturating_sub(begins);
        span
    };
    let mut spans: Vec<Span> = told.spans.into_iter().map(shift).collect();
    let join = of_guest.map(|told| {
        let place = place_of_guest(&spans);
        spans.splice(place..place, told.spans.into_iter().map(shift));
        told.join
    });
    let ends = |span: &Span| match span.took_ms {
        Some(took) => span.starts_ms.saturating_add(took),
        None => now_ms.saturating_sub(begins).max(span.starts_ms),
    };
    Timeline {
        begins_at_ms: begins,
        length_ms: spans.iter().map(ends).max().unwrap_or(0),
        ready_ms: told.ready_at_ms.map(|at| at.saturating_sub(begins)),
        spans,
        later: told.later.into_iter().map(shift).collect(),
        join,
    }
}

/// What the guest tells stands below the step that waited for it, or at the end.
fn place_of_guest(spans: &[Span]) -> usize {
    let wait = spans.iter().rposition(|span| span.kind == SpanKind::Wait && span.outcome == Outcome::Done);
    let wait = wait.or_else(|| spans.iter().rposition(|span| span.kind == SpanKind::Wait));
    wait.map_or(spans.len(), |wait| {
        let deeper = spans[wait + 1..].iter().take_while(|span| span.depth > 0).count();
        wait + 1 + deeper
    })
}

#[cfg(test)]
mod tests;

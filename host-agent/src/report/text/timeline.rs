//! The joined timeline as lines with bars.

use super::super::timeline::{Outcome, Side, Span, SpanKind, Timeline};
use super::super::words::took;
use super::paper::{Ink, Paper, fit};
use crate::clock::utc;
use console::measure_text_width;

/// Of the names' column, and of times.
const NAME: usize = 28;
const TIME: usize = 9;
/// In front of each name: who tells it.
const SIDE: usize = 6;

pub(super) fn timeline(paper: &mut Paper, timeline: &Timeline) {
    if timeline.spans.is_empty() {
        return;
    }
    paper.heading("Where the time went", &format!("{} in all", took(timeline.length_ms)));
    let width = paper.width();
    let longest = timeline.spans.iter().map(|span| measure_text_width(&label(span))).max().unwrap_or(0);
    let name = longest.min(NAME).min((width / 3).max(10));
    let bar = width.saturating_sub(2 + SIDE + 1 + name + 1 + TIME + 1).max(4);
    for span in &timeline.spans {
        let time = match (span.kind, span.took_ms) {
            (SpanKind::Mark, _) => String::new(),
            (_, Some(ms)) => took(ms),
            (_, None) => "at work".to_owned(),
        };
        paper.parts(&[
            (Ink::Dim, &format!("  {} ", fit(side(span), SIDE))),
            (ink(span), &fit(&label(span), name)),
            (Ink::Plain, &format!(" {time:>TIME$} ")),
            (of_side(span), &drawn(span, timeline, bar)),
        ]);
        told(paper, span);
    }
    if let Some(join) = &timeline.join {
        paper.note(&join.means);
    }
    if !timeline.later.is_empty() {
        paper.heading("Since it was ready", "");
        for span in &timeline.later {
            let at = utc(timeline.begins_at_ms.saturating_add(span.starts_ms));
            let detail = if span.detail.is_empty() { String::new() } else { format!(": {}", span.detail) };
            paper.item("-", Ink::Dim, &format!("{at} {}{detail}", span.name));
        }
    }
}

fn label(span: &Span) -> String {
    format!("{}{}", "  ".repeat(span.depth.into()), span.name)
}

fn side(span: &Span) -> &'static str {
    match span.side {
        Side::Host => "host",
        Side::Hypervisor => "hyper",
        Side::Guest => "guest",
    }
}

fn ink(span: &Span) -> Ink {
    match (span.kind, span.outcome) {
        (_, Outcome::Failed) => Ink::Bad,
        (_, Outcome::AtWork) => Ink::Busy,
        (_, Outcome::Left) => Ink::Warn,
        (SpanKind::Mark, _) => Ink::Warn,
        _ => Ink::Plain,
    }
}

fn of_side(span: &Span) -> Ink {
    match span.side {
        Side::Host => Ink::Busy,
        Side::Hypervisor => Ink::Warn,
        Side::Guest => Ink::Good,
    }
}

/// What went wrong, in place.
fn told(paper: &mut Paper, span: &Span) {
    let retries = match span.retries {
        0 => String::new(),
        1 => "tried again once".to_owned(),
        n => format!("tried again {n} times"),
    };
    let quiet = span.kind == SpanKind::Identity && span.outcome == Outcome::Done;
    let detail = if quiet { "" } else { span.detail.as_str() };
    let text = [retries.as_str(), detail].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>();
    if !text.is_empty() {
        paper.item("", Ink::Dim, &text.join(": "));
    }
}

/// A bar of the whole line's length; what took time has at least one cell.
fn drawn(span: &Span, timeline: &Timeline, width: usize) -> String {
    let cells = |ms: u64| -> usize {
        let scaled = u128::from(ms.min(timeline.length_ms)) * width as u128;
        usize::try_from(scaled / u128::from(timeline.length_ms.max(1))).unwrap_or(width).min(width)
    };
    let first = cells(span.starts_ms).min(width - 1);
    let last = cells(span.ends_ms(timeline)).clamp(first + 1, width);
    let (cell, count) = match (span.kind, span.side) {
        (SpanKind::Mark, _) => ("|", 1),
        (SpanKind::Queue | SpanKind::Wait, _) => ("·", last - first),
        (_, Side::Host) => ("█", last - first),
        (_, Side::Hypervisor) => ("▓", last - first),
        (_, Side::Guest) => ("▒", last - first),
    };
    format!("{}{}", " ".repeat(first), cell.repeat(count))
}

//! The report page as HTML: a fragment that the web page includes, and a file that stands on its own.
//!
//! No script and no style attribute anywhere: the bars are pictures whose sizes are plain attributes. Whatever is not a
//! number of ours is escaped by the template library.

use askama::Template;

use super::page::{CheckLine, GuestReport, Head};
use super::timeline::{Outcome, Side, Span, SpanKind, Timeline};
use super::words::{age, counted, took};
use crate::clock::utc;
use crate::job::Phase;

/// The style of the fragment; the exported file has it inside.
pub const STYLE: &str = include_str!("templates/report.css");

/// Of the pictures' own units.
const BAR: u64 = 1000;

/// A page that could not be made.
#[derive(Debug, thiserror::Error)]
#[error("the page cannot be made")]
pub struct HtmlError(#[from] askama::Error);

#[derive(Template)]
#[template(path = "report_fragment.html")]
struct Fragment<'a> {
    report: &'a GuestReport,
    head: &'a Head,
    state: String,
    tone: &'static str,
    counts: String,
    rows: Vec<Row<'a>>,
    later: Vec<Row<'a>>,
    whole: String,
}

#[derive(Template)]
#[template(path = "report_file.html")]
struct File<'a> {
    title: &'a str,
    made: String,
    style: &'a str,
    /// HTML.
    body: &'a str,
}

/// A line of the timeline.
struct Row<'a> {
    span: &'a Span,
    side: &'static str,
    tone: &'static str,
    took: String,
    at: String,
    /// On the calendar.
    when: String,
    again: String,
    x: u64,
    length: u64,
}

/// Everything below the guest's name, as `<section>`s whose ids begin with `report-`.
///
/// # Errors
/// The template library fails.
pub fn fragment(report: &GuestReport) -> Result<String, HtmlError> {
    let head = &report.head;
    let counts = &report.check_counts;
    let row = |span| row(span, &report.timeline);
    Ok(Fragment {
        report,
        head,
        state: state(head),
        tone: tone_of(head.state),
        counts: counted(&[
            (counts.passed, "pass"),
            (counts.failed, "fail"),
            (counts.unknown, "unknown"),
            (counts.skipped, "skip"),
        ]),
        rows: report.timeline.spans.iter().map(row).collect(),
        later: report.timeline.later.iter().map(row).collect(),
        whole: took(report.timeline.length_ms),
    }
    .render()?)
}

/// A whole document that needs nothing else and asks for nothing.
///
/// # Errors
/// The template library fails.
pub fn document(report: &GuestReport) -> Result<String, HtmlError> {
    let body = fragment(report)?;
    let made = utc(report.made_at_ms);
    Ok(File { title: &report.head.guest, made, style: STYLE, body: &body }.render()?)
}

fn row<'a>(span: &'a Span, timeline: &Timeline) -> Row<'a> {
    let scaled = |ms: u64| {
        let scaled = u128::from(ms.min(timeline.length_ms)) * u128::from(BAR);
        u64::try_from(scaled / u128::from(timeline.length_ms.max(1))).unwrap_or(BAR).min(BAR)
    };
    let x = scaled(span.starts_ms).min(BAR - 4);
    Row {
        span,
        side: match span.side {
            Side::Host => "host",
            Side::Hypervisor => "hypervisor",
            Side::Guest => "guest",
        },
        tone: match (span.outcome, span.kind) {
            (Outcome::Failed, _) => "bad",
            (Outcome::AtWork, _) => "busy",
            (Outcome::Left, _) | (_, SpanKind::Mark) => "warn",
            (_, SpanKind::Wait | SpanKind::Queue) => "idle",
            _ => "fine",
        },
        took: match (span.kind, span.took_ms) {
            (SpanKind::Mark, _) => String::new(),
            (_, Some(ms)) => took(ms),
            (_, None) => "at work".to_owned(),
        },
        at: format!("+{}", took(span.starts_ms)),
        when: utc(timeline.begins_at_ms.saturating_add(span.starts_ms)),
        again: match span.retries {
            0 => String::new(),
            1 => "tried again once".to_owned(),
            n => format!("tried again {n} times"),
        },
        x,
        // What took no time is seen all the same.
        length: scaled(span.ends_ms(timeline)).saturating_sub(x).max(4),
    }
}

fn tone_of(state: Phase) -> &'static str {
    match state {
        Phase::Done => "good",
        Phase::NeedsOperator | Phase::RolledBack => "bad",
        Phase::Queued | Phase::Running | Phase::Waiting | Phase::Unwinding => "busy",
        Phase::Abandoned => "idle",
    }
}

fn tone_of_check(check: &CheckLine) -> &'static str {
    match (check.blocks, check.verdict.as_str()) {
        (true, _) => "bad",
        (false, "pass") => "good",
        (false, "skip") => "idle",
        (false, _) => "warn",
    }
}

fn state(head: &Head) -> String {
    match head.ready_after_ms.filter(|_| head.state == Phase::Done) {
        Some(after) => format!("ready in {}", took(after)),
        None => head.state_in_words.clone(),
    }
}

// Templates give references.

fn at(ms: &u64) -> String {
    utc(*ms)
}

fn long(ms: &u64) -> String {
    took(*ms)
}

fn old(ms: &u64) -> String {
    age(*ms)
}

fn in_guest(confirmed: &Option<bool>) -> &'static str {
    match confirmed {
        Some(true) => "as delivered",
        Some(false) => "differs",
        None => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::hostile_pages;
    use super::*;

    /// What a browser would take for the beginning of something of the guest's.
    #[test]
    fn nothing_hostile_is_alive_in_the_file() {
        let (mut sizes, plain) = (Vec::new(), document(&super::super::tests::page()).unwrap());
        let elements = |html: &str| html.matches('<').count();
        assert!(!plain.contains(" style=") && !plain.contains("<script") && !plain.contains("http:"));
        for (place, page) in hostile_pages() {
            let html = document(&page).unwrap();
            assert!(html.len() < 600_000, "{place}: {} bytes", html.len());
            for alive in ["<script", "\u{1b}", "\u{202e}", "\u{2066}", "\u{9b}", "\r"] {
                assert!(!html.contains(alive), "{place}: {alive:?}");
            }
            // Text adds no element; a list adds rows.
            if elements(&html) != elements(&plain) {
                sizes.push(place);
            }
        }
        assert!(sizes.len() < 40, "{sizes:?}");
    }
}

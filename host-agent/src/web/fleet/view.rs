//! The fleet as the page shows it. Pure: rows of the store in, words out; what guests say is escaped and cut here.

use std::collections::HashMap;

use firstlight_shared::text::escape;
use firstlight_shared::wire::Trust;

use super::super::words::{Badge, Moment, badge, encoded, moment, span};
use super::digests::Checks;
use super::query::{label_of, state_of};
use crate::bringup::{FleetLine, JobLine};
use crate::job::Phase;
use crate::store::FleetCount;

/// Characters of a reason in a row.
const REASON: usize = 160;

/// A count that leads to those that it counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::web) struct Tile {
    pub(in crate::web) id: &'static str,
    pub(in crate::web) label: &'static str,
    pub(in crate::web) class: &'static str,
    pub(in crate::web) count: u64,
    pub(in crate::web) href: String,
}

/// A job that nobody but an operator can get on with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::web) struct Attention {
    pub(in crate::web) guest: String,
    pub(in crate::web) href: String,
    pub(in crate::web) why: String,
    pub(in crate::web) hint: String,
}

/// One guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::web) struct Row {
    /// Of the row's element.
    pub(in crate::web) id: String,
    pub(in crate::web) name: String,
    pub(in crate::web) href: String,
    pub(in crate::web) badge: Badge,
    /// What it is at, waits for, or failed of; empty: nothing is to be said.
    pub(in crate::web) detail: String,
    pub(in crate::web) trust: &'static str,
    pub(in crate::web) trust_class: &'static str,
    /// How long it took until it was ready; empty: it is not.
    pub(in crate::web) ready: String,
    pub(in crate::web) checks: String,
    pub(in crate::web) checks_class: &'static str,
    pub(in crate::web) report: Option<Moment>,
    pub(in crate::web) made: Moment,
    pub(in crate::web) backend: String,
    /// The last part of the golden's name, and the whole.
    pub(in crate::web) golden: String,
    pub(in crate::web) golden_whole: String,
}

pub(in crate::web) fn row(found: &FleetLine, checks: &HashMap<String, Checks>, now_ms: u64) -> Row {
    let line = &found.line;
    let checks = found.report.as_ref().and_then(|(sha256, _)| checks.get(sha256));
    let (checks, checks_class) = checked(checks);
    let golden = found.golden.as_deref().unwrap_or_default();
    let took = line.ended_at_ms.filter(|_| line.state == Phase::Done);
    let (trust, trust_class) = trusted(line.trust);
    Row {
        id: row_id(&line.guest),
        name: escape(&line.guest, 80),
        href: format!("/ui/guests/{}", encoded(&line.guest)),
        badge: badge(line.state),
        detail: detail(line),
        trust,
        trust_class,
        ready: took.map(|ended| span(ended.saturating_sub(line.created_at_ms))).unwrap_or_default(),
        checks,
        checks_class,
        report: found.report.as_ref().map(|(_, at_ms)| moment(*at_ms, now_ms)),
        made: moment(line.created_at_ms, now_ms),
        backend: escape(&line.backend, 40),
        golden: escape(golden.rsplit(['/', ':']).next().unwrap_or(golden), 60),
        golden_whole: escape(golden, 200),
    }
}

/// The row's element, of the guest of this name.
pub(in crate::web) fn row_id(guest: &str) -> String {
    format!("guest-{}", encoded(guest))
}

/// What is to be said of a job beside its state.
pub(in crate::web) fn detail(line: &JobLine) -> String {
    let text = match (&line.trouble, &line.failure, &line.waits_for, &line.step) {
        (Some(trouble), ..) => format!("tries again: {}", trouble.fault.message),
        (_, Some(failure), ..) => failure.message.clone(),
        (.., Some(waits_for), _) => format!("waits for {waits_for}"),
        (.., Some(step)) if !line.state.is_final() => step.clone(),
        _ => String::new(),
    };
    escape(&text, REASON)
}

pub(in crate::web) fn trusted(trust: Option<Trust>) -> (&'static str, &'static str) {
    match trust {
        Some(trust @ (Trust::Attested | Trust::Claimed)) => (trust.as_str(), "good"),
        Some(trust) => (trust.as_str(), "bad"),
        None => ("", ""),
    }
}

fn checked(checks: Option<&Checks>) -> (String, &'static str) {
    let Some(checks) = checks else { return (String::new(), "") };
    let all = checks.passed + checks.failed + checks.warnings;
    match (checks.failed, checks.warnings) {
        (0, 0) => (format!("{all} passed"), "good"),
        (0, warnings) => (format!("{warnings} of {all} to look at"), "warn"),
        (failed, _) => (format!("{failed} of {all} failed"), "bad"),
    }
}

pub(in crate::web) fn attention(line: &JobLine) -> Attention {
    let failure = line.failure.as_ref();
    let why = failure.map_or("it cannot go on by itself", |fault| fault.message.as_str());
    Attention {
        guest: escape(&line.guest, 80),
        href: format!("/ui/jobs/{}", encoded(&line.id)),
        why: escape(why, REASON),
        hint: escape(failure.and_then(|fault| fault.hint.as_deref()).unwrap_or_default(), REASON),
    }
}

/// All guests, then by state in the order of their weight; a state that nobody is in has its tile all the same.
pub(in crate::web) fn tiles(counts: &[FleetCount]) -> Vec<Tile> {
    let all: u64 = counts.iter().map(|count| count.count).sum();
    let of = |state: &str| {
        counts.iter().filter(|count| state_of(count.phase) == state).map(|count| count.count).sum()
    };
    let tile = |(id, state): (&'static str, &'static str)| {
        let (label, class) = label_of(state);
        Tile { id, label, class, count: of(state), href: format!("/ui/?state={state}") }
    };
    let states = [
        ("count-stuck", "stuck"),
        ("count-working", "working"),
        ("count-queued", "queued"),
        ("count-ready", "ready"),
    ];
    let whole = Tile { id: "count-all", label: "Guests", class: "", count: all, href: "/ui/".to_owned() };
    std::iter::once(whole).chain(states.map(tile)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Fault;

    fn line(state: Phase) -> JobLine {
        JobLine {
            id: "0af1".into(),
            guest: "web-01".into(),
            backend: "local".into(),
            batch: String::new(),
            state,
            step: Some("start".into()),
            trust: Some(Trust::Attested),
            failure: None,
            waits_for: None,
            trouble: None,
            change_of: None,
            due_at_ms: None,
            ephemeral: false,
            created_at_ms: 1000,
            ended_at_ms: Some(3500),
        }
    }

    #[test]
    fn a_row_says_what_is_known_and_nothing_else() {
        let checks = HashMap::from([("aa".to_owned(), Checks { passed: 3, failed: 1, warnings: 0 })]);
        let found = FleetLine {
            line: line(Phase::Done),
            golden: Some("local:backup/vzdump-1.tar.zst".into()),
            report: Some(("aa".into(), 3000)),
        };
        let shown = row(&found, &checks, 63_000);
        assert_eq!(
            (&*shown.id, &*shown.href, shown.badge.word),
            ("guest-web-01", "/ui/guests/web-01", "ready")
        );
        assert_eq!((&*shown.ready, &*shown.checks, shown.checks_class), ("2.5 s", "1 of 4 failed", "bad"));
        assert_eq!(
            (&*shown.golden, shown.report.unwrap().ago.as_str(), &*shown.detail),
            ("vzdump-1.tar.zst", "60 s", "")
        );
        let bare = row(&FleetLine { line: line(Phase::Queued), golden: None, report: None }, &checks, 0);
        assert_eq!((&*bare.ready, &*bare.checks, &*bare.golden, &*bare.detail), ("", "", "", "start"));
    }

    #[test]
    fn what_others_say_is_escaped_and_cut() {
        let failure = Fault::new("x", format!("\u{1b}[31m\u{202e}{}", "<script>".repeat(10_000)));
        let hostile =
            JobLine { failure: Some(failure), guest: "a\u{202e}/\"<b>".into(), ..line(Phase::NeedsOperator) };
        let shown = row(&FleetLine { line: hostile.clone(), golden: None, report: None }, &HashMap::new(), 0);
        assert!(shown.detail.starts_with("\\u{1b}[31m\\u{202e}<script>") && shown.detail.len() < 1000);
        assert_eq!(shown.href, "/ui/guests/a%E2%80%AE%2F%22%3Cb%3E");
        assert_eq!(shown.name, "a\\u{202e}/\"<b>");
        assert!(attention(&hostile).why.chars().count() < 400);
    }

    #[test]
    fn every_state_is_counted_once() {
        let count = |phase, count| FleetCount { phase, backend: "local".into(), count };
        let counts = [
            count(Phase::Done, 5),
            count(Phase::Running, 1),
            count(Phase::Waiting, 2),
            count(Phase::Unwinding, 3),
            count(Phase::NeedsOperator, 4),
        ];
        let shown: Vec<(&str, u64)> = tiles(&counts).iter().map(|tile| (tile.id, tile.count)).collect();
        let wanted = [
            ("count-all", 15),
            ("count-stuck", 4),
            ("count-working", 6),
            ("count-queued", 0),
            ("count-ready", 5),
        ];
        assert_eq!(shown, wanted);
    }
}

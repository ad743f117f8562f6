//! From the report: the guest's boot, its identity, its checks and the report's way, on the companion's clock.
//!
//! A guest counts from its boot, and names one moment by its own clock: when it made the report. The companion knows when the
//! report came, and when the guest was started. If the guest's clock puts the boot between these two, it is believed; else
//! the report is taken to have been made when it came, and the line says so.

use firstlight_shared::check::{CheckResult, Verdict};
use firstlight_shared::wire::{BootTiming, Report};

use super::super::bound;
use super::{Join, JoinedBy, Outcome, Side, Span, SpanKind};
use crate::bringup::ReportView;

/// A guest may seem to boot so much before the step that starts it: two clocks on two machines.
const TOLERATED_MS: u64 = 1000;
const UNITS: usize = 200;
const CHECKS: usize = 200;

#[derive(Debug)]
pub(super) struct Told {
    pub(super) spans: Vec<Span>,
    pub(super) join: Join,
}

/// `started_at_ms`: when the guest may have been started first, by the companion's clock. Times are absolute.
pub(super) fn told(view: &ReportView, started_at_ms: Option<u64>) -> Told {
    let report = &view.report;
    let boot_to = |name: &str| report.timings_ms.get(name).map(|ms| bound::time(*ms));
    let came = view.received_at_ms;
    let age = boot_to("boot_to_report").unwrap_or(0);
    let join = join(report.made_at_ms, came, age, started_at_ms);
    let made = if join.by == JoinedBy::Clock { report.made_at_ms } else { came };
    let booted = made.saturating_sub(age);
    let mut spans = Vec::new();
    let has_boot = boot_to("boot_to_report").is_some();
    if let Some(boot) = report.boot.as_ref().filter(|_| has_boot) {
        phases(&mut spans, boot, booted);
    }
    if let Some(ended) = boot_to("boot_to_identity").filter(|_| has_boot) {
        let began = boot_to("boot_to_identity_start").unwrap_or(ended).min(ended);
        let detail = bound::line(&report.identity.reason);
        spans.push(Span { detail, ..span(SpanKind::Identity, "identity", booted + began, ended - began, 0) });
    }
    late(&mut spans, report, made);
    if made < came {
        spans.push(span(SpanKind::Report, "report", made, came - made, 0));
    } else {
        spans.push(span(SpanKind::Report, "report", came, 0, 0));
    }
    Told { spans, join }
}

/// Pure. All in milliseconds; `age`: of the boot when the report was made.
fn join(made: u64, came: u64, age: u64, started: Option<u64>) -> Join {
    let ahead =
        i64::try_from(made).unwrap_or(i64::MAX).saturating_sub(i64::try_from(came).unwrap_or(i64::MAX));
    // Of a guest that somebody else started, a day is as far as a report may be old.
    let earliest = started.unwrap_or_else(|| came.saturating_sub(24 * 3600 * 1000).saturating_sub(age));
    let booted = made.saturating_sub(age);
    let fits = made <= came.saturating_add(TOLERATED_MS) && booted.saturating_add(TOLERATED_MS) >= earliest;
    if fits {
        let means = "the guest's clock fits the companion's".to_owned();
        return Join { by: JoinedBy::Clock, guest_ahead_ms: ahead, means };
    }
    let how = if ahead > 0 { "ahead" } else { "behind" };
    let far = far(ahead.unsigned_abs());
    let means = format!(
        "the guest's clock was {far} {how}: its times are drawn as if the report had been made when it came"
    );
    Join { by: JoinedBy::Receipt, guest_ahead_ms: ahead, means }
}

fn far(ms: u64) -> String {
    match ms / 1000 {
        seconds @ 0..120 => format!("{seconds}.{} s", ms % 1000 / 100),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

/// Firmware and loader came before PID 1, whose age is what the guest counts from; it is as old as the kernel.
fn phases(spans: &mut Vec<Span>, boot: &BootTiming, booted: u64) {
    let before: Vec<(&str, u64)> = [("firmware", boot.firmware_ms), ("loader", boot.loader_ms)]
        .into_iter()
        .filter_map(|(name, took)| Some((name, bound::time(took?))))
        .collect();
    let mut at = booted.saturating_sub(before.iter().map(|(_, took)| took).sum());
    let after = [("kernel", boot.kernel_ms), ("initrd", boot.initrd_ms)];
    let after = after.into_iter().filter_map(|(name, took)| Some((name, bound::time(took?))));
    for (name, took) in before.into_iter().chain(after) {
        spans.push(span(SpanKind::Boot, name, at, took, 0));
        at += took;
    }
    if let Some(took) = boot.userspace_ms {
        spans.push(span(SpanKind::Boot, "userspace", at, bound::time(took), 0));
    } else if !boot.units.is_empty() {
        let last = boot
            .units
            .iter()
            .map(|unit| bound::time(unit.started_ms.saturating_add(unit.took_ms.unwrap_or(0))));
        let took = last.max().unwrap_or(0);
        let detail = "not over when the report was made".to_owned();
        spans.push(Span { detail, ..span(SpanKind::Boot, "userspace", at, took, 0) });
    }
    for unit in boot.units.iter().take(UNITS) {
        let started = at + bound::time(unit.started_ms);
        let took = bound::time(unit.took_ms.unwrap_or(0));
        let mut one = span(SpanKind::Unit, &unit.unit, started, took, 1);
        if unit.took_ms.is_none() {
            (one.outcome, one.detail) = (Outcome::AtWork, "starting when the report was made".to_owned());
        }
        spans.push(one);
    }
}

/// RSA is made before the checks, and the checks end when the report is made.
fn late(spans: &mut Vec<Span>, report: &Report, made: u64) {
    let of = |name: &str| report.timings_ms.get(name).map(|ms| bound::time(*ms));
    let checks = of("checks").unwrap_or(0);
    let began = made.saturating_sub(checks);
    if let Some(rsa) = of("rsa") {
        spans.push(span(SpanKind::Identity, "rsa key", began.saturating_sub(rsa), rsa, 0));
    }
    if report.checks.is_empty() {
        return;
    }
    spans.push(span(SpanKind::Checks, "checks", began, checks, 0));
    spans.extend(report.checks.iter().take(CHECKS).map(|check| check_span(check, began)));
}

fn check_span(check: &CheckResult, began: u64) -> Span {
    let mut one = span(SpanKind::Check, &check.id, began, bound::time(check.elapsed_ms), 1);
    if matches!(check.verdict, Verdict::Fail | Verdict::Unknown) {
        (one.outcome, one.detail) = (Outcome::Failed, bound::line(&check.reason));
    }
    one
}

fn span(kind: SpanKind, name: &str, starts_ms: u64, took_ms: u64, depth: u8) -> Span {
    Span {
        side: Side::Guest,
        kind,
        name: bound::word(name),
        starts_ms,
        took_ms: Some(took_ms),
        depth,
        outcome: Outcome::Done,
        retries: 0,
        detail: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guests_clock_is_believed_where_it_fits() {
        const S: u64 = 1000;
        for (made, came, age, started, by) in [
            // A container: one clock.
            (100 * S, 100 * S + 40, 3 * S, Some(96 * S), JoinedBy::Clock),
            // The report was long on its way, and the clock is right.
            (100 * S, 160 * S, 3 * S, Some(96 * S), JoinedBy::Clock),
            // A clock that is behind puts the boot before the guest was started.
            (40 * S, 100 * S, 3 * S, Some(96 * S), JoinedBy::Receipt),
            // A clock that is ahead made the report after it came.
            (200 * S, 100 * S, 3 * S, Some(96 * S), JoinedBy::Receipt),
            // Another tool's guest: booted long before anybody waited for it.
            (100 * S, 4000 * S, 30 * S, None, JoinedBy::Clock),
            (1, 1_795_316_645_000, 0, None, JoinedBy::Receipt),
            (u64::MAX, 100 * S, u64::MAX, Some(0), JoinedBy::Receipt),
        ] {
            assert_eq!(join(made, came, bound::time(age), started).by, by, "{made} {came}");
        }
        let behind = join(40 * S, 100 * S, 0, Some(96 * S));
        assert_eq!(behind.guest_ahead_ms, -60_000);
        assert!(behind.means.contains("60.0 s behind"), "{}", behind.means);
    }
}

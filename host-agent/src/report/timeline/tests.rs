use serde_json::json;

use super::super::testing::{journal, report_view};
use super::*;

fn shown(timeline: &Timeline, spans: &[Span]) -> Vec<String> {
    spans
        .iter()
        .map(|span| {
            let took = span.took_ms.map_or("..".to_owned(), |took| took.to_string());
            let retries = if span.retries > 0 { format!(" x{}", span.retries) } else { String::new() };
            assert!(span.ends_ms(timeline) <= timeline.length_ms || timeline.later.contains(span));
            let deep = "  ".repeat(span.depth.into());
            format!(
                "{deep}{} {}+{took}{retries} {:?} {}",
                span.name, span.starts_ms, span.outcome, span.detail
            )
            .trim_end()
            .to_owned()
        })
        .collect()
}

fn created() -> serde_json::Value {
    let step = |name: &str, waits: bool| json!({"name": name, "waits": waits});
    json!({"kind": "created", "guest": "a", "backend": "b", "spec": {}, "keep_on_failure": false, "by": "root",
        "steps": [step("restore", false), step("start", false), step("await-report", true), step("verify", false)]})
}

#[test]
fn host_hypervisor_and_guest_are_on_one_line() {
    let events = journal(&[
        (1000, created()),
        (1100, json!({"kind": "step-started", "step": "restore"})),
        (1150, json!({"kind": "step-progress", "step": "restore", "task": "UPID:1"})),
        (
            1300,
            json!({"kind": "step-uncertain", "step": "restore", "fault": {"code": "x", "message": "no answer"}}),
        ),
        (
            1350,
            json!({"kind": "step-uncertain", "step": "restore", "fault": {"code": "x", "message": "no answer"}}),
        ),
        (1400, json!({"kind": "taken-over", "companion": "two", "fence": 2})),
        (1410, json!({"kind": "step-started", "step": "restore"})),
        (2000, json!({"kind": "step-progress", "step": "restore", "task": "UPID:2"})),
        (2100, json!({"kind": "step-succeeded", "step": "restore", "output": {}})),
        (2100, json!({"kind": "step-started", "step": "start"})),
        (2300, json!({"kind": "step-succeeded", "step": "start", "output": {}})),
        (2300, json!({"kind": "step-started", "step": "await-report"})),
        (5000, json!({"kind": "step-succeeded", "step": "await-report", "output": {}})),
        (5000, json!({"kind": "step-started", "step": "verify"})),
        (5100, json!({"kind": "step-succeeded", "step": "verify", "output": {}})),
        (
            90_000,
            json!({"kind": "unwind-requested", "by": "anna", "fault": {"code": "operator", "message": "enough"}}),
        ),
        (90_000, json!({"kind": "undo-started", "step": "restore"})),
        (90_500, json!({"kind": "undo-finished", "step": "restore"})),
    ]);
    let mut report = report_view(4990);
    report.report.made_at_ms = 4900;
    report.report.timings_ms = [
        ("boot_to_report", 2500),
        ("boot_to_identity", 700),
        ("boot_to_identity_start", 300),
        ("rsa", 200),
        ("checks", 1000),
    ]
    .map(|(name, ms)| (name.to_owned(), ms))
    .into();
    report.report.boot = serde_json::from_value(json!({"kernel_ms": 200, "userspace_ms": 2100, "units":
        [{"unit": "ssh.service", "started_ms": 800, "took_ms": 20}, {"unit": "x.service", "started_ms": 900}]}))
    .unwrap();
    let line = timeline(&events, Some(&report), 99_000);
    assert_eq!((line.begins_at_ms, line.length_ms, line.ready_ms), (1000, 4100, Some(4100)));
    assert_eq!(
        shown(&line, &line.spans),
        [
            "queue 0+100 Done",
            "restore 100+1000 x2 Done no answer",
            "  UPID:1 150+850 Done",
            "  UPID:2 1000+100 Done",
            "taken over 400+0 Done by two",
            "start 1100+200 Done",
            "await-report 1300+2700 Done",
            "kernel 1400+200 Done",
            "userspace 1600+2100 Done",
            "  ssh.service 2400+20 Done",
            "  x.service 2500+0 AtWork starting when the report was made",
            "identity 1700+400 Done paper",
            "rsa key 2700+200 Done",
            "checks 2900+1000 Done",
            "  sshd 2900+1 Done",
            "report 3900+90 Done",
            "verify 4000+100 Done",
        ]
    );
    assert_eq!(
        shown(&line, &line.later),
        ["undo asked for 89000+0 Done by anna: enough", "undo restore 89000+500 Done"]
    );
    assert_eq!(line.join.unwrap().by, JoinedBy::Clock);
}

#[test]
fn what_failed_or_is_at_work_is_told_so() {
    let events = journal(&[
        (10, created()),
        (20, json!({"kind": "step-started", "step": "restore"})),
        (
            50,
            json!({"kind": "step-failed", "step": "restore", "fault": {"code": "x", "message": "no \u{1b}space"}}),
        ),
        (50, json!({"kind": "undo-started", "step": "restore"})),
    ]);
    let line = timeline(&events, None, 70);
    assert_eq!((line.length_ms, line.ready_ms, &line.join), (60, None, &None));
    assert_eq!(
        shown(&line, &line.spans),
        ["queue 0+10 Done", "restore 10+30 Failed no \\u{1b}space", "undo restore 40+.. AtWork"]
    );
    assert_eq!(timeline(&[], None, 5), Timeline::default());
    // A job that waits for its turn.
    let waiting = timeline(&events[..1], None, 70);
    assert_eq!((waiting.length_ms, waiting.spans.len()), (60, 1));
}

#[test]
fn a_guest_that_booted_before_anybody_waited_begins_the_line() {
    let events =
        journal(&[(100_000, created()), (100_001, json!({"kind": "step-started", "step": "await-report"}))]);
    let mut report = report_view(95_000);
    report.report.made_at_ms = 95_000;
    report.report.timings_ms = [("boot_to_report".to_owned(), 5000)].into();
    report.report.boot = serde_json::from_value(json!({"userspace_ms": 4000})).unwrap();
    let line = timeline(&events, Some(&report), 100_100);
    assert_eq!(line.begins_at_ms, 90_000);
    assert_eq!(line.spans[0].starts_ms, 10_000);
}

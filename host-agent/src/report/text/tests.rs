use console::measure_text_width;

use super::super::blame::blame as blamed;
use super::super::tests::{hostile_pages, page as sound};
use super::*;
use crate::bringup::{DuplicatePage, Holder, SharedIdentity};
use crate::outcome::Fault;
use crate::report::{CheckLine, HistoryLine, Outcome, RefusalLine, Side, Span, SpanKind};

/// The environment variable with which the pictures are written anew: look at what changed before they are kept.
const BLESS: &str = "FIRSTLIGHT_BLESS";

fn is_as_kept(name: &str, text: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/report/text/snapshots").join(name);
    if std::env::var_os(BLESS).is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(kept, text, "{name}: is that meant? then run the test with {BLESS}=1");
}

/// A guest of which not all is well, with something in every section.
fn troubled() -> GuestReport {
    let mut page = sound();
    page.head.unproven.push("mounts: the machine's agent was silent".into());
    page.head.failure = Some(
        Fault::new("check-failed", "check docker is fail: the socket is not there")
            .with_hint("`firstlight show web-01` has every step"),
    );
    page.head.to_do = vec!["firstlight retry web-01".into(), "firstlight destroy web-01".into()];
    page.head.state = Phase::NeedsOperator;
    page.head.state_in_words = "an operator is needed".into();
    page.checks.insert(
        0,
        CheckLine {
            id: "docker".into(),
            verdict: "fail".into(),
            severity: "required".into(),
            blocks: true,
            reason: "unix:///run/docker.sock does not answer: No such file or directory".into(),
            took_ms: 30_250,
        },
    );
    (page.check_counts.failed, page.check_counts.blocking) = (1, 1);
    let span = |side, kind, name: &str, starts_ms, took_ms| Span {
        side,
        kind,
        name: name.into(),
        starts_ms,
        took_ms,
        depth: u8::from(kind == SpanKind::Task),
        outcome: if took_ms.is_none() { Outcome::AtWork } else { Outcome::Done },
        retries: 0,
        detail: String::new(),
    };
    let mut restore = span(Side::Host, SpanKind::Step, "restore", 5, Some(1800));
    (restore.retries, restore.detail) = (2, "GET /nodes/pve1/tasks: no answer within 10 s".into());
    let task =
        span(Side::Hypervisor, SpanKind::Task, "UPID:pve1:0001:vzrestore:101:root@pam:", 20, Some(1700));
    let mark = span(Side::Host, SpanKind::Mark, "taken over", 1000, Some(0));
    page.timeline.spans.splice(1..1, [restore, task, mark]);
    page.timeline.spans.push(span(Side::Host, SpanKind::Step, "verify", 4900, None));
    page.refusals.push(RefusalLine {
        at_ms: 1_795_316_650_000,
        from: "10.77.0.66".into(),
        code: "claim-used".into(),
        message: "this claim has been answered by another report".into(),
    });
    page.history.push(HistoryLine {
        job: "0100".into(),
        received_at_ms: 1_795_000_000_000,
        trust: "claimed".into(),
        guest_says: "ready".into(),
        sha256: "00".into(),
        shares: vec!["ssh-host-key SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU".into()],
    });
    page.left_out.push("3 more checks".into());
    page
}

fn shared() -> DuplicatePage {
    let holder = |guest: &str, gone| Holder { guest: guest.into(), job: "j".into(), gone, from: None };
    let one = |open: bool, kind: &str, value: &str| SharedIdentity {
        kind: kind.into(),
        value: value.into(),
        open,
        holders: vec![holder("web-01", false), holder("web-02", !open)],
        holder_count: 5,
        advice: "each can pass for the other".into(),
        commands: if open { vec!["firstlight destroy web-02".into()] } else { Vec::new() },
    };
    let key = "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU";
    let duplicates = vec![one(true, "mac", "02:f1:57:6a:25:6d"), one(false, "ssh-host-key", key)];
    DuplicatePage { open: 1, total: 2, duplicates, next: None }
}

#[test]
fn pages_are_drawn_so_and_fit() {
    for width in [40, 80, 140] {
        let look = Look { width, colour: false };
        let troubled = troubled();
        for (name, text) in [
            ("ready", page(&sound(), look)),
            ("troubled", page(&troubled, look)),
            ("blame", blame(&blamed("web-01", &troubled.timeline), look)),
            ("duplicates", duplicates(&shared(), look)),
        ] {
            is_as_kept(&format!("{name}-{width}.txt"), &text);
            for line in text.lines() {
                assert!(measure_text_width(line) <= width, "{name} at {width}: {line}");
                assert_eq!(line.trim_end(), line, "{name} at {width}");
            }
        }
        // Colour adds nothing but colour.
        let inked = page(&troubled, Look { width, colour: true });
        assert!(inked.contains("\u{1b}[1;31m"));
        let bare =
            console::strip_ansi_codes(&inked).lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
        assert_eq!(bare + "\n", page(&troubled, look));
    }
}

#[test]
fn nothing_hostile_steers_the_terminal() {
    for (place, hostile) in hostile_pages() {
        let look = Look { width: 40, colour: false };
        let text = page(&hostile, look) + &blame(&blamed(&hostile.head.guest, &hostile.timeline), look);
        let steers = |c: char| (c.is_control() && c != '\n') || ('\u{202a}'..='\u{2069}').contains(&c);
        assert!(!text.contains(steers), "{place}");
        assert!(text.len() < 500_000, "{place}: {} bytes", text.len());
    }
}

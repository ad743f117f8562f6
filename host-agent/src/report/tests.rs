use firstlight_shared::wire::Trust;
use serde_json::{Value, json};

use super::testing::{journal, report, report_view};
use super::*;
use crate::bringup::{GuestView, ReportView};
use crate::job::Recorded;

const BEGUN: u64 = 1_795_316_645_000;

fn view() -> GuestView {
    serde_json::from_value(json!({
        "name": "web-01", "job": "0193", "backend": "local", "state": "done", "step": null, "trust": "attested",
        "mac": "02:f1:57:6a:25:6d", "addresses": ["10.77.0.10"], "machine_id": null, "hostname": "web-01",
        "ssh_host_keys": [], "timings_ms": {}, "checks": [], "failure": null, "console_tail": [], "leftovers": [],
        "reach": "ip netns exec fl", "created_at_ms": BEGUN, "ended_at_ms": BEGUN + 5000, "batch": "b", "by": "root",
        "retry_of": null, "successor": null, "companion": null, "can_retry": false, "asked": null, "steps": []
    }))
    .unwrap()
}

fn events() -> Vec<Recorded> {
    journal(&[
        (
            BEGUN,
            json!({"kind": "created", "guest": "web-01", "backend": "local", "keep_on_failure": false, "by": "root",
                "spec": {"plan": {"golden": "/srv/golden.tar"}}, "steps": [{"name": "await-report", "waits": true}]}),
        ),
        (BEGUN + 10, json!({"kind": "step-started", "step": "await-report"})),
        (BEGUN + 5000, json!({"kind": "step-succeeded", "step": "await-report", "output": {}})),
    ])
}

fn page_of(report: Option<&ReportView>, others: &[ReportView]) -> GuestReport {
    let (view, events) = (view(), events());
    build(&Sources {
        view: &view,
        events: &events,
        report,
        reports: others,
        refusals: &[],
        evidence: &[],
        now_ms: BEGUN + 60_000,
    })
}

/// Of a guest of which all is well.
pub(super) fn page() -> GuestReport {
    page_of(Some(&report_view(BEGUN + 4900)), &[])
}

#[test]
fn the_head_says_what_the_guest_is() {
    let page = page();
    let head = &page.head;
    assert_eq!((head.ready_after_ms, head.report_age_ms), (Some(5000), Some(55_100)));
    assert_eq!(head.golden.as_deref(), Some("/srv/golden.tar"));
    assert_eq!(head.log_in.as_deref(), Some("ip netns exec fl ssh root@10.77.0.10"));
    let trust = head.trust.as_ref().unwrap();
    assert_eq!((trust.level.as_str(), trust.suffices), ("attested", true));
    assert_eq!(page.identity.as_ref().unwrap().decision, "renew");
    assert_eq!(page.left_out, Vec::<String>::new());
    // What comes over the API is what went into it.
    let back: GuestReport = serde_json::from_value(serde_json::to_value(&page).unwrap()).unwrap();
    assert_eq!(back, page);
}

#[test]
fn without_a_report_there_is_a_page_all_the_same() {
    let page = page_of(None, &[]);
    assert!(page.identity.is_none() && page.checks.is_empty() && page.facts.is_empty());
    assert_eq!(page.timeline.spans.len(), 2);
}

#[test]
fn an_earlier_guest_with_the_same_key_is_told() {
    let taken = report_view(BEGUN + 4900);
    let mut earlier = report_view(1000);
    earlier.job = "0100".into();
    earlier.trust = Trust::Claimed;
    let page = page_of(Some(&taken), &[taken.clone(), earlier]);
    let [line] = &page.history[..] else { panic!("{:?}", page.history) };
    assert_eq!((line.job.as_str(), line.trust.as_str()), ("0100", "claimed"));
    assert_eq!(line.shares.len(), 2, "machine-id and host key: {:?}", line.shares);
}

/// Every text of a report, and every place where a list may be longer.
fn paths(value: &Value, at: &str, texts: &mut Vec<String>, lists: &mut Vec<String>) {
    match value {
        Value::String(_) => texts.push(at.to_owned()),
        Value::Array(values) => {
            lists.push(at.to_owned());
            for (index, value) in values.iter().enumerate() {
                paths(value, &format!("{at}/{index}"), texts, lists);
            }
        }
        Value::Object(map) => {
            map.iter().for_each(|(key, value)| paths(value, &format!("{at}/{key}"), texts, lists));
        }
        _ => {}
    }
}

pub(super) const HOSTILE: &str =
    "<script>alert(1)</script>\u{1b}]0;x\u{7}\u{1b}[2J\u{202e}\u{2066}\r\n'\"&{{7*7}}\u{9b}31m";

/// Pages of reports in each of whose fields something hostile stands, where the wire format takes it.
pub(super) fn hostile_pages() -> Vec<(String, GuestReport)> {
    let (mut texts, mut lists) = (Vec::new(), Vec::new());
    let whole = report();
    paths(&whole, "", &mut texts, &mut lists);
    assert!(texts.len() > 30 && lists.len() > 8, "{texts:?} {lists:?}");
    let mut pages = Vec::new();
    let mut add = |place: &str, changed: Value| {
        let Ok(report) = serde_json::from_value(changed) else { return };
        let mut view = report_view(BEGUN + 4900);
        view.report = report;
        pages.push((place.to_owned(), page_of(Some(&view), std::slice::from_ref(&view))));
    };
    for path in &texts {
        for text in [HOSTILE.to_owned(), format!("{HOSTILE}{}", "\u{202e}x".repeat(1 << 18))] {
            let mut changed = whole.clone();
            *changed.pointer_mut(path).unwrap() = text.into();
            add(path, changed);
        }
    }
    for path in &lists {
        let mut changed = whole.clone();
        let list = changed.pointer_mut(path).unwrap().as_array_mut().unwrap();
        let one = list[0].clone();
        list.resize(20_000, one);
        add(path, changed);
    }
    for key in ["boot_to_report", "boot_to_identity", "checks", "rsa", HOSTILE] {
        let mut changed = whole.clone();
        changed["timings_ms"][key] = u64::MAX.into();
        changed["made_at_ms"] = u64::MAX.into();
        add(key, changed);
    }
    for field in ["firmware_ms", "loader_ms", "kernel_ms", "initrd_ms", "userspace_ms"] {
        let mut changed = whole.clone();
        changed["boot"][field] = u64::MAX.into();
        changed["boot"]["units"][0]["started_ms"] = u64::MAX.into();
        changed["boot"]["units"][0]["took_ms"] = u64::MAX.into();
        changed["checks"][0]["elapsed_ms"] = u64::MAX.into();
        changed["facts"]["memory_bytes"] = u64::MAX.into();
        add(field, changed);
    }
    pages
}

#[test]
fn a_hostile_report_is_inert_and_bounded_in_every_field() {
    let pages = hostile_pages();
    // Typed fields (addresses, words of an enum) refuse such text before there is a page.
    assert!(pages.len() > 50, "only {} pages", pages.len());
    for (place, page) in pages {
        let text = serde_json::to_string(&page).unwrap();
        assert!(text.len() < 200_000, "{place}: {} bytes", text.len());
        let mut found = Vec::new();
        paths(&serde_json::to_value(&page).unwrap(), "", &mut found, &mut Vec::new());
        let value = serde_json::to_value(&page).unwrap();
        for path in found {
            let text = value.pointer(&path).unwrap().as_str().unwrap();
            let steers =
                |c: char| c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c) || c == '\u{2066}';
            assert!(!text.contains(steers), "{place}: {path}: {text:?}");
        }
    }
}

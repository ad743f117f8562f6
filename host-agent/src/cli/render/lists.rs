//! Lists: jobs, guests, plans, reports.

use serde_json::Value;

use super::super::live::seconds;
use super::{list, safe, table, text};
use crate::bringup::{JobLine, PlanAction, PlannedGuest};

/// `now_ms` is for guests that are due some day.
pub(in crate::cli) fn jobs(jobs: &[JobLine], now_ms: u64) -> String {
    let optional = |text: Option<&str>| safe(text.unwrap_or_default());
    let row = |job: &JobLine| {
        let took = job.ended_at_ms.map(|ended| seconds(ended.saturating_sub(job.created_at_ms)));
        vec![
            safe(&job.id),
            safe(&job.guest),
            safe(&job.backend),
            job.state.as_str().to_owned(),
            optional(job.trust.map(|trust| trust.as_str())),
            optional(job.step.as_deref()),
            optional(took.as_deref()),
            why(job, now_ms),
        ]
    };
    let header = ["JOB", "GUEST", "BACKEND", "STATE", "TRUST", "STEP", "TOOK", "WHY"];
    table(&header, jobs.iter().map(row))
}

/// Why it failed, why it has not begun, or why it does not go on; of a guest that is ready, how long it lives.
fn why(job: &JobLine, now_ms: u64) -> String {
    match (&job.failure, &job.waits_for, &job.trouble) {
        (_, _, Some(trouble)) => format!("tries again: {}", safe(&trouble.fault.message)),
        (Some(fault), ..) => safe(&fault.message),
        (None, Some(waits_for), _) => format!("waits for {}", safe(waits_for)),
        (None, None, None) if job.change_of.is_some() => "a change".to_owned(),
        (None, None, None) => match job.due_at_ms {
            Some(due) => format!("destroyed in {}", super::span(due.saturating_sub(now_ms))),
            None if job.ephemeral => "gone when it stops".to_owned(),
            None => "-".to_owned(),
        },
    }
}

pub(in crate::cli) fn plan(guests: &[PlannedGuest]) -> String {
    let row = |guest: &PlannedGuest| {
        let action = match guest.action {
            PlanAction::Create => "create",
            PlanAction::Unchanged => "unchanged",
            PlanAction::InProgress => "in progress",
            PlanAction::Conflict => "conflict",
        };
        let mut why: Vec<String> =
            guest.problems.iter().map(|fault| format!("refused: {}", fault.message)).collect();
        why.extend(guest.differences.iter().cloned());
        if why.is_empty() && guest.action == PlanAction::Create {
            why.push(guest.steps.join(", "));
        }
        vec![
            safe(&guest.guest),
            action.to_owned(),
            safe(guest.job.as_deref().unwrap_or_default()),
            safe(&guest.resources.join(",")),
            safe(&why.join("; ")),
        ]
    };
    table(&["GUEST", "PLAN", "JOB", "TAKES", "WHY, OR STEPS"], guests.iter().map(row))
}

/// The table that `up` ends with.
pub(in crate::cli) fn guests(summary: &Value) -> String {
    let steps = ["restore", "start", "await-report", "verify", "total"];
    let row = |guest: &Value| {
        let ed25519 = list(&guest["ssh_host_keys"]).find(|key| key["type"] == "ssh-ed25519");
        let fingerprint = ed25519.map_or_else(|| "-".to_owned(), |key| text(&key["fingerprint"]));
        let mut row = ["name", "state", "trust", "mac", "addresses", "machine_id"]
            .map(|key| text(&guest[key]))
            .to_vec();
        if guest["by_beacon_alone"] == true {
            row[2].push_str(" (beacon alone)");
        }
        row.push(fingerprint);
        for step in steps {
            let milliseconds = guest["timings_ms"][step].as_u64();
            row.push(milliseconds.map_or_else(|| "-".to_owned(), in_seconds));
        }
        row
    };
    let header = [
        "NAME",
        "STATE",
        "TRUST",
        "MAC",
        "ADDRESS",
        "MACHINE-ID (DERIVED)",
        "ED25519 FINGERPRINT",
        "RESTORE s",
        "START s",
        "REPORT s",
        "VERIFY s",
        "TOTAL s",
    ];
    let mut out = table(&header, list(&summary["guests"]).map(row));
    let shared = list(&summary["duplicates"]).collect::<Vec<_>>();
    if !shared.is_empty() {
        out.push('\n');
        let row = |duplicate: &&Value| ["kind", "value", "guests"].map(|key| text(&duplicate[key])).to_vec();
        out.push_str(&table(&["SHARED", "VALUE", "GUESTS"], shared.iter().map(row)));
    }
    out
}

/// `1.16`
fn in_seconds(milliseconds: u64) -> String {
    format!("{}.{:02}", milliseconds / 1000, milliseconds % 1000 / 10)
}

pub(in crate::cli) fn reports(answer: &Value) -> String {
    let row = |report: &Value| {
        let identity = &report["report"]["identity"];
        let checks = list(&report["report"]["checks"]);
        let failing = checks.filter(|check| check["verdict"] != "pass" && check["verdict"] != "skip");
        let failing = failing.map(|check| text(&check["id"])).collect::<Vec<_>>();
        vec![
            text(&report["guest"]),
            text(&report["report"]["state"]),
            text(&report["trust"]),
            text(&identity["decision"]),
            if failing.is_empty() {
                "all pass".to_owned()
            } else {
                format!("not passed: {}", failing.join(","))
            },
            text(&report["source"]),
            text(&report["sha256"]).chars().take(16).collect(),
        ]
    };
    let mut out = table(
        &["GUEST", "SAYS", "TRUST", "IDENTITY", "CHECKS", "FROM", "SHA256"],
        list(&answer["reports"]).map(row),
    );
    out.push_str(&evidence(answer));
    let refusals = list(&answer["refusals"]).collect::<Vec<_>>();
    if !refusals.is_empty() {
        let row = |refused: &&Value| {
            ["guest", "code", "source", "claim_id", "message"].map(|key| text(&refused[key])).to_vec()
        };
        out.push('\n');
        out.push_str(&table(&["REFUSED", "CODE", "FROM", "CLAIM", "WHY"], refusals.iter().map(row)));
    }
    out
}

/// What guests said when they were verified anew; nothing, if none was.
pub(super) fn evidence(answer: &Value) -> String {
    let rows = list(&answer["evidence"]).map(|evidence| {
        let at = evidence["at_ms"].as_u64().map_or_else(|| "-".to_owned(), crate::clock::utc);
        let holds = if evidence["holds"] == true { "yes" } else { "no" };
        let sha256 = text(&evidence["sha256"]).chars().take(16).collect();
        vec![text(&evidence["guest"]), at, holds.to_owned(), text(&evidence["by"]), sha256]
    });
    let rows = rows.collect::<Vec<_>>();
    if rows.is_empty() {
        return String::new();
    }
    format!("\n{}", table(&["VERIFIED", "AT", "HOLDS", "ASKED BY", "SHA256"], rows))
}

//! `firstlight show`: one job as a page.

use serde_json::Value;

use super::live::seconds_of;
use super::render::{list, table, text};

pub(super) fn job(answer: &Value) -> String {
    let job = &answer["job"];
    let mut out = String::new();
    let facts = [
        ("guest", "name"),
        ("job", "job"),
        ("backend", "backend"),
        ("state", "state"),
        ("trust", "trust"),
        ("MAC", "mac"),
        ("address", "addresses"),
        ("machine-id", "machine_id"),
        ("hostname", "hostname"),
    ];
    for (label, key) in facts {
        out.push_str(&format!("{label:12} {}\n", text(&job[key])));
    }
    if let Some(reach) = job["reach"].as_str() {
        out.push_str(&format!("{:12} {reach} ssh root@{}\n", "log in", text(&job["addresses"])));
    }
    for key in list(&job["ssh_host_keys"]) {
        out.push_str(&format!("{:12} {} {}\n", "host key", text(&key["fingerprint"]), text(&key["type"])));
    }
    failure(&mut out, job);
    events(&mut out, job);

    let checks = list(&job["checks"]).collect::<Vec<_>>();
    if !checks.is_empty() {
        let row = |check: &&Value| {
            ["id", "verdict", "severity", "elapsed_ms", "reason"].map(|key| text(&check[key])).to_vec()
        };
        out.push_str(&format!(
            "\n{}",
            table(&["CHECK", "VERDICT", "SEVERITY", "MS", "REASON"], checks.iter().map(row))
        ));
    }
    let refusals = list(&answer["refusals"]).collect::<Vec<_>>();
    if !refusals.is_empty() {
        let row = |refused: &&Value| ["code", "source", "message"].map(|key| text(&refused[key])).to_vec();
        out.push_str(&format!("\n{}", table(&["REFUSED", "FROM", "WHY"], refusals.iter().map(row))));
    }
    out
}

fn failure(out: &mut String, job: &Value) {
    if job["failure"].is_null() {
        return;
    }
    out.push_str(&format!(
        "{:12} {} ({})\n",
        "failure",
        text(&job["failure"]["message"]),
        text(&job["failure"]["code"])
    ));
    if let Some(hint) = job["failure"]["hint"].as_str() {
        out.push_str(&format!("{:12} {hint}\n", "hint"));
    }
    for command in list(&job["leftovers"]) {
        out.push_str(&format!("{:12} {}\n", "to do", text(command)));
    }
    for line in list(&job["console_tail"]) {
        out.push_str(&format!("{:12} {}\n", "console", text(line)));
    }
}

fn events(out: &mut String, job: &Value) {
    let created = job["created_at_ms"].as_u64().unwrap_or_default();
    let row = |recorded: &Value| {
        let event = &recorded["event"];
        let at = recorded["at_ms"].as_u64().unwrap_or_default().saturating_sub(created);
        let detail = [&event["fault"]["message"], &event["task"], &event["reason"]];
        let detail =
            detail.iter().find(|value| !value.is_null()).map(|value| text(value)).unwrap_or_default();
        vec![format!("{:.3}", seconds_of(at)), text(&event["kind"]), text(&event["step"]), detail]
    };
    out.push_str(&format!(
        "\n{}",
        table(&["AT s", "EVENT", "STEP", "DETAIL"], list(&job["events"]).map(row))
    ));
}

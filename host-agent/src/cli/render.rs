//! Answers as text: tables for people, JSON for programs.

use comfy_table::{ContentArrangement, Table, presets};
use firstlight_shared::text::escape;
use serde_json::Value;

use super::live::seconds_of;

/// Indented, with a line end.
pub(super) fn json(value: &Value) -> String {
    let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.push('\n');
    text
}

pub(super) fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.to_vec());
    table.add_rows(rows);
    let lines = table
        .lines()
        .map(|line| line.strip_prefix(' ').unwrap_or(&line).trim_end().to_owned())
        .collect::<Vec<_>>();
    lines.join("\n") + "\n"
}

/// A value as one safe line; `-` for nothing.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) if text.is_empty() => "-".to_owned(),
        Value::String(text) => escape(text, 200),
        Value::Array(values) if values.is_empty() => "-".to_owned(),
        Value::Array(values) => values.iter().map(text).collect::<Vec<_>>().join(","),
        other => escape(&other.to_string(), 200),
    }
}

pub(super) fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

pub(super) fn jobs(answer: &Value) -> String {
    let row = |job: &Value| {
        let failure = &job["failure"]["message"];
        ["id", "guest", "backend", "state", "trust", "step"]
            .iter()
            .map(|key| text(&job[*key]))
            .chain([text(failure)])
            .collect::<Vec<_>>()
    };
    table(&["JOB", "GUEST", "BACKEND", "STATE", "TRUST", "STEP", "FAILURE"], list(&answer["jobs"]).map(row))
}

/// The table that `up` ends with.
pub(super) fn guests(summary: &Value) -> String {
    let steps = ["restore", "start", "await-report", "verify", "total"];
    let row = |guest: &Value| {
        let ed25519 = list(&guest["ssh_host_keys"]).find(|key| key["type"] == "ssh-ed25519");
        let fingerprint = ed25519.map_or_else(|| "-".to_owned(), |key| text(&key["fingerprint"]));
        let mut row = ["name", "state", "trust", "mac", "addresses", "machine_id"]
            .map(|key| text(&guest[key]))
            .to_vec();
        row.push(fingerprint);
        for step in steps {
            let milliseconds = guest["timings_ms"][step].as_u64();
            row.push(milliseconds.map_or_else(|| "-".to_owned(), |ms| format!("{:.2}", seconds_of(ms))));
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

pub(super) fn reports(answer: &Value) -> String {
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

/// Lines for a known_hosts file; keys were checked when the report was opened, names are ours.
pub(super) fn known_hosts(answer: &Value) -> String {
    let mut out = String::new();
    for host in list(&answer["hosts"]) {
        let names = text(&host["names"]);
        for key in list(&host["keys"]).filter_map(|key| key["public_key"].as_str()) {
            out.push_str(&format!("{names} {key}\n"));
        }
    }
    out
}

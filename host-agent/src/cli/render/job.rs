//! `firstlight show`: one job as a page.

use serde::Deserialize as _;
use serde_json::Value;

use super::super::live::{seconds, standstill};
use super::timeline::{Entry, timeline};
use super::{list, safe, table, text};
use crate::backend::Trouble;
use crate::job::Recorded;

/// The page. `now_ms` is for what has not ended.
pub(in crate::cli) fn job(answer: &Value, now_ms: u64) -> String {
    let job = &answer["job"];
    let mut out = String::new();
    let facts = [
        ("guest", "name"),
        ("job", "job"),
        ("batch", "batch"),
        ("backend", "backend"),
        ("made by", "made_by"),
        ("state", "state"),
        ("asked by", "by"),
        ("repeats", "retry_of"),
        ("goes on as", "successor"),
        ("driven by", "companion"),
        ("trust", "trust"),
        ("MAC", "mac"),
        ("address", "addresses"),
        ("machine-id", "machine_id"),
        ("hostname", "hostname"),
    ];
    // Of what is seldom there, only what is.
    let seldom = ["made_by", "batch", "by", "retry_of", "successor", "companion"];
    for (label, key) in facts {
        let shown = match key {
            "made_by" if job["adopted"] == true => "somebody else; it is only waited for".to_owned(),
            key => text(&job[key]),
        };
        if shown != "-" || !seldom.contains(&key) {
            out.push_str(&fact(label, &shown));
        }
    }
    for unproven in list(&job["unproven"]) {
        out.push_str(&fact("not proven", &text(unproven)));
    }
    if job["by_beacon_alone"] == true {
        out.push_str(&fact(
            "beacon",
            &format!("{}: that is all there is, no report has come", text(&job["beacon"]["state"])),
        ));
    }
    if let Some(what) = super::change(&job["change"]) {
        out.push_str(&fact(
            "changes",
            &format!("{what}, of the guest that job {} made", text(&job["change_of"])),
        ));
    }
    if job["change_of"].is_null()
        && job["state"] == "done"
        && (job["ephemeral"] == true || !job["due_at_ms"].is_null())
    {
        out.push_str(&fact("lives", &super::life(job, now_ms)));
    }
    if let Some(reach) = job["reach"].as_str() {
        out.push_str(&fact("log in", &format!("{} ssh root@{}", safe(reach), text(&job["addresses"]))));
    }
    for key in list(&job["ssh_host_keys"]) {
        out.push_str(&fact("host key", &format!("{} {}", text(&key["fingerprint"]), text(&key["type"]))));
    }
    if let Ok(trouble) = Trouble::deserialize(&job["trouble"]) {
        let when = standstill(&trouble, now_ms);
        out.push_str(&fact("trouble", &format!("{when}: {}", safe(&trouble.fault.message))));
        if let Some(hint) = &trouble.fault.hint {
            out.push_str(&fact("hint", &safe(hint)));
        }
    }
    failure(&mut out, job);
    out.push('\n');
    out.push_str(&entries(job, now_ms));
    out.push_str(&tables(answer));
    out
}

fn fact(label: &str, value: &str) -> String {
    format!("{label:12} {value}\n")
}

fn failure(out: &mut String, job: &Value) {
    if job["failure"].is_null() {
        return;
    }
    let failure = &job["failure"];
    out.push_str(&fact("failure", &format!("{} ({})", text(&failure["message"]), text(&failure["code"]))));
    if let Some(hint) = failure["hint"].as_str() {
        out.push_str(&fact("hint", &safe(hint)));
    }
    for command in list(&job["leftovers"]) {
        out.push_str(&fact("to do", &text(command)));
    }
    if let Some(other) = job["name_belongs_to"].as_str() {
        out.push_str(&fact(
            "to do",
            &format!("nothing here: the guest's name belongs to job {} now", safe(other)),
        ));
    }
    if job["state"] == "needs-operator" {
        let name = text(&job["name"]);
        let retry =
            if job["can_retry"] == true { format!("firstlight retry {name}  or  ") } else { String::new() };
        let destroy =
            if job["adopted"] == true { String::new() } else { format!("firstlight destroy {name}  or  ") };
        out.push_str(&fact("then", &format!("{retry}{destroy}firstlight abandon {name}")));
    }
    for line in list(&job["console_tail"]) {
        out.push_str(&fact("console", &text(line)));
    }
}

fn entries(job: &Value, now_ms: u64) -> String {
    let events = journal(job);
    let created = events.first().map_or(0, |event| event.at_ms);
    let row = |entry: &Entry| {
        let took = entry.ended_ms.or((entry.open).then_some(now_ms));
        vec![
            format!("{:>8}", seconds(entry.at_ms.saturating_sub(created))),
            safe(&entry.what),
            safe(&entry.outcome),
            took.map_or_else(|| "-".to_owned(), |end| span(end.saturating_sub(entry.at_ms))),
            if entry.retries > 0 { entry.retries.to_string() } else { "-".to_owned() },
            safe(&entry.detail),
        ]
    };
    table(&["AT", "WHAT", "HOW", "TOOK", "RETRIES", "DETAIL"], timeline(&events).iter().map(row))
}

/// Short ones to the millisecond.
fn span(milliseconds: u64) -> String {
    if milliseconds < 1000 { format!("{milliseconds} ms") } else { seconds(milliseconds) }
}

fn tables(answer: &Value) -> String {
    let mut out = String::new();
    let checks = list(&answer["job"]["checks"]).collect::<Vec<_>>();
    if !checks.is_empty() {
        let row = |check: &&Value| {
            ["id", "verdict", "severity", "elapsed_ms", "reason"].map(|key| text(&check[key])).to_vec()
        };
        let header = ["CHECK", "VERDICT", "SEVERITY", "MS", "REASON"];
        out.push_str(&format!("\n{}", table(&header, checks.iter().map(row))));
    }
    let secrets = list(&answer["job"]["secrets"]).collect::<Vec<_>>();
    if !secrets.is_empty() {
        let row = |secret: &&Value| {
            let mut cells = ["path", "mode", "owner", "sha256_prefix"].map(|key| text(&secret[key])).to_vec();
            cells.push(match secret["confirmed"].as_bool() {
                Some(true) => "as delivered".to_owned(),
                Some(false) => "differs".to_owned(),
                None => "unknown".to_owned(),
            });
            cells
        };
        let header = ["SECRET", "MODE", "OWNER", "SHA-256 BEGINS", "IN THE GUEST"];
        out.push_str(&format!("\n{}", table(&header, secrets.iter().map(row))));
    }
    out.push_str(&super::lists::evidence(answer));
    let refusals = list(&answer["refusals"]).collect::<Vec<_>>();
    if !refusals.is_empty() {
        let row = |refused: &&Value| ["code", "source", "message"].map(|key| text(&refused[key])).to_vec();
        out.push_str(&format!("\n{}", table(&["REFUSED", "FROM", "WHY"], refusals.iter().map(row))));
    }
    out
}

/// The journal, one event a line.
pub(in crate::cli) fn events(job: &Value) -> String {
    let created = journal(job).first().map_or(0, |event| event.at_ms);
    let row = |recorded: &Recorded| {
        let event = serde_json::to_value(&recorded.event).unwrap_or_default();
        let rest =
            event.as_object().into_iter().flatten().filter(|(key, _)| *key != "kind" && *key != "step");
        let rest: Vec<String> = rest.map(|(key, value)| format!("{key}={value}")).collect();
        vec![
            recorded.seq.to_string(),
            seconds(recorded.at_ms.saturating_sub(created)),
            text(&event["kind"]),
            text(&event["step"]),
            firstlight_shared::text::escape(&rest.join(" "), 2000),
        ]
    };
    table(&["SEQ", "AT", "EVENT", "STEP", "DETAIL"], journal(job).iter().map(row))
}

/// Events that a newer companion knows are left out.
fn journal(job: &Value) -> Vec<Recorded> {
    let known = |event: &Value| serde_json::from_value(event.clone()).ok();
    list(&job["events"]).filter_map(known).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_abandoned_job_only_what_can_be_done_is_to_do() {
        let page = |belongs_to: Value, leftovers: Value| {
            let failure = serde_json::json!({ "code": "x", "message": "y" });
            let view = serde_json::json!({ "name": "web-01", "job": "j1", "state": "abandoned", "failure": failure,
                "leftovers": leftovers, "name_belongs_to": belongs_to });
            let shown = job(&serde_json::json!({ "job": view }), 0);
            shown.lines().filter(|line| line.starts_with("to do")).collect::<Vec<_>>().join("|")
        };
        assert_eq!(page(Value::Null, serde_json::json!(["rm x"])), "to do        rm x");
        assert_eq!(
            page("j2".into(), serde_json::json!([])),
            "to do        nothing here: the guest's name belongs to job j2 now"
        );
    }
}

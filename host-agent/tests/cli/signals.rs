//! What operators' own tools read: metrics after a real bring-up, and what the dashboard and the alerts make of them.

use std::collections::{BTreeMap, BTreeSet};
#[cfg(feature = "e2e")]
use std::path::Path;
use std::time::Duration;

use firstlight_tests::paths;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::rig::Rig;

pub(crate) async fn page(rig: &Rig, accept: &str) -> (String, String) {
    let mut stream = UnixStream::connect(rig.state().join("control.sock")).await.unwrap();
    let request =
        format!("GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    // Larger pages come in pieces; each is behind its length in hexadecimal digits.
    let body = match head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
        false => body.to_owned(),
        true => {
            let (mut rest, mut whole) = (body, String::new());
            while let Some((length, after)) = rest.split_once("\r\n") {
                let length = usize::from_str_radix(length, 16).unwrap();
                whole.push_str(&after[..length]);
                rest = after[length..].trim_start_matches("\r\n");
            }
            whole
        }
    };
    (head.to_owned(), body)
}

/// Names of samples with the names of their labels.
fn samples(page: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let (series, _) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let labels =
            labels.trim_end_matches('}').split("\",").filter_map(|pair| Some(pair.split_once('=')?.0));
        found.entry(name.to_owned()).or_default().extend(labels.map(str::to_owned));
    }
    found
}

/// The metrics in a query, each with the labels that its braces name.
fn asked(query: &str) -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut rest = query;
    while let Some(start) = ["firstlight_", "process_"].iter().filter_map(|name| rest.find(name)).min() {
        let tail = &rest[start..];
        let (name, after) = tail.split_at(tail.find(|c| !part(c)).unwrap_or(tail.len()));
        let braces = after
            .strip_prefix('{')
            .and_then(|inside| inside.split_once('}'))
            .map_or("", |(inside, _)| inside);
        let label = |word: &str| word.split(['=', '!']).next().unwrap().trim().to_owned();
        let labels = braces.split(", ").map(label).filter(|label| !label.is_empty()).collect();
        found.push((name.to_owned(), labels));
        rest = after;
    }
    found
}

fn texts(value: &Value, key: &str, into: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, inner) in fields {
                match inner {
                    Value::String(text) if name == key => into.push(text.clone()),
                    inner => texts(inner, key, into),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| texts(item, key, into)),
        _ => {}
    }
}

fn packaged(name: &str) -> String {
    std::fs::read_to_string(paths::root().join("packaging").join(name)).unwrap()
}

/// A companion that brought a guest up and had every kind of trouble that a paper hypervisor has not.
async fn after_work() -> Rig {
    let rig = Rig::serving().await;
    rig.run(&["up", &rig.spec(&["web-01"], "")]).await.ends_with(0);
    let metrics = &rig.companion.as_ref().unwrap().metrics;
    metrics.call("local", "GET", Duration::from_millis(3));
    metrics.call_failed("local", "proxmox-gone");
    metrics.step_again("start");
    metrics.store_error("append");
    metrics.delivered("webhook:ci", "given-up");
    metrics.deliveries_wait("webhook:ci", 1);
    let counted = "firstlight_guests{backend=\"local\",state=\"done\",trust=\"attested\"} 1";
    for _ in 0..300 {
        if page(&rig, "*/*").await.1.contains(counted) {
            return rig;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the guest is not counted: {}", page(&rig, "*/*").await.1);
}

#[tokio::test(flavor = "multi_thread")]
async fn dashboard_and_alerts_ask_for_what_there_is() {
    let mut rig = after_work().await;
    let (head, text) = page(&rig, "text/plain;version=0.0.4;q=1,*/*;q=0.1").await;
    assert!(head.contains("text/plain; version=0.0.4"), "{head}");
    let (open, _) =
        page(&rig, "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5").await;
    assert!(open.contains("application/openmetrics-text"), "{open}");
    for line in [
        "firstlight_jobs_ended_total{backend=\"local\",ending=\"ready\"} 1",
        "firstlight_time_to_ready_seconds_count{backend=\"local\"} 1",
        "firstlight_oldest_job_age_seconds{phase=\"queued\"} 0.0",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
    assert!(!text.contains("web-01"), "no label is a guest's name");

    let there = samples(&text);
    let mut queries = Vec::new();
    texts(&serde_json::from_str(&packaged("grafana/firstlight.json")).unwrap(), "expr", &mut queries);
    assert!(queries.len() > 20, "{queries:?}");
    queries.push(
        packaged("prometheus/firstlight.rules.yml")
            .lines()
            .filter(|line| !line.contains("description:"))
            .collect(),
    );
    for query in &queries {
        for (name, labels) in asked(query) {
            let known = there.get(&name).unwrap_or_else(|| panic!("{name} of {query} is not in {text}"));
            // These come from Prometheus itself.
            for label in labels.iter().filter(|label| !["instance", "job"].contains(&label.as_str())) {
                assert!(known.contains(label), "{name} has no label {label}: {query}");
            }
        }
    }
    // As many alerts as are described, and tested.
    let rules = packaged("prometheus/firstlight.rules.yml");
    let page = std::fs::read_to_string(paths::root().join("docs/telemetry.md")).unwrap();
    let tests = packaged("prometheus/firstlight.test.yml");
    for alert in rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        assert!(page.contains(&format!("`{alert}`")), "{alert} is not in docs/telemetry.md");
        assert!(tests.contains(&format!("alertname: {alert}\n")), "{alert} is not tested");
    }
    rig.stop().await;
}

/// Prometheus' own judgement.
#[cfg(feature = "e2e")]
#[tokio::test(flavor = "multi_thread")]
async fn promtool_finds_nothing_wrong() {
    let promtool =
        tokio::task::spawn_blocking(firstlight_tests::prometheus::promtool).await.unwrap().unwrap();
    let mut rig = after_work().await;
    let (_, text) = page(&rig, "text/plain").await;
    let file = rig.path("metrics.txt");
    std::fs::write(&file, &text).unwrap();
    judge(&promtool, &["check", "metrics"], Some(&file));
    let folder = paths::root().join("packaging/prometheus");
    let path = |name: &str| folder.join(name).display().to_string();
    judge(&promtool, &["check", "rules", &path("firstlight.rules.yml")], None);
    judge(&promtool, &["test", "rules", &path("firstlight.test.yml")], None);
    judge(&promtool, &["check", "config", "--syntax-only", &path("scrape.yml")], None);
    // It does find what is wrong.
    std::fs::write(&file, text.replace("# TYPE firstlight_jobs gauge", "# TYPE firstlight_jobs counter"))
        .unwrap();
    let found = run(&promtool, &["check", "metrics"], Some(&file));
    assert!(!found.status.success(), "{found:?}");
    rig.stop().await;
}

#[cfg(feature = "e2e")]
#[track_caller]
fn judge(promtool: &Path, words: &[&str], input: Option<&Path>) {
    let found = run(promtool, words, input);
    assert!(found.status.success() && found.stderr.is_empty(), "{words:?}: {found:?}");
}

#[cfg(feature = "e2e")]
fn run(promtool: &Path, words: &[&str], input: Option<&Path>) -> std::process::Output {
    let input = match input {
        Some(file) => std::fs::File::open(file).unwrap().into(),
        None => std::process::Stdio::null(),
    };
    std::process::Command::new(promtool).args(words).stdin(input).output().unwrap()
}

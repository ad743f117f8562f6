//! The token's secret, looked for wherever a whole bring-up leaves a trace.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use firstlight_tests::simpve::call::Method;
use firstlight_tests::simpve::example::{SECRET, TOKEN};
use firstlight_tests::simpve::faults::{Fault, Rule};
use firstlight_tests::simpve::guest::Kind;
use firstlight_tests::simpve::profile::Profile;
use serde_json::json;

use crate::field::{Cluster, Companion, spec};

const LIMIT: Duration = Duration::from_secs(60);

/// The secret, a part of it, and what encodings make of it.
fn needles(secret: &str) -> Vec<Vec<u8>> {
    let whole = format!("{TOKEN}={secret}");
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    let part = &secret[8..28];
    [secret.to_owned(), part.to_owned(), BASE64_STANDARD.encode(secret), BASE64_STANDARD.encode(whole), hex]
        .map(String::into_bytes)
        .to_vec()
}

#[track_caller]
pub(crate) fn assert_clean(what: &str, content: &[u8], secrets: &[&str]) {
    for secret in secrets {
        for needle in needles(secret) {
            let found = content.windows(needle.len()).position(|window| window == needle);
            if let Some(place) = found {
                let from = place.saturating_sub(200);
                panic!("{what} holds the secret:\n{}", String::from_utf8_lossy(&content[from..place]));
            }
        }
    }
}

pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

pub(crate) async fn assert_process_is_clean(companion: &Companion, secrets: &[&str]) {
    for name in ["cmdline", "environ", "comm"] {
        let content = std::fs::read(format!("/proc/{}/{name}", companion.id())).unwrap();
        assert_clean(&format!("/proc/PID/{name}"), &content, secrets);
    }
}

pub(crate) async fn assert_answers_are_clean(companion: &Companion, jobs: &[String], secrets: &[&str]) {
    let mut paths = ["/v1/status", "/v1/jobs", "/v1/reports", "/v1/known-hosts"].map(str::to_owned).to_vec();
    paths.extend(jobs.iter().map(|job| format!("/v1/jobs/{job}")));
    for path in paths {
        let answer = companion.get(&path).await.unwrap_or_else(|| panic!("{path} is not answered"));
        assert_clean(&path, answer.to_string().as_bytes(), secrets);
    }
}

pub(crate) fn assert_commands_are_clean(cluster: &Cluster, jobs: &[String], secrets: &[&str]) {
    let job = jobs[0].as_str();
    for words in [
        &["config", "check"][..],
        &["config", "check", "--json"],
        &["doctor"],
        &["doctor", "--json"],
        &["jobs", "--json"],
        &["show", job],
        &["show", job, "--json"],
        &["show", "no-such-guest"],
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_firstlight"))
            .args(words)
            .arg("--config")
            .arg(cluster.place.path("firstlight.toml"))
            .env("RUST_LOG", "trace")
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert!(!said.is_empty(), "{words:?} said nothing");
        assert_clean(&words.join(" "), &said, secrets);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_token_is_nowhere_but_in_its_file_and_in_requests() {
    let cluster = Cluster::with(Profile::instant(), "trace");
    let secrets = [SECRET];
    let companion = cluster.companion().await;
    let mut jobs = Vec::new();
    // One that goes well of each kind, and one that does not; servers' errors are logged on the way.
    for fault in [
        Rule::once(Method::Post, "/nodes/*/lxc", Fault::TimedOut { applied: true }),
        // More than once: the look for all guests, which says little, may meet it first.
        Rule {
            times: 4,
            ..Rule::once(Method::Get, "/nodes/*/lxc/*/config", Fault::Fails(format!("bad token {SECRET}")))
        },
        Rule::once(Method::Post, "/nodes/*/qemu/*/status/start", Fault::CutBefore),
    ] {
        cluster.sim.fault(fault);
    }
    for (name, kind, goes_well) in
        [("web-01", Kind::Lxc, true), ("web-02", Kind::Qemu, true), ("web-03", Kind::Lxc, false)]
    {
        let mut wanted = spec(kind);
        wanted["plan"]["name"] = json!(name);
        if !goes_well {
            wanted["require"] = json!(["no-such-check"]);
        }
        let job = companion.up(&wanted).await;
        let ended = companion.ended(&job, LIMIT).await;
        let state = if goes_well { "done" } else { "rolled-back" };
        assert_eq!(ended.state(), state, "{ended:#?}\n{}", companion.log());
        jobs.push(job);
    }
    assert_process_is_clean(&companion, &secrets).await;
    assert_answers_are_clean(&companion, &jobs, &secrets).await;
    assert_commands_are_clean(&cluster, &jobs, &secrets);
    drop(companion);

    // Another secret, which the cluster does not know: 401s all the way.
    let wrong = "ffffffff-5555-6666-7777-888888888888";
    cluster.place.write("token", &format!("{TOKEN}={wrong}\n"));
    let companion = cluster.companion().await;
    let (status, answer) =
        companion.post("/v1/up", &json!({ "guests": [spec(Kind::Qemu)], "by": "test" })).await;
    assert!(!status.is_success(), "{status} {answer}");
    let secrets = [SECRET, wrong];
    assert_clean("a refusal", answer.to_string().as_bytes(), &secrets);
    assert_answers_are_clean(&companion, &jobs, &secrets).await;
    assert_commands_are_clean(&cluster, &jobs, &secrets);
    drop(companion);
    // And none at all.
    cluster.place.write("token", &format!("{wrong}\n"));
    assert_commands_are_clean(&cluster, &jobs, &secrets);

    let mut looked = 0;
    for path in files(cluster.place.folder.path()) {
        let content = std::fs::read(&path).unwrap();
        if path == cluster.place.path("token") {
            let found = content.windows(wrong.len()).any(|window| window == wrong.as_bytes());
            assert!(found, "the search finds what is there");
            continue;
        }
        assert_clean(&path.display().to_string(), &content, &secrets);
        looked += 1;
    }
    assert!(looked >= 4, "store, log, configuration and more: {looked}");
    let log = std::fs::read_to_string(cluster.place.path("log")).unwrap();
    for words in ["DEBUG", "journaled", "looking again", "[token]"] {
        assert!(log.contains(words), "the log tells all, and so has `{words}`");
    }
    // Guests are not handed it either.
    assert_clean("the cluster", cluster.sim.inventory().to_string().as_bytes(), &secrets);
    for one in cluster.sim.requests() {
        let told: String = one.parameters.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
        assert_clean(&one.path, format!("{}\n{told}", one.path).as_bytes(), &secrets);
    }
}

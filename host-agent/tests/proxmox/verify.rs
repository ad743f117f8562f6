//! `firstlight verify` where the hypervisor runs nothing in its guests: what the guest sends by itself counts, and until then
//! nothing does.

use std::net::{IpAddr, Ipv4Addr};
use std::process::{Output, Stdio};
use std::time::Duration;

use firstlight_shared::paths::{CHALLENGE_ENDPOINT, EVIDENCE_ENDPOINT};
use firstlight_tests::simpve::guest::Kind;
use firstlight_tests::wait::until_so;
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::field::post::post_to;
use crate::field::report::{TIMED, evidence};
use crate::field::{Cluster, Companion, spec};

const LIMIT: Duration = Duration::from_secs(60);
const SOURCE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

async fn brought_up(cluster: &Cluster, kind: Kind, name: &str) -> Companion {
    let companion = cluster.companion().await;
    let mut wanted = spec(kind);
    wanted["plan"]["name"] = name.into();
    let job = companion.up(&wanted).await;
    let ended = companion.ended(&job, LIMIT).await;
    assert_eq!(ended.state(), "done", "{ended:#?}\n{}", companion.log());
    companion
}

fn command(cluster: &Cluster, words: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_firstlight"));
    command.args(words).arg("--config").arg(cluster.place.path("firstlight.toml"));
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn().unwrap()
}

async fn run(cluster: &Cluster, words: &[&str]) -> Output {
    command(cluster, words).wait_with_output().await.unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// As its timer, or its next boot, has a guest do it.
async fn sends_evidence(cluster: &Cluster, guest: &str) {
    let post = async |place, body| post_to(cluster.place.reports, SOURCE, place, body).await.unwrap();
    let (status, answer) = post(CHALLENGE_ENDPOINT, String::new()).await;
    assert_eq!(status, 200, "{answer}");
    let challenge: Value = serde_json::from_str(&answer).unwrap();
    let signed = evidence(guest, challenge["nonce"].as_str().unwrap(), firstlight::clock::now_ms());
    let (status, answer) = post(EVIDENCE_ENDPOINT, serde_json::to_string(&signed).unwrap()).await;
    assert_eq!(status, 200, "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_timer_it_is_at_the_next_boot() {
    for (kind, guest) in [(Kind::Lxc, "asked-lxc"), (Kind::Qemu, "asked-vm")] {
        let cluster = Cluster::start();
        let companion = brought_up(&cluster, kind, guest).await;
        let changes = cluster.changes().len();
        let ran = run(&cluster, &["verify", guest]).await;
        assert_eq!(ran.status.code(), Some(7), "{}", said(&ran));
        let words = said(&ran);
        assert!(words.contains("at next boot") && words.contains("firstlight-evidence.timer"), "{words}");
        assert_eq!(cluster.changes().len(), changes, "it did something to the guest");

        sends_evidence(&cluster, guest).await;
        let path = format!("/v1/guests/{guest}/verify");
        let (status, made) = companion.post(&path, &json!({ "since_ms": 0 })).await;
        assert!(status.is_success(), "{status} {made}");
        assert_eq!((&made["state"], &made["holds"]), (&json!("made"), &json!(true)), "{made:#}");
        // It is in the export, too, as it was given out.
        let export = run(&cluster, &["store", "export"]).await;
        let line: Value = serde_json::from_slice(&export.stdout).unwrap();
        assert_eq!(line["evidence"][0]["file"], made["file"], "{line:#}");
        assert_eq!(line["heard"]["evidence"]["version"], 1, "{line:#}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_timer_it_is_waited_for() {
    let cluster = Cluster::start();
    let _companion = brought_up(&cluster, Kind::Lxc, TIMED).await;
    let ran = run(&cluster, &["verify", TIMED, "--timeout", "1s"]).await;
    assert_eq!(ran.status.code(), Some(7), "{}", said(&ran));
    assert!(said(&ran).contains("not yet"), "{}", said(&ran));

    let file = cluster.place.path("timed.evidence");
    let waiting = command(&cluster, &["verify", TIMED, "--timeout", "60s", "--out", file.to_str().unwrap()]);
    // What comes later than the question counts: so it sends until it is heard.
    let sending = until_so("the evidence to be written", LIMIT, async || {
        sends_evidence(&cluster, TIMED).await;
        file.exists()
    });
    let (ran, ()) = tokio::join!(waiting.wait_with_output(), sending);
    let ran = ran.unwrap();
    assert!(ran.status.success() && said(&ran).contains("by its own timer"), "{}", said(&ran));
}

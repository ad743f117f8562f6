//! A job that does not go on says why, since when, and when it is tried again: in `up`, in `show`, in `jobs`.

use std::process::Stdio;
use std::time::Duration;

use firstlight_tests::simpve::call::Method;
use firstlight_tests::simpve::example::CONTAINER_GOLDEN;
use firstlight_tests::simpve::faults::{Fault, Rule};
use firstlight_tests::wait::until_so;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{ChildStderr, Command};

use crate::field::{Cluster, GUEST};

fn program(cluster: &Cluster, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_firstlight"));
    command.args(words).arg("--config").arg(cluster.place.path("firstlight.toml"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

async fn said(cluster: &Cluster, words: &[&str]) -> String {
    let output = program(cluster, words).output().await.unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Waits for a line with all of these words.
async fn says(lines: &mut Lines<BufReader<ChildStderr>>, words: &[&str]) {
    let mut heard = Vec::new();
    let found = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            let found = words.iter().all(|word| line.contains(word));
            heard.push(line);
            if found {
                return true;
            }
        }
        false
    };
    let found = tokio::time::timeout(Duration::from_secs(60), found).await;
    assert!(matches!(found, Ok(true)), "it did not say {words:?} but {heard:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_tried_again_is_told_with_its_reason() {
    let cluster = Cluster::start();
    let _companion = cluster.companion().await;
    let spec = cluster.place.path("web.toml");
    let text =
        format!("[[guest]]\nname = \"{GUEST}\"\nbackend = \"proxmox\"\ngolden = {CONTAINER_GOLDEN:?}\n");
    std::fs::write(&spec, text).unwrap();
    // Of the restore nobody hears; everything else is answered: it is in doubt.
    cluster.sim.fault(Rule::always(Method::Post, "/nodes/*/lxc", Fault::CutBefore));
    let mut up = program(&cluster, &["up", spec.to_str().unwrap()]).spawn().unwrap();
    let mut lines = BufReader::new(up.stderr.take().unwrap()).lines();
    says(&mut lines, &["web-01: running restore", "tries again: POST /nodes/pve1/lxc: "]).await;
    let page = said(&cluster, &["show", GUEST]).await;
    let trouble = page.lines().find(|line| line.starts_with("trouble ")).unwrap_or_else(|| panic!("{page}"));
    assert!(trouble.contains("stands still for ") && trouble.contains("POST /nodes/pve1/lxc: "), "{trouble}");

    // Then nothing is answered any more.
    cluster.sim.fault(Rule { method: None, ..Rule::always(Method::Get, "/**", Fault::CutBefore) });
    until_so("the outage to be shown", Duration::from_secs(30), async || {
        let page = said(&cluster, &["show", GUEST]).await;
        page.lines().any(|line| {
            line.starts_with("trouble ") && line.contains(": GET /") && line.contains("next try in")
        })
    })
    .await;
    says(&mut lines, &["web-01: running restore", "tries again: GET /"]).await;
    let jobs = said(&cluster, &["jobs"]).await;
    assert!(jobs.contains("tries again: GET /"), "{jobs}");

    cluster.sim.with_faults(|faults| faults.clear());
    says(&mut lines, &["web-01: ready"]).await;
    assert_eq!(up.wait().await.unwrap().code(), Some(0));
    let page = said(&cluster, &["show", GUEST]).await;
    assert!(!page.lines().any(|line| line.starts_with("trouble ")), "{page}");
}

//! Following: Ctrl-C, a companion that comes back, readers that go away.

use std::process::Stdio;

use crate::rig::Rig;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ctrl_c_detaches_and_says_how_to_come_back() {
    let rig = Rig::serving().await;
    rig.hypervisor.change(|manner| manner.silent = true);
    let mut up = rig.start(&["up", &rig.spec(&["web-01"], "")]);
    up.says("web-01: waiting for the guest's report").await;
    up.interrupt();
    let up = up.end().await.ends_with(130);
    let job = rig.job("web-01").await;
    assert!(up.stderr.contains(&format!("hint: watch again with `firstlight watch {job}`")), "{up:#?}");
    assert_eq!(rig.hypervisor.machines().len(), 1, "the job was not left to the companion");

    let mut watch = rig.start(&["watch", &job]);
    watch.says("web-01: waiting for the guest's report").await;
    rig.hypervisor.change(|manner| manner.silent = false);
    watch.says("web-01: ready").await;
    watch.end().await.ends_with(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_is_cancelled_by_its_guests_name() {
    let rig = Rig::serving().await;
    rig.hypervisor.change(|manner| manner.silent = true);
    rig.run(&["up", &rig.spec(&["web-01"], ""), "--detach"]).await.ends_with(0);
    rig.await_state("web-01", "waiting").await;
    let joined = rig.run(&["up", &rig.spec(&["web-01"], ""), "--detach", "--json"]).await.ends_with(0).json();
    assert_eq!(joined["jobs"][0]["action"], "joined");
    rig.run(&["cancel", "web-01", "--reason", "wrong golden"]).await.ends_with(0);
    let shown = rig.run(&["show", "web-01"]).await.ends_with(0).stdout;
    for words in ["undo asked for", "by root", "wrong golden", "undo restore", "state        rolled-back"] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    let events = rig.run(&["show", "web-01", "--events"]).await.ends_with(0).stdout;
    assert!(events.contains("unwind-requested") && events.contains("step-progress"), "{events}");
    assert!(rig.hypervisor.machines().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_follows_waits_for_a_companion_that_is_started_again() {
    let mut rig = Rig::serving().await;
    rig.hypervisor.change(|manner| manner.silent = true);
    let mut up = rig.start(&["up", &rig.spec(&["web-01"], "")]);
    up.says("web-01: waiting for the guest's report").await;
    rig.stop().await;
    up.says("waiting for it").await;
    rig.hypervisor.change(|manner| manner.silent = false);
    rig.serve().await;
    up.says("the companion is back").await;
    let up = up.end().await.ends_with(0);
    assert!(up.stdout.contains("SHA256:"), "{up:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_is_watched_until_ctrl_c_and_changes_are_lines_for_programs() {
    let rig = Rig::serving().await;
    let mut watch = rig.start(&["watch"]);
    let lines = rig.start(&["watch", "--json"]);
    tokio::time::sleep(std::time::Duration::from_millis(300)).await; // both listen, or get the snapshot
    rig.run(&["up", &rig.spec(&["web-01"], "")]).await.ends_with(0);
    watch.says("web-01: ready").await;
    watch.interrupt();
    watch.end().await.ends_with(0);
    lines.interrupt();
    let lines = lines.end().await.ends_with(0);
    let kinds: Vec<serde_json::Value> =
        lines.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(kinds[0]["kind"], "snapshot");
    assert!(kinds.iter().any(|line| line["kind"] == "job" && line["state"] == "done"), "{kinds:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_goes_away_is_no_error() {
    let rig = Rig::serving().await;
    rig.run(&["up", &rig.spec(&["web-01"], "")]).await.ends_with(0);
    for words in [&["jobs"][..], &["show", "web-01", "--json"], &["watch", "--json"], &["store", "export"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = rig.command(words);
        command.stdout(Stdio::from(writer));
        crate::rig::run(command).await.ends_with(0);
    }
}

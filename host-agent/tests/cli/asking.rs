//! Asking: apply, plan, list, show, and what people want of jobs.

use crate::rig::Rig;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spec_is_planned_applied_and_applied_again() {
    let rig = Rig::serving().await;
    let spec = rig.spec(&["web-01", "web-02"], "");
    let plan = rig.run(&["plan", &spec]).await.ends_with(0);
    assert!(plan.stdout.lines().nth(1).unwrap().contains("create"), "{}", plan.stdout);
    assert!(rig.hypervisor.machines().is_empty(), "a plan made something");

    let up = rig.run(&["up", &spec]).await.ends_with(0);
    assert!(up.stderr.contains("created: web-01, web-02"), "{up:#?}");
    assert!(up.stderr.contains("web-01: ready in ") && up.stderr.contains("web-02: waiting for"), "{up:#?}");
    let heads = up.stdout.lines().next().unwrap();
    assert!(heads.starts_with("NAME ") && heads.contains("ED25519 FINGERPRINT"), "{up:#?}");
    assert_eq!(up.stdout.lines().filter(|line| line.contains("SHA256:")).count(), 2, "{up:#?}");

    let again = rig.run(&["up", &spec, "--json"]).await.ends_with(0);
    assert!(again.stderr.contains("unchanged") && !again.stderr.contains("created"), "{again:#?}");
    let again = again.json();
    assert_eq!(again["submitted"][0]["action"], "unchanged");
    assert_eq!(again["guests"][1]["state"], "done");
    assert_eq!(rig.hypervisor.machines().len(), 2);
    let plan = rig.run(&["plan", &spec, "--json"]).await.ends_with(0).json();
    assert_eq!(plan["guests"][0]["action"], "unchanged", "{plan:#}");

    let other = rig.spec(&["web-01"], "on_failure = \"keep\"\n[guest.readiness]\ntimeout = \"7s\"");
    let plan = rig.run(&["plan", &other]).await.ends_with(3).tells(&["web-01"]);
    assert!(plan.stdout.contains("conflict"), "{plan:#?}");
    rig.run(&["up", &other]).await.ends_with(3).tells(&["web-01"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_that_fails_ends_its_command_with_what_went_wrong() {
    let rig = Rig::serving().await;
    rig.hypervisor.break_guest("web-01", true);
    let ran = rig
        .run(&["up", &rig.spec(&["web-01"], "")])
        .await
        .ends_with(1)
        .tells(&["web-01: ", "firstlight show"]);
    assert!(ran.stdout.contains("rolled-back"), "{ran:#?}");

    let kept = rig.run(&["up", &rig.spec(&["web-01"], "on_failure = \"keep\"")]).await;
    kept.ends_with(6).tells(&["an operator is needed", "remove machine"]);
    let shown = rig.run(&["show", "web-01"]).await.ends_with(0).stdout;
    for words in [
        "state        needs-operator",
        "to do        remove machine",
        "firstlight retry web-01",
        "operator needed",
    ] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    rig.run(&["cancel", "web-01"]).await.ends_with(3).tells(&["needs-operator"]);
    rig.hypervisor.break_guest("web-01", false);
    let retried = rig.run(&["retry", "web-01"]).await.ends_with(0);
    assert!(retried.stdout.contains("SHA256:"), "{retried:#?}");
    let shown = rig.run(&["show", "web-01"]).await.ends_with(0).stdout;
    assert!(shown.contains("retry asked for"), "{shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_failed_begins_anew_or_is_abandoned() {
    let rig = Rig::serving().await;
    rig.hypervisor.break_guest("web-01", true);
    let spec = rig.spec(&["web-01"], "on_failure = \"keep\"");
    rig.run(&["up", &spec]).await.ends_with(6);
    let first = rig.job("web-01").await;
    rig.hypervisor.break_guest("web-01", false);
    rig.run(&["retry", "web-01", "--anew"]).await.ends_with(0);
    assert_ne!(rig.job("web-01").await, first);
    assert_eq!(rig.hypervisor.machines().len(), 1);
    rig.run(&["retry", "web-01"]).await.ends_with(3).tells(&["done"]);

    rig.hypervisor.break_guest("web-02", true);
    rig.run(&["up", &rig.spec(&["web-02"], "on_failure = \"keep\"")]).await.ends_with(6);
    rig.run(&["abandon", "web-02", "--reason", "by \u{1b}[31mhand"]).await.ends_with(0);
    let shown = rig.run(&["show", "web-02"]).await.ends_with(0).stdout;
    assert!(shown.contains("by root") && shown.contains("hand") && !shown.contains('\u{1b}'), "{shown}");
    rig.run(&["abandon", "web-01"]).await.ends_with(3).tells(&["done"]);

    // One that is gone already has nothing to be undone before.
    rig.hypervisor.break_guest("web-03", true);
    rig.run(&["up", &rig.spec(&["web-03"], "")]).await.ends_with(1);
    rig.hypervisor.break_guest("web-03", false);
    let anew = rig.run(&["retry", "web-03", "--anew"]).await.ends_with(0);
    assert!(anew.stderr.contains("web-03: ready"), "{anew:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_are_filtered_and_paged() {
    let rig = Rig::serving().await;
    rig.run(&["up", &rig.spec(&["web-01", "web-02", "web-03"], "")]).await.ends_with(0);
    rig.run(&["destroy", "web-02"]).await.ends_with(0);
    let jobs = rig.run(&["jobs", "--limit", "2"]).await.ends_with(0);
    assert_eq!(jobs.stdout.lines().count(), 3, "{jobs:#?}");
    let mark = jobs.stderr.split("--before ").nth(1).expect("the next page is told").trim().to_owned();
    let rest = rig.run(&["jobs", "--limit", "2", "--before", &mark, "--json"]).await.ends_with(0).json();
    assert_eq!(rest["jobs"].as_array().unwrap().len(), 1, "{rest:#}");
    assert_eq!(rest["next"], serde_json::Value::Null);
    for list in ["jobs", "reports"] {
        let lost = rig.run(&[list, "--before", "zzz"]).await.ends_with(3);
        assert!(
            lost.stdout.is_empty() && lost.stderr.contains("`zzz` is not the `next` of a page"),
            "{lost:#?}"
        );
    }
    let done = rig.run(&["jobs", "--in", "done", "--json"]).await.ends_with(0).json();
    assert_eq!(done["jobs"].as_array().unwrap().len(), 2);
    let one = rig.run(&["jobs", "--guest", "web-02", "--json"]).await.ends_with(0).json();
    assert_eq!(one["jobs"][0]["state"], "rolled-back");
    let batch = one["jobs"][0]["batch"].as_str().unwrap().to_owned();
    let batch = rig.run(&["jobs", "--batch", &batch, "--json"]).await.ends_with(0).json();
    assert_eq!(batch["jobs"].as_array().unwrap().len(), 3);
    let reports = rig.run(&["reports", "web-01", "--json"]).await.ends_with(0).json();
    assert_eq!(reports["reports"].as_array().unwrap().len(), 1);
    let hosts = rig.run(&["known-hosts"]).await.ends_with(0).stdout;
    assert!(hosts.starts_with("web-0") && !hosts.contains("web-02"), "{hosts}");
    rig.run(&["known-hosts", "web-02"]).await.ends_with(5).tells(&["web-02"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_is_destroyed_and_what_is_not_there_is_told() {
    let rig = Rig::serving().await;
    rig.run(&["up", &rig.spec(&["web-01", "web-02"], "")]).await.ends_with(0);
    // All or none.
    rig.run(&["destroy", "web-01", "web-09"]).await.ends_with(5).tells(&["web-09"]);
    assert_eq!(rig.hypervisor.machines().len(), 2);
    let gone = rig.run(&["destroy", "--all", "--json"]).await.ends_with(0).json();
    assert_eq!(gone["guests"].as_array().unwrap().len(), 2);
    assert!(rig.hypervisor.machines().is_empty());
    let nothing = rig.run(&["destroy", "--all"]).await.ends_with(0);
    assert!(nothing.stderr.contains("nothing to destroy"), "{nothing:#?}");
    let nothing = rig.run(&["destroy", "--all", "--json"]).await.ends_with(0);
    assert!(nothing.stderr.contains("nothing to destroy"), "{nothing:#?}");
    assert_eq!(nothing.json(), serde_json::json!({ "guests": [], "duplicates": [] }));
    // What came from a guest that is gone is still told; of one that never was there is nothing to tell.
    rig.run(&["reports", "web-01"]).await.ends_with(0);
    rig.run(&["reports", "nobody"])
        .await
        .ends_with(5)
        .tells(&["no guest `nobody` is known", "firstlight jobs"]);
    rig.run(&["reports", "nobody", "--json"]).await.ends_with(5).tells(&["nobody"]);
    rig.run(&["destroy", "web-01"]).await.ends_with(5).tells(&["web-01"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_is_checked_copied_and_exported() {
    let rig = Rig::serving().await;
    rig.run(&["up", &rig.spec(&["web-01"], "")]).await.ends_with(0);
    let checked = rig.run(&["store", "check", "--json"]).await.ends_with(0).json();
    assert_eq!(checked["problems"], serde_json::json!([]));
    let copy = rig.path("copy.db");
    rig.run(&["store", "backup", &copy.display().to_string()]).await.ends_with(0);
    let bytes = std::fs::read(&copy).unwrap();
    assert!(bytes.starts_with(b"SQLite format 3\0") && bytes.len() > 10_000);
    let mode = std::os::unix::fs::PermissionsExt::mode(&copy.metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    rig.run(&["store", "backup", &copy.display().to_string()]).await.ends_with(4).tells(&["copy.db"]);
    assert_eq!(std::fs::read(&copy).unwrap(), bytes, "a copy was overwritten");
    let export = rig.run(&["store", "export"]).await.ends_with(0);
    let line: serde_json::Value = serde_json::from_str(export.stdout.trim()).unwrap();
    assert_eq!(line["guest"], "web-01");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queued_job_says_what_it_waits_for() {
    let rig = Rig::serving_with("[limits]\nnode = 1\n").await;
    rig.hypervisor.change(|manner| manner.make = std::time::Duration::from_secs(3));
    rig.run(&["up", &rig.spec(&["web-01", "web-02"], ""), "--detach"]).await.ends_with(0);
    rig.await_state("web-01", "running").await;
    let jobs = rig.run(&["jobs", "--in", "queued"]).await.ends_with(0).stdout;
    assert!(
        jobs.contains("web-02") && jobs.contains("waits for node:paper: 1 of 1 places are taken"),
        "{jobs}"
    );
}

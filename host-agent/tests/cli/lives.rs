//! How long guests live, and changes of those that are ready.

use crate::rig::Rig;

/// With one guest that is ready; `more` are lines of its spec.
async fn with_guest(more: &str) -> Rig {
    let rig = Rig::serving().await;
    rig.run(&["up", &rig.spec(&["web-01"], more)]).await.ends_with(0);
    rig
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_is_kept_for_a_time_for_ever_and_promoted() {
    let rig = with_guest("lifecycle = \"ephemeral\"\ndestroy_after = \"1h\"").await;
    let jobs = rig.run(&["jobs"]).await.ends_with(0).stdout;
    assert!(jobs.contains("59m") || jobs.contains("1h"), "{jobs}");

    let kept = rig.run(&["keep", "web-01", "--for", "2h"]).await.ends_with(0).stdout;
    assert!(kept.contains("web-01: destroyed in ") && kept.contains("gone when it stops"), "{kept}");
    let kept = rig.run(&["keep", "web-01", "--json"]).await.ends_with(0).json();
    assert_eq!(kept["guests"][0]["due_at_ms"], serde_json::Value::Null, "{kept:#}");
    assert_eq!(kept["guests"][0]["ephemeral"], true, "{kept:#}");
    let kept = rig.run(&["keep", "web-01", "--forever"]).await.ends_with(0).stdout;
    assert_eq!(kept, "web-01: gone when it stops\n");

    rig.run(&["promote", "web-01"]).await.ends_with(0);
    assert!(!rig.hypervisor.machine("web-01").unwrap().ephemeral);
    let shown = rig.run(&["show", "web-01", "--json"]).await.ends_with(0).json();
    assert!(shown["job"]["ephemeral"] != true, "{shown:#}");

    let detached = rig.run(&["keep", "web-01", "--for", "1h", "--detach", "--json"]).await.ends_with(0);
    assert_eq!(detached.json()["jobs"][0]["job"], rig.job("web-01").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ephemeral_guest_is_destroyed_as_any_and_what_is_gone_is_not_kept() {
    let rig = with_guest("lifecycle = \"ephemeral\"").await;
    rig.run(&["destroy", "web-01"]).await.ends_with(0);
    assert!(rig.hypervisor.machines().is_empty());
    rig.run(&["keep", "web-01"]).await.ends_with(1).tells(&["rolled-back", "retry --anew web-01"]);
    rig.run(&["promote", "web-01"]).await.ends_with(3).tells(&["not ready but rolled-back"]);
    rig.run(&["keep", "nobody"]).await.ends_with(5).tells(&["nobody"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_whose_time_is_over_is_gone_and_says_why() {
    let rig = with_guest("destroy_after = \"1s\"").await;
    rig.await_state("web-01", "rolled-back").await;
    assert!(rig.hypervisor.machines().is_empty());
    let shown = rig.run(&["show", "web-01", "--json"]).await.ends_with(0).json();
    assert_eq!(shown["job"]["failure"]["code"], "due", "{shown:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_is_set_and_what_cannot_be_is_refused() {
    let rig = with_guest("memory = \"1G\"").await;
    let set =
        rig.run(&["set", "web-01", "--memory", "2G", "--snapshot", "before", "--json"]).await.ends_with(0);
    let set = set.json();
    assert_eq!(set["guests"][0]["state"], "done", "{set:#}");
    assert_eq!(set["guests"][0]["change"]["kind"], "memory", "{set:#}");
    let machine = rig.hypervisor.machine("web-01").unwrap();
    assert_eq!((machine.memory, machine.snapshots), (2 << 30, vec![("before".to_owned(), 1 << 30)]));
    // The spec counts with the change.
    let plan =
        rig.run(&["plan", &rig.spec(&["web-01"], "memory = \"2G\""), "--json"]).await.ends_with(0).json();
    assert_eq!(plan["guests"][0]["action"], "unchanged", "{plan:#}");
    let twice = rig.run(&["set", "web-01", "--memory", "3G", "--snapshot", "before"]).await.ends_with(1);
    twice.tells(&["the change of web-01 was undone", "has a snapshot before already"]);
    assert_eq!(rig.hypervisor.machine("web-01").unwrap().memory, 2 << 30);

    rig.run(&["set", "web-01", "--memory", "1M"]).await.ends_with(3).tells(&["16M or more"]);
    for words in [
        &["set", "web-01"][..],
        &["set", "web-01", "--memory", "lots"],
        &["keep"],
        &["keep", "web-01", "--for", "soon"],
        &["keep", "web-01", "--for", "1h", "--forever"],
        &["snapshot", "web-01"],
        &["rollback", "web-01"],
        &["promote"],
    ] {
        rig.run(words).await.ends_with(2);
    }
    rig.run(&["set", "nobody", "--memory", "1G"]).await.ends_with(5).tells(&["nobody"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn snapshots_are_taken_listed_gone_back_to_and_removed() {
    let rig = with_guest("memory = \"1G\"").await;
    rig.run(&["snapshot", "web-01", "before-upgrade"]).await.ends_with(0);
    let listed = rig.run(&["snapshots", "web-01"]).await.ends_with(0).stdout;
    assert!(listed.starts_with("SNAPSHOT") && listed.contains("before-upgrade"), "{listed}");
    let listed = rig.run(&["snapshots", "web-01", "--json"]).await.ends_with(0).json();
    assert_eq!(listed["snapshots"][0]["name"], "before-upgrade", "{listed:#}");
    rig.run(&["snapshot", "web-01", "before-upgrade"]).await.ends_with(1).tells(&["has a snapshot"]);

    rig.run(&["set", "web-01", "--memory", "2G"]).await.ends_with(0);
    rig.run(&["rollback", "web-01", "before-upgrade"]).await.ends_with(0);
    assert_eq!(rig.hypervisor.machine("web-01").unwrap().memory, 1 << 30);
    // A typing error stops nothing.
    rig.run(&["rollback", "web-01", "before-upgrad"])
        .await
        .ends_with(3)
        .tells(&["firstlight snapshots web-01"]);
    rig.run(&["snapshot", "web-01", "1st"]).await.ends_with(3).tells(&["a letter first"]);

    let removed =
        rig.run(&["snapshot", "web-01", "before-upgrade", "--remove", "--detach"]).await.ends_with(0);
    let job = removed.stderr.split("watch ").nth(1).unwrap().split('`').next().unwrap().to_owned();
    rig.run(&["watch", &job]).await.ends_with(0);
    assert_eq!(rig.hypervisor.machine("web-01").unwrap().snapshots, []);
    rig.run(&["snapshot", "web-01", "before-upgrade", "--remove"])
        .await
        .ends_with(1)
        .tells(&["has no snapshot"]);
    rig.run(&["snapshots", "nobody"]).await.ends_with(5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_budget_is_told_by_plan_and_kept_by_up_and_set() {
    let rig = Rig::serving_with("[budget]\n\"node:paper\" = \"3G\"\n").await;
    rig.run(&["up", &rig.spec(&["web-01"], "memory = \"2G\"")]).await.ends_with(0);
    let more = rig.spec(&["web-02"], "memory = \"2G\"");
    let plan = rig.run(&["plan", &more]).await.ends_with(3);
    assert!(plan.stdout.contains("node:paper"), "{plan:#?}");
    for words in [&["plan", &more][..], &["up", &more], &["set", "web-01", "--memory", "4G"]] {
        rig.run(words).await.ends_with(3).tells(&["budget of"]);
    }
    rig.run(&["up", &rig.spec(&["web-03"], "")]).await.ends_with(3).tells(&["does not say how much"]);
    rig.run(&["set", "web-01", "--memory", "1G"]).await.ends_with(0);
    rig.run(&["up", &more]).await.ends_with(0);
}

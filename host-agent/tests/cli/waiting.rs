//! `wait`: guests that another tool made.

use crate::rig::Rig;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_is_waited_for_and_known_from_then_on() {
    let rig = Rig::serving().await;
    // It has reported, and been told to come again, before anybody waits for it.
    rig.hypervisor.somebody_makes("101", "web-01");
    let refused = loop {
        let reports = rig.run(&["reports", "--json"]).await.ends_with(0).json();
        if let Some(refused) = reports["refusals"].as_array().unwrap().first() {
            break refused.clone();
        }
    };
    assert_eq!(refused["code"], "no-claim");

    let waited = rig.run(&["wait", "--backend", "local", "--vmid", "101"]).await.ends_with(0);
    assert!(
        waited.stderr.contains("waiting for: web-01") && waited.stderr.contains("web-01: ready in"),
        "{waited:#?}"
    );
    assert!(waited.stdout.contains("web-01") && waited.stdout.contains("SHA256:"), "{waited:#?}");
    let again = rig.run(&["wait", "--backend", "local", "web-01", "--json"]).await.ends_with(0);
    assert!(again.stderr.contains("on record"), "{again:#?}");
    let again = again.json();
    assert_eq!(again["submitted"][0]["action"], "unchanged");
    assert_eq!(
        (&again["guests"][0]["trust"], &again["guests"][0]["adopted"]),
        (&"attested".into(), &true.into())
    );
    let shown = rig.run(&["show", "web-01"]).await.ends_with(0).stdout;
    assert!(shown.contains("made by      somebody else") && shown.contains("adopt"), "{shown}");
    assert!(rig.run(&["known-hosts", "web-01"]).await.ends_with(0).stdout.starts_with("web-01,10.9.9.101 "));
    let more = ["wait", "--backend", "local", "web-01", "--require", "docker"];
    rig.run(&more).await.ends_with(3).tells(&["docker", "--again"]);
    let plan = rig.run(&["plan", &rig.spec(&["web-01"], "")]).await.ends_with(3);
    assert!(plan.stdout.contains("conflict"), "{plan:#?}");

    // It is not ours to destroy: alone, with others, with all.
    rig.run(&["up", &rig.spec(&["web-02"], "")]).await.ends_with(0);
    rig.run(&["destroy", "web-01"]).await.ends_with(3).tells(&["somebody else", "firstlight abandon web-01"]);
    rig.run(&["destroy", "web-02", "web-01"]).await.ends_with(3).tells(&["somebody else"]);
    assert_eq!(rig.hypervisor.machines().len(), 2);
    let all = rig.run(&["destroy", "--all"]).await.ends_with(0);
    assert!(all.stderr.contains("left alone") && all.stderr.contains("web-01"), "{all:#?}");
    assert!(rig.hypervisor.machine("web-01").is_some_and(|machine| machine.running));
    rig.run(&["abandon", "web-01"]).await.ends_with(0);
    rig.run(&["known-hosts", "web-01"]).await.ends_with(5);
    assert!(rig.hypervisor.journal().iter().all(|entry| entry.guest != "web-01"), "it was touched");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_become_ready_ends_with_its_reason() {
    let rig = Rig::serving().await;
    rig.hypervisor.change(|manner| manner.silent = true);
    rig.hypervisor.somebody_makes("101", "web-01");
    let words = ["wait", "--backend", "local", "web-01", "--timeout", "1s"];
    let late = rig.run(&words).await.ends_with(1).tells(&["did not report within 1 s", "firstlight pin"]);
    assert!(late.stdout.contains("rolled-back"), "{late:#?}");
    rig.run(&["wait", "--backend", "local", "--vmid", "999"]).await.ends_with(5).tells(&["999"]);
    rig.hypervisor.somebody_makes("102", "web-01");
    rig.run(&words).await.ends_with(3).tells(&["several", "--vmid"]);
    rig.run(&["wait", "--backend", "elsewhere", "web-01"]).await.ends_with(3).tells(&["elsewhere"]);

    let mut waiting = rig.start(&["wait", "--backend", "local", "--vmid", "101"]);
    waiting.says("waiting for").await;
    rig.await_state("web-01", "waiting").await;
    waiting.interrupt();
    let ended = waiting.end().await;
    assert!(ended.code == 130 && ended.stderr.contains("firstlight watch"), "{ended:#?}");
    rig.run(&["cancel", "web-01"]).await.ends_with(0);
    let detached = rig.run(&["wait", "--backend", "local", "--vmid", "102", "--detach", "--json"]).await;
    assert_eq!(detached.ends_with(0).json()["action"], "created");
    rig.hypervisor.change(|manner| manner.silent = false);
    rig.await_state("web-01", "done").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_companion_that_stops_meanwhile_goes_on_with_it() {
    let mut rig = Rig::serving().await;
    rig.hypervisor.change(|manner| manner.silent = true);
    rig.hypervisor.somebody_makes("101", "web-01");
    let mut waiting = rig.start(&["wait", "--backend", "local", "web-01"]);
    waiting.says("waiting for").await;
    rig.await_state("web-01", "waiting").await;
    rig.stop().await;
    waiting.says("waiting for it").await;
    let alone = rig.run(&["wait", "--backend", "local", "web-01"]).await;
    alone.ends_with(5).tells(&["no companion"]);
    rig.hypervisor.change(|manner| manner.silent = false);
    rig.serve().await;
    let ended = waiting.end().await;
    assert!(ended.code == 0 && ended.stdout.contains("SHA256:"), "{ended:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pin_is_printed_for_goldens() {
    let mut rig = Rig::serving().await;
    let pin = rig.run(&["pin"]).await.ends_with(0).stdout;
    assert!(pin.starts_with("sha256//") && pin.trim().len() == "sha256//".len() + 44, "{pin}");
    let json = rig.run(&["pin", "--json"]).await.ends_with(0).json();
    assert_eq!(json["pin"], pin.trim());
    // The key is in the store: without a companion it is the same.
    rig.stop().await;
    assert_eq!(rig.run(&["pin"]).await.ends_with(0).stdout, pin);
}

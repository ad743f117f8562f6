//! The one request that a lost companion may still have had under way is carried out much too late.

use nix::sys::signal::Signal;
use serde_json::json;

use crate::hypervisor::world::{Outcome, Verb};
use crate::rig::{Rig, await_state, names, until, up};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_make_that_comes_after_the_take_over_makes_nothing_twice() {
    let rig = Rig::new();
    let one = rig.companion("one").await;
    let make = rig.hypervisor.hold(Verb::Make, "web-01");
    let guests = names(1);
    let jobs = up(&one, &guests).await;
    make.arrived().await;
    one.signal(Signal::SIGSTOP);
    let two = rig.companion("two").await;
    rig.report_to(&[&two]);
    await_state(&two, &jobs, "done", 60).await;
    make.release().await;
    one.signal(Signal::SIGCONT);

    let late = rig.hypervisor.journal().into_iter().rfind(|entry| entry.companion == "one").unwrap();
    assert_eq!((late.verb, late.outcome), (Verb::Make, Outcome::Repeated));
    rig.assert_each_made_once(&guests);
    assert!(rig.hypervisor.machine("web-01").unwrap().running);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_comes_after_the_take_over_starts_nothing_twice() {
    let rig = Rig::new();
    let mut one = rig.companion("one").await;
    let start = rig.hypervisor.hold(Verb::Start, "web-01");
    let guests = names(1);
    let jobs = up(&one, &guests).await;
    start.arrived().await;
    one.kill();
    let two = rig.companion("two").await;
    rig.report_to(&[&two]);
    await_state(&two, &jobs, "done", 60).await;
    start.release().await;
    rig.assert_each_made_once(&guests);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_make_that_comes_after_the_roll_back_is_swept_and_the_name_is_free() {
    let rig = Rig::new();
    let mut one = rig.companion("one").await;
    let make = rig.hypervisor.hold(Verb::Make, "web-01");
    let guests = names(1);
    let old = up(&one, &guests).await;
    make.arrived().await;
    let two = rig.companion("two").await;
    rig.report_to(&[&two]);
    one.kill();
    two.post(&format!("/v1/jobs/{}/cancel", old["web-01"]), json!({ "reason": "test" })).await;
    await_state(&two, &old, "rolled-back", 60).await;
    let new = up(&two, &guests).await;
    assert_ne!(old, new);
    await_state(&two, &new, "done", 60).await;

    make.release().await;
    assert_eq!(rig.hypervisor.machines().len(), 2, "the late guest is there");
    until("the late guest to be swept", 60, async || rig.hypervisor.machines().len() == 1).await;
    assert_eq!(rig.hypervisor.machine("web-01").unwrap().job, new["web-01"]);
    assert!(rig.hypervisor.machine("web-01").unwrap().running);
    rig.hypervisor.assert_never_two();
    until("the sweeping to be recorded", 20, async || {
        let events = two.get(&format!("/v1/jobs/{}", old["web-01"])).await["job"]["events"].take();
        events.as_array().unwrap().iter().any(|recorded| recorded["event"]["kind"] == "swept")
    })
    .await;
}

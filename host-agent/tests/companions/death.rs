//! A companion dies, stands still, or is asked to go, in the middle of its work.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::companion::{Companion, SHORT, Terms};
use crate::hypervisor::world::{Outcome, Verb};
use crate::rig::{Rig, await_state, names, until, up};

/// Waits until some guests run and some are still to come.
async fn amid(rig: &Rig, guests: usize) {
    until("half of the guests to run", 60, async || {
        let machines = rig.hypervisor.machines();
        machines.iter().filter(|machine| machine.running).count() >= guests / 2
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_companion_left_is_finished_by_the_other() {
    let rig = Rig::new();
    let (mut one, two) = (rig.companion("one").await, rig.companion("two").await);
    rig.hypervisor.change(|manner| (manner.make, manner.silent) = (Duration::from_millis(300), true));
    rig.report_to(&[&two]);
    let guests = names(16);
    let jobs = up(&one, &guests).await;
    amid(&rig, guests.len()).await;
    one.kill();
    let killed = Instant::now();
    rig.hypervisor.change(|manner| manner.silent = false);
    await_state(&two, &jobs, "done", 90).await;
    rig.assert_each_made_once(&guests);

    let before: Vec<String> = rig
        .hypervisor
        .journal()
        .into_iter()
        .filter(|entry| entry.companion == "one")
        .map(|entry| entry.job)
        .collect();
    assert!(!before.is_empty(), "nothing was taken over");
    // Whatever of the dead one's was still under way had the time to end.
    for entry in rig.hypervisor.journal() {
        if before.contains(&entry.job) && entry.companion == "two" {
            let waited = entry.at.duration_since(killed);
            assert!(waited >= Duration::from_secs(SHORT.grace), "taken over after {waited:?}: {entry:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_companion_writes_nothing_more_to_jobs_that_others_took_over() {
    let rig = Rig::new();
    let one = rig.companion("one").await;
    rig.hypervisor.change(|manner| (manner.make, manner.silent) = (Duration::from_millis(300), true));
    let guests = names(8);
    let jobs = up(&one, &guests).await;
    amid(&rig, guests.len()).await;
    one.signal(Signal::SIGSTOP);
    let mut two = rig.companion("two").await;
    rig.report_to(&[&two]);
    rig.hypervisor.change(|manner| manner.silent = false);
    await_state(&two, &jobs, "done", 90).await;
    let journals = journals(&two, &jobs).await;

    one.signal(Signal::SIGCONT);
    let resumed = Instant::now();
    rig.report_to(&[&one, &two]);
    // It is alive, has seen that its leases are gone, and does new work; all of it, once it is alone.
    let more: Vec<String> = (1..=6).map(|number| format!("new-{number}")).collect();
    let new = up(&one, &more[..3]).await;
    await_state(&one, &new, "done", 60).await;
    assert!(two.end().await.success());
    rig.report_to(&[&one]);
    let new = up(&one, &more[3..]).await;
    await_state(&one, &new, "done", 60).await;
    assert_eq!(rig.done(Verb::Make, "new-6")[0].companion, "one");

    assert_eq!(self::journals(&one, &jobs).await, journals, "something was written after the take-over");
    let mut late = rig.hypervisor.journal();
    late.retain(|entry| {
        entry.at > resumed && jobs.contains_key(&entry.guest) && entry.outcome == Outcome::Done
    });
    assert!(late.is_empty(), "{late:#?}");
    let mut all = [more, guests].concat();
    all.sort();
    rig.assert_each_made_once(&all);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_companion_that_is_asked_to_go_hands_its_jobs_over_at_once() {
    let rig = Rig::new();
    // Nobody could wait for this lease.
    let terms = Terms { lease: 300, grace: 300, ..SHORT };
    let mut one = rig.companion_with("one", terms).await;
    rig.hypervisor.change(|manner| manner.silent = true);
    let guests = names(6);
    let jobs = up(&one, &guests).await;
    await_state(&one, &jobs, "waiting", 60).await;
    let two = rig.companion_with("two", terms).await;
    rig.report_to(&[&two]);
    let asked = Instant::now();
    assert!(one.end().await.success());
    let ended = asked.elapsed();
    assert!(ended < Duration::from_secs(20), "it took {ended:?} to leave guests that only wait");
    rig.hypervisor.change(|manner| manner.silent = false);
    await_state(&two, &jobs, "done", 30).await;
    rig.assert_each_made_once(&guests);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_at_work_is_waited_for_unless_somebody_asks_again() {
    let rig = Rig::new();
    let mut one = rig.companion("one").await;
    let make = rig.hypervisor.hold(Verb::Make, "web-01");
    let guests = names(1);
    let jobs = up(&one, &guests).await;
    make.arrived().await;
    one.signal(Signal::SIGTERM);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(one.is_running(), "the step's outcome is to be known first");
    let asked = Instant::now();
    assert!(one.end().await.success());
    let ended = asked.elapsed();
    assert!(ended < Duration::from_secs(20), "it took {ended:?} to stop at once");
    make.release().await;
    let two = rig.companion("two").await;
    rig.report_to(&[&two]);
    await_state(&two, &jobs, "done", 60).await;
    rig.assert_each_made_once(&guests);
}

async fn journals(companion: &Companion, jobs: &BTreeMap<String, String>) -> Vec<Value> {
    let mut journals = Vec::new();
    for job in jobs.values() {
        journals.push(companion.get(&format!("/v1/jobs/{job}")).await["job"]["events"].take());
    }
    assert!(journals.iter().all(|events| events.as_array().is_some_and(|events| events.len() > 10)));
    journals
}

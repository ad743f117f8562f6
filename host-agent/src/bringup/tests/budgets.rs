//! Budgets of memory: what counts, and that it counts once; in plan, when it is asked for, and in the job.

use std::sync::Arc;

use super::super::Change;
use super::paper::Object;
use super::rig::{Rig, specs};
use crate::job::Phase;

const GIB: u64 = 1 << 30;

fn guest(name: &str, memory: u64) -> String {
    format!("name = \"{name}\"\nmemory = \"{memory}G\"")
}

fn set(rig: &Rig, gib: u64) {
    rig.service.set_budgets([("node:paper".to_owned(), gib * GIB)].into());
}

fn make_foreign(rig: &Rig, gib: u64) {
    let object = Object { running: true, memory: gib * GIB, ..Object::default() };
    rig.paper.world().others.insert("900".to_owned(), object);
}

async fn refused(rig: &Rig, more: &str) {
    let planned = rig.service.plan(&specs(more)).await.unwrap();
    let codes: Vec<_> = planned[0].problems.iter().map(|fault| fault.code.as_str()).collect();
    assert_eq!(codes, ["memory-budget"]);
    assert_eq!(rig.refused(more).await.code, "memory-budget");
}

#[tokio::test]
async fn a_guest_counts_once_before_it_runs_while_it_starts_and_when_it_is_ready() {
    let rig = Rig::new().await;
    set(&rig, 4);
    let job = rig.up_one(&guest("web-01", 3)).await;
    refused(&rig, &guest("web-02", 2)).await;
    rig.until(&job, Phase::Waiting).await;
    refused(&rig, &guest("web-02", 2)).await;
    assert_eq!(rig.service.plan(&specs(&guest("web-02", 1))).await.unwrap()[0].problems, []);
    rig.ready(&job).await;
    refused(&rig, &guest("web-02", 2)).await;
    rig.up_one(&guest("web-02", 1)).await;
    refused(&rig, &guest("web-03", 1)).await;
}

#[tokio::test]
async fn what_others_run_counts() {
    let rig = Rig::new().await;
    set(&rig, 4);
    make_foreign(&rig, 3);
    refused(&rig, &guest("web-01", 2)).await;
    rig.up_one(&guest("web-01", 1)).await;
}

#[tokio::test]
async fn a_change_of_memory_counts_while_it_is_under_way_and_gives_back_what_the_guest_had() {
    let mut rig = Rig::new().await;
    let job = rig.up_one(&guest("web-01", 1)).await;
    rig.ready(&job).await;
    rig.halt().await;
    set(&rig, 4);
    let memory = |gib: u64| Change::Memory { bytes: gib * GIB, snapshot: None };
    let too_much = rig.service.change("web-01", &memory(5), "me").await.unwrap_err();
    assert_eq!(too_much.code, "memory-budget");
    // 4 in all, though it has 1 of them already.
    let change = rig.service.change("web-01", &memory(4), "me").await.unwrap();
    refused(&rig, &guest("web-02", 1)).await;
    rig.service.cancel(&change, "me", "").await.unwrap();
    rig.work();
    set(&rig, 4);
    rig.until(&change, Phase::RolledBack).await;
    rig.up_one(&guest("web-02", 3)).await;
    let full = rig.service.change("web-01", &memory(2), "me").await.unwrap_err();
    assert_eq!(full.code, "memory-budget");
    // Less than it has, it may have at any time.
    set(&rig, 1);
    let less = Change::Memory { bytes: GIB / 2, snapshot: None };
    let less = rig.service.change("web-01", &less, "me").await.unwrap();
    rig.until(&less, Phase::Done).await;
}

#[tokio::test]
async fn a_job_looks_again_before_it_makes_anything_and_the_younger_one_yields() {
    let mut rig = Rig::idle().await;
    set(&rig, 4);
    let (older, younger) = (rig.up_one(&guest("web-01", 2)).await, rig.up_one(&guest("web-02", 2)).await);
    make_foreign(&rig, 1);
    rig.work();
    set(&rig, 4);
    let state = rig.until(&younger, Phase::RolledBack).await;
    assert_eq!(state.failure.map(|fault| fault.code), Some("memory-budget".to_owned()));
    rig.until(&older, Phase::Waiting).await;
    assert_eq!(rig.paper.world().objects.len(), 1, "nothing was made of the other");
    // Made anew, it is counted again.
    let anew = rig.service.retry(&younger, true, "me").await.unwrap_err();
    assert_eq!(anew.code, "memory-budget");
    rig.paper.world().others.clear();
    let anew = rig.service.retry(&younger, true, "me").await.unwrap();
    rig.until(&anew, Phase::Waiting).await;
}

#[tokio::test]
async fn of_two_companions_that_count_at_once_one_takes_the_last_place() {
    let mut rig = Rig::idle().await;
    rig.work();
    let first = Arc::clone(&rig.service);
    rig.work();
    first.set_budgets([("node:paper".to_owned(), 3 * GIB)].into());
    set(&rig, 3);
    for round in 0..3 {
        let (a, b) = (guest(&format!("a-{round}"), 2), guest(&format!("b-{round}"), 2));
        let (a, b) = (specs(&a), specs(&b));
        let (one, two) = tokio::join!(first.submit(&a, "a"), rig.service.submit(&b, "b"));
        let mut made = one.into_iter().chain(two).flatten().collect::<Vec<_>>();
        assert_eq!(made.len(), 1, "{made:?}");
        let (made, taken) = (made.remove(0), rig.store.jobs_under_way().await.unwrap());
        assert_eq!(taken.len(), 1);
        rig.service.destroy(&made.guest, "me", "").await.unwrap();
        rig.until(&made.job, Phase::RolledBack).await;
    }
}

//! Changes of guests that are ready: done, undone, interrupted anywhere, and one at a time.

use std::time::Duration;

use super::super::Change;
use super::rig::{Rig, specs};
use crate::job::{Event, Phase};

const ONE: &str = "name = \"web-01\"\nmemory = \"1G\"";
const GIB: u64 = 1 << 30;

fn memory(bytes: u64) -> Change {
    Change::Memory { bytes, snapshot: None }
}

fn named(name: &str) -> String {
    name.to_owned()
}

async fn with_guest(more: &str) -> (Rig, String) {
    let rig = Rig::new().await;
    let job = rig.up_one(more).await;
    rig.ready(&job).await;
    (rig, job)
}

async fn refused(rig: &Rig, change: Change) -> String {
    rig.service.change("web-01", &change, "me").await.unwrap_err().code
}

#[tokio::test]
async fn memory_is_changed_by_a_job_of_its_own_and_the_spec_follows() {
    let (rig, job) = with_guest(ONE).await;
    let change = rig.service.change("web-01", &memory(2 * GIB), "me").await.unwrap();
    let state = rig.until(&change, Phase::Done).await;
    assert_eq!(state.spec.change_of.as_ref(), Some(&job));
    let object = rig.paper.world().objects[&job].clone();
    assert_eq!((object.memory, object.running), (2 * GIB, true));
    // The name is still the guest's own job's, and what was changed counts in a spec.
    assert_eq!(rig.service.resolve("web-01").await.unwrap(), Some(job.clone()));
    let again = rig.service.submit(&specs("name = \"web-01\"\nmemory = \"2G\""), "me").await.unwrap();
    assert_eq!((again[0].action, &again[0].job), (super::super::Applied::Unchanged, &job));
    assert_eq!(rig.refused(ONE).await.code, "guest-exists");
    // Asked again, nothing is left to do.
    let change = rig.service.change("web-01", &memory(2 * GIB), "me").await.unwrap();
    rig.until(&change, Phase::Done).await;
    assert_eq!(rig.paper.world().changes, ["memory 2147483648"]);
    rig.service.destroy("web-01", "me", "").await.unwrap();
    rig.until(&job, Phase::RolledBack).await;
    rig.assert_clean().await;
    assert_eq!(refused(&rig, memory(GIB)).await, "guest-not-ready");
}

#[tokio::test]
async fn what_the_guest_does_not_start_with_is_taken_back_and_its_snapshot_too() {
    let (rig, job) = with_guest(ONE).await;
    rig.paper.world().starts_with = Some(3 * GIB / 2);
    let change = Change::Memory { bytes: 2 * GIB, snapshot: Some("before".into()) };
    let change = rig.service.change("web-01", &change, "me").await.unwrap();
    rig.until(&change, Phase::Waiting).await;
    rig.service.cancel(&change, "me", "it does not start").await.unwrap();
    rig.until(&change, Phase::RolledBack).await;
    let object = rig.paper.world().objects[&job].clone();
    assert_eq!((object.memory, object.running, object.snapshots), (GIB, true, vec![]));
    let done = ["snapshot before", "memory 2147483648", "memory 1073741824", "remove before"];
    assert_eq!(rig.paper.world().changes, done);
    assert_eq!(rig.state(&job).await.phase, Phase::Done);
}

#[tokio::test]
async fn snapshots_are_taken_listed_gone_back_to_and_removed_by_name() {
    let (rig, job) = with_guest(ONE).await;
    for (change, code) in [
        (Change::Snapshot { name: "no good".into() }, "bad-request"),
        (Change::Memory { bytes: GIB + 1, snapshot: None }, "bad-request"),
    ] {
        assert_eq!(refused(&rig, change).await, code);
    }
    let done = async |change: Change, phase| {
        let job = rig.service.change("web-01", &change, "me").await.unwrap();
        rig.until(&job, phase).await
    };
    assert_eq!(refused(&rig, Change::Rollback { name: named("before") }).await, "no-such-snapshot");
    done(Change::Snapshot { name: named("wrong") }, Phase::Done).await;
    rig.paper.world().refuse_change = Some("rollback".to_owned());
    let none = done(Change::Rollback { name: named("wrong") }, Phase::NeedsOperator).await;
    assert_eq!(none.failure.map(|fault| fault.code), Some("paper-refused".to_owned()));
    rig.paper.world().refuse_change = None;
    let stuck = rig.store.open_change_of(&job).await.unwrap();
    assert_eq!(stuck, None);
    let fault = rig.service.change("web-01", &memory(GIB), "me").await.unwrap_err();
    assert_eq!(fault.code, "change-in-progress");
    let change = fault.hint.unwrap().split('`').nth(1).unwrap().replace("firstlight show ", "");
    rig.service.abandon(&change, "me", "it was a typing error").await.unwrap();
    rig.until(&change, Phase::Abandoned).await;
    done(Change::RemoveSnapshot { name: named("wrong") }, Phase::Done).await;

    done(Change::Snapshot { name: named("before") }, Phase::Done).await;
    let twice = done(Change::Snapshot { name: named("before") }, Phase::RolledBack).await;
    assert_eq!(twice.failure.map(|fault| fault.code), Some("snapshot-exists".to_owned()));
    assert_eq!(rig.service.snapshots("web-01").await.unwrap()[0].name, "before");
    done(memory(2 * GIB), Phase::Done).await;
    done(Change::Rollback { name: named("before") }, Phase::Done).await;
    assert_eq!(rig.paper.world().objects[&job].memory, GIB);
    let again = rig.service.submit(&specs(ONE), "me").await.unwrap();
    assert_eq!(again[0].action, super::super::Applied::Unchanged, "a rollback brings its memory back");
    done(Change::RemoveSnapshot { name: named("before") }, Phase::Done).await;
    assert_eq!(rig.service.snapshots("web-01").await.unwrap(), []);
}

#[tokio::test]
async fn an_ephemeral_guest_that_is_promoted_is_a_kept_one_for_ever() {
    let (rig, job) = with_guest("name = \"web-01\"\nlifecycle = \"ephemeral\"\ndestroy_after = \"1h\"").await;
    assert!(rig.state(&job).await.is_ephemeral());
    let change = rig.service.change("web-01", &Change::Promote, "me").await.unwrap();
    rig.until(&change, Phase::Done).await;
    let state = rig.state(&job).await;
    assert_eq!((state.phase, state.is_ephemeral(), state.due_ms()), (Phase::Done, false, None));
    assert!(!rig.paper.world().objects[&job].ephemeral);
    assert_eq!(rig.store.ephemeral_jobs("paper").await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn one_guest_has_one_change_at_a_time_and_is_destroyed_after_it() {
    let (rig, job) = with_guest(ONE).await;
    rig.paper.world().starts_with = Some(GIB);
    let change = rig.service.change("web-01", &memory(2 * GIB), "me").await.unwrap();
    rig.until(&change, Phase::Waiting).await;
    assert_eq!(rig.service.change("web-01", &memory(2 * GIB), "me").await.unwrap(), change, "the same again");
    assert_eq!(refused(&rig, memory(3 * GIB)).await, "change-in-progress");
    rig.service.destroy("web-01", "me", "enough").await.unwrap();
    rig.until(&job, Phase::RolledBack).await;
    assert_eq!(rig.state(&change).await.phase, Phase::RolledBack);
    rig.assert_clean().await;
    // The guest went after its change had been undone.
    let undone = rig.store.events(&change).await.unwrap().last().map(|last| last.at_ms);
    let begun = rig.store.events(&job).await.unwrap();
    let begun = begun.iter().find(|one| matches!(one.event, Event::UnwindRequested { .. }));
    assert!(begun.map(|one| one.at_ms) >= undone);
}

#[tokio::test]
async fn an_answer_that_was_lost_does_nothing_twice_that_is_there() {
    for (change, lost, done) in [
        (memory(2 * GIB), "memory", &["memory 2147483648"][..]),
        (Change::Snapshot { name: named("before") }, "snapshot", &["snapshot before"]),
        (Change::Promote, "keep", &["keep", "keep"]),
    ] {
        let (rig, _) = with_guest(ONE).await;
        rig.paper.world().lose_answer = Some(lost.to_owned());
        let job = rig.service.change("web-01", &change, "me").await.unwrap();
        rig.until(&job, Phase::Done).await;
        assert_eq!(rig.paper.world().changes, done, "{change:?}");
    }
}

/// The companion dies as soon as the journal has so many events; another goes on.
#[tokio::test]
async fn a_change_that_was_interrupted_anywhere_comes_to_its_end() {
    for cut in 1..9 {
        let (mut rig, job) = with_guest(ONE).await;
        let change = Change::Memory { bytes: 2 * GIB, snapshot: Some("before".into()) };
        let change = rig.service.change("web-01", &change, "me").await.unwrap();
        while rig.store.events(&change).await.unwrap().len() < cut {
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        rig.halt().await;
        rig.work();
        rig.until(&change, Phase::Done).await;
        let object = rig.paper.world().objects[&job].clone();
        assert_eq!((object.memory, object.running), (2 * GIB, true), "cut at {cut}");
        assert_eq!(object.snapshots, [("before".to_owned(), GIB)], "cut at {cut}");
    }
}

#[tokio::test]
async fn what_is_refused_leaves_the_guest_as_it_was() {
    for refuse in ["snapshot", "memory"] {
        let (rig, job) = with_guest(ONE).await;
        rig.paper.world().refuse_change = Some(refuse.to_owned());
        let before = rig.paper.world().objects[&job].clone();
        let change = Change::Memory { bytes: 2 * GIB, snapshot: Some("before".into()) };
        let change = rig.service.change("web-01", &change, "me").await.unwrap();
        let state = rig.until(&change, Phase::RolledBack).await;
        assert_eq!(state.failure.map(|fault| fault.code), Some("paper-refused".to_owned()), "{refuse}");
        assert_eq!(rig.paper.world().objects[&job], before, "{refuse}");
    }
}

//! Whoever listens hears of every commit, wherever it was made.

use std::time::Duration;

use firstlight::job::{Change, Event, JobStore, Request, RequestKind};
use firstlight::store::Store;
use tokio::sync::broadcast::Receiver;

use crate::reports::{claimed, report};
use crate::rig::{Driven, Rig, create, new_job, spec};

/// The next changes, in any order.
async fn heard(changes: &mut Receiver<Change>, count: usize) -> Vec<Change> {
    let mut heard = Vec::new();
    while heard.len() < count {
        let change = tokio::time::timeout(Duration::from_secs(60), changes.recv()).await;
        heard.push(change.unwrap_or_else(|_| panic!("only {heard:?} in time")).unwrap());
    }
    heard
}

async fn both(rig: &Rig) -> [(&'static str, Receiver<Change>); 2] {
    [("here", rig.store.changes()), ("there", rig.other.changes())]
}

pub(crate) async fn every_commit_is_heard_of(rig: &Rig) {
    let mut listeners = both(rig).await;
    create(&rig.store, "j1").await;
    let mut job = Driven::claim(&rig.store, "one").await;
    job.append(&rig.store, Event::StepStarted { step: "make".into() }).await.unwrap();
    let ask = Request { kind: RequestKind::Unwind, by: "me".into(), reason: "so".into() };
    rig.other.ask("j1", &ask).await.unwrap();
    rig.store.settle_request(&job.lease, &ask).await.unwrap();
    rig.store.release(&[job.lease]).await.unwrap();
    claimed(&rig.store, "j1", "c1").await;
    rig.other.take_report(&report("j1", "c1", "01"), &[]).await.unwrap();
    for (where_, changes) in &mut listeners {
        let (mut jobs, mut reports) = (0, 0);
        // Elsewhere, two moves of the job in a row may be told as one.
        while jobs < if *where_ == "here" { 5 } else { 4 } || reports < 1 {
            match heard(changes, 1).await.remove(0) {
                Change::Job(job) if job == "j1" => jobs += 1,
                Change::Report { claim } if claim == "c1" => reports += 1,
                other => panic!("{where_}: {other:?}"),
            }
        }
    }
}

pub(crate) async fn what_was_not_committed_is_not_told(rig: &Rig) {
    create(&rig.store, "j1").await;
    let mut listeners = both(rig).await;
    let batch = [new_job("a", spec("a")), new_job("z", spec("j1"))];
    rig.store.create(&batch).await.unwrap_err();
    told_only(&rig.store, &mut listeners).await;
}

async fn told_only(store: &Store, listeners: &mut [(&'static str, Receiver<Change>); 2]) {
    create(store, "last").await;
    for (where_, changes) in listeners {
        loop {
            match heard(changes, 1).await.remove(0) {
                Change::Job(job) if job == "last" => break,
                // Of the job that was made before anybody listened, late.
                Change::Job(job) if job == "j1" => {}
                other => panic!("{where_}: {other:?}"),
            }
        }
    }
}

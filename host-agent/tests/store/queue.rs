//! The queue: limits, fairness, many companions at once.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use firstlight::job::{Change, Claimant, Claimed, Event, JobStore, Limits};
use firstlight::store::Store;

use crate::rig::{Driven, Rig, claimant, create, jobs_of, new_job, spec};

fn limited(companion: &str, room: usize, limits: &[(&str, u32)]) -> Claimant {
    let at_once = limits.iter().map(|(name, limit)| ((*name).to_owned(), *limit)).collect();
    Claimant { limits: Limits { at_once }, ..claimant(companion, room) }
}

pub(crate) async fn two_companions_share_two_hundred_jobs_within_the_limits(rig: &Rig) {
    const JOBS: usize = 200;
    const AT_ONCE: u32 = 3;
    let jobs: Vec<_> = (0..JOBS)
        .map(|number| {
            let mut spec = spec(&format!("g{number}"));
            spec.batch = format!("b{}", number % 4);
            spec.resources = vec![format!("node:n{}", number % 5), "storage:s".into()];
            new_job(&format!("j{number:03}"), spec)
        })
        .collect();
    rig.store.create(&jobs).await.unwrap();

    let driven: Arc<Mutex<BTreeMap<String, u32>>> = Arc::default();
    let at_work: Arc<[AtomicUsize; 5]> = Arc::default();
    let done = Arc::new(AtomicUsize::new(0));
    let mut companions = tokio::task::JoinSet::new();
    for (store, name) in [(&rig.store, "one"), (&rig.other, "two")] {
        for hand in 0..2 {
            let (store, driven, at_work, done) =
                (store.clone(), Arc::clone(&driven), Arc::clone(&at_work), Arc::clone(&done));
            let claimant = limited(&format!("{name}{hand}"), 4, &[("node", AT_ONCE), ("storage:s", 11)]);
            companions.spawn(async move {
                while done.load(Ordering::SeqCst) < JOBS {
                    for claimed in JobStore::claim(&store, &claimant).await.unwrap() {
                        let mut job = Driven::of(&claimed);
                        *driven.lock().unwrap().entry(job.lease.job.clone()).or_default() += 1;
                        let node: usize = job.state.spec.resources[0][6..].parse().unwrap();
                        let working = at_work[node].fetch_add(1, Ordering::SeqCst) + 1;
                        assert!(working <= AT_ONCE as usize, "{working} jobs at once on node {node}");
                        job.append(&store, Event::StepStarted { step: "make".into() }).await.unwrap();
                        tokio::task::yield_now().await;
                        // From the commit on, another may take the place.
                        at_work[node].fetch_sub(1, Ordering::SeqCst);
                        let output = serde_json::Value::Null;
                        job.append(&store, Event::StepSucceeded { step: "make".into(), output })
                            .await
                            .unwrap();
                        job.append(&store, Event::StepStarted { step: "await".into() }).await.unwrap();
                        done.fetch_add(1, Ordering::SeqCst);
                    }
                }
            });
        }
    }
    while let Some(ended) = companions.join_next().await {
        ended.unwrap();
    }
    let driven = driven.lock().unwrap();
    assert_eq!(driven.len(), JOBS);
    assert!(driven.values().all(|times| *times == 1), "{driven:?}");
}

async fn make(store: &Store, id: &str, batch: &str, resources: &[&str]) {
    let mut spec = spec(id);
    spec.batch = batch.into();
    spec.resources = resources.iter().map(|name| (*name).to_owned()).collect();
    store.create(&[new_job(id, spec)]).await.unwrap();
}

pub(crate) async fn batches_take_turns(rig: &Rig) {
    for number in 0..30 {
        make(&rig.store, &format!("a{number:02}"), "many", &["node:a"]).await;
    }
    make(&rig.store, "b00", "few", &["node:a"]).await;
    make(&rig.store, "b01", "few", &["node:a"]).await;
    let claimed = JobStore::claim(&rig.store, &limited("here", 10, &[("node", 4)])).await.unwrap();
    assert_eq!(jobs_of(&claimed), ["a00", "b00", "a01", "b01"]);
    assert!(JobStore::claim(&rig.other, &limited("there", 10, &[("node", 4)])).await.unwrap().is_empty());
    // Where there is no limit, room is the only one.
    assert_eq!(JobStore::claim(&rig.other, &claimant("there", 3)).await.unwrap().len(), 3);
}

pub(crate) async fn a_claimed_job_has_its_place_before_it_begins(rig: &Rig) {
    for job in ["a", "b"] {
        make(&rig.store, job, "b", &["node:a", "storage:s"]).await;
    }
    make(&rig.store, "c", "b", &["storage:t"]).await;
    let limits = [("node", 1), ("storage", 1)];
    let first = JobStore::claim(&rig.store, &limited("one", 10, &limits)).await.unwrap();
    assert_eq!(jobs_of(&first), ["a", "c"], "`b` waits and blocks nobody");
    assert!(JobStore::claim(&rig.other, &limited("two", 10, &limits)).await.unwrap().is_empty());
    // Given back before it began, its place is free.
    rig.store.release(&[first[0].lease.clone()]).await.unwrap();
    let mut again = Driven::claim_with(&rig.other, &limited("two", 10, &limits)).await;
    assert_eq!(again.lease.job, "a");
    // A job that waits for its guest takes no place.
    again.step(&rig.other, "make").await;
    again.append(&rig.other, Event::StepStarted { step: "await".into() }).await.unwrap();
    let next = JobStore::claim(&rig.store, &limited("one", 10, &limits)).await.unwrap();
    assert_eq!(jobs_of(&next), ["b"]);
}

pub(crate) async fn what_has_begun_comes_before_what_waits(rig: &Rig) {
    create(&rig.store, "old").await;
    let mut job = Driven::claim(&rig.store, "one").await;
    job.step(&rig.store, "make").await;
    create(&rig.store, "asked").await;
    let cancel = firstlight::job::Request {
        kind: firstlight::job::RequestKind::Unwind,
        by: "me".into(),
        reason: "no more".into(),
    };
    rig.store.ask("asked", &cancel).await.unwrap();
    create(&rig.store, "a-queued").await;
    rig.store.release(&[job.lease]).await.unwrap();
    let claimed = JobStore::claim(&rig.store, &limited("one", 2, &[("node", 0)])).await.unwrap();
    assert_eq!(jobs_of(&claimed), ["asked", "old"], "limits hold for the queue only");
    assert!(JobStore::claim(&rig.store, &limited("one", 2, &[("node", 0)])).await.unwrap().is_empty());
    assert_eq!(jobs_of(&JobStore::claim(&rig.store, &claimant("one", 2)).await.unwrap()), ["a-queued"]);
}

pub(crate) async fn a_long_queue_is_taken_in_parts_and_each_part_calls_for_the_next(rig: &Rig) {
    let jobs: Vec<_> =
        (0..150).map(|number| format!("j{number:03}")).map(|id| new_job(&id, spec(&id))).collect();
    rig.store.create(&jobs).await.unwrap();
    let all = taken_in_parts(&rig.store, "here", jobs.len()).await;
    assert_eq!(jobs_in(&all), jobs.into_iter().map(|job| job.id).collect::<Vec<_>>());
}

/// A claim of all at once would take longer than the first of its leases holds.
pub(crate) async fn what_a_companion_left_is_taken_over_in_parts_as_well(rig: &Rig) {
    let jobs: Vec<_> =
        (0..150).map(|number| format!("j{number:03}")).map(|id| new_job(&id, spec(&id))).collect();
    rig.store.create(&jobs).await.unwrap();
    let left = taken_in_parts(&rig.store, "one", jobs.len()).await;
    for claimed in &left {
        Driven::of(claimed).step(&rig.store, "make").await;
    }
    let leases: Vec<_> = left.into_iter().map(|claimed| claimed.lease).collect();
    rig.store.release(&leases).await.unwrap();
    let taken = taken_in_parts(&rig.other, "two", jobs.len()).await;
    assert!(taken.iter().all(|claimed| claimed.taken_over));
    assert_eq!(jobs_in(&taken), jobs.into_iter().map(|job| job.id).collect::<Vec<_>>());
}

fn jobs_in(claimed: &[Claimed]) -> Vec<String> {
    claimed.iter().map(|claimed| claimed.lease.job.clone()).collect()
}

/// Claims whenever there is a call for one, until so many are taken.
async fn taken_in_parts(store: &Store, companion: &str, count: usize) -> Vec<Claimed> {
    let mut changes = store.changes();
    let mut all: Vec<Claimed> = Vec::new();
    loop {
        let claimed = JobStore::claim(store, &claimant(companion, 1000)).await.unwrap();
        assert!(claimed.len() <= 64, "{} in one claim", claimed.len());
        all.extend(claimed);
        if all.len() == count {
            return all;
        }
        // On a server, what was done before is told late.
        let call = async {
            loop {
                match changes.recv().await.unwrap() {
                    Change::Job(next) if !all.iter().any(|claimed| claimed.lease.job == next) => break,
                    _ => {}
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(60), call).await.expect("nobody is called");
    }
}

pub(crate) async fn what_is_to_be_tried_again_waits_for_a_place(rig: &Rig) {
    for number in 0..5 {
        make(&rig.store, &format!("j{number}"), "b", &["node:a"]).await;
    }
    for claimed in JobStore::claim(&rig.store, &claimant("one", 10)).await.unwrap() {
        let mut job = Driven::of(&claimed);
        job.append(&rig.store, Event::StepStarted { step: "make".into() }).await.unwrap();
        let fault = firstlight::outcome::Fault::new("unclear", "nobody knows");
        job.append(&rig.store, Event::NeedsOperator { fault, leftovers: vec![] }).await.unwrap();
        rig.store.release(&[job.lease]).await.unwrap();
    }
    let retry = firstlight::job::Request {
        kind: firstlight::job::RequestKind::Retry,
        by: "me".into(),
        reason: "so".into(),
    };
    for number in 0..5 {
        rig.store.ask(&format!("j{number}"), &retry).await.unwrap();
    }
    let none = JobStore::claim(&rig.store, &limited("one", 10, &[("node", 0)])).await.unwrap();
    assert!(none.is_empty(), "{none:?}");
    make(&rig.store, "queued", "b", &["node:a"]).await;
    let one = [("node", 1)];
    for number in 0..5 {
        let mut job = Driven::claim_with(&rig.store, &limited("one", 10, &one)).await;
        assert_eq!(job.lease.job, format!("j{number}"), "before what has not begun");
        let full = |companion: &'static str| limited(companion, 10, &one);
        assert!(JobStore::claim(&rig.other, &full("two")).await.unwrap().is_empty(), "claimed");
        // Given back, its place is free; taken over, it is not before it moves on.
        rig.store.release(&[job.lease]).await.unwrap();
        job = Driven::claim_with(&rig.other, &full("two")).await;
        let taken_over = Event::TakenOver { companion: "two".into(), fence: job.lease.fence };
        job.append(&rig.other, taken_over).await.unwrap();
        assert!(JobStore::claim(&rig.store, &full("one")).await.unwrap().is_empty(), "taken over");
        job.append(&rig.other, Event::RetryRequested { by: "me".into() }).await.unwrap();
        rig.other.settle_request(&job.lease, &retry).await.unwrap();
        assert!(JobStore::claim(&rig.store, &full("one")).await.unwrap().is_empty(), "at work");
        job.finish(&rig.other).await;
        rig.other.release(&[job.lease]).await.unwrap();
    }
    let last = Driven::claim_with(&rig.store, &limited("one", 10, &one)).await;
    assert_eq!(last.lease.job, "queued");
}

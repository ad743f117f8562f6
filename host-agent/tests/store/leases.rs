//! Who may write: leases, fences, take-over.

use std::time::Duration;

use firstlight::job::{Claimant, Event, JobStore, JournalError, Lease, Phase, Request, RequestKind};
use firstlight::store::Store;

use crate::rig::{Driven, Rig, claimant, create, jobs_of};

const LEASE: Duration = Duration::from_millis(400);
const GRACE: Duration = Duration::from_millis(400);

fn short(companion: &str) -> Claimant {
    Claimant { lease: LEASE, grace: GRACE, ..claimant(companion, 10) }
}

fn unwind() -> Request {
    Request { kind: RequestKind::Unwind, by: "me".into(), reason: "so".into() }
}

/// Nothing that is written in the name of this lease gets into the store.
async fn writes_nothing(store: &Store, old: &mut Driven) {
    let job = old.lease.job.clone();
    let before = (JobStore::events(store, &job).await.unwrap(), store.job(&job).await.unwrap());
    let event = Event::TakenOver { companion: "it would be me".into(), fence: old.lease.fence };
    let append = old.append(store, event).await.unwrap_err();
    assert!(matches!(append, JournalError::Fenced { .. }), "{append:?}");
    store.ask(&job, &unwind()).await.unwrap();
    let settled = store.settle_request(&old.lease, &unwind()).await.unwrap_err();
    assert!(matches!(settled, JournalError::Fenced { .. }), "{settled:?}");
    assert_eq!(store.request(&job).await.unwrap(), Some(unwind()));
    assert_eq!(
        store.renew(std::slice::from_ref(&old.lease), Duration::from_secs(60)).await.unwrap(),
        [job.as_str()]
    );
    store.release(std::slice::from_ref(&old.lease)).await.unwrap();
    let after = (JobStore::events(store, &job).await.unwrap(), store.job(&job).await.unwrap());
    assert_eq!(before, after);
}

pub(crate) async fn an_overtaken_lease_writes_nothing(rig: &Rig) {
    create(&rig.store, "j1").await;
    let claimed = JobStore::claim(&rig.store, &short("one")).await.unwrap();
    assert!(!claimed[0].taken_over);
    let mut old = Driven::of(&claimed[0]);
    old.step(&rig.store, "make").await;
    tokio::time::sleep(LEASE + GRACE + Duration::from_millis(100)).await;
    let two = Claimant { grace: GRACE, ..claimant("two", 10) };
    let claimed = JobStore::claim(&rig.other, &two).await.unwrap();
    assert_eq!(jobs_of(&claimed), ["j1"]);
    assert!(claimed[0].taken_over && claimed[0].lease.fence > old.lease.fence);
    writes_nothing(&rig.store, &mut old).await;

    let mut new = Driven::of(&claimed[0]);
    rig.other.settle_request(&new.lease, &unwind()).await.unwrap();
    new.step(&rig.other, "await").await;
    assert!(
        rig.other.renew(&[new.lease.clone()], LEASE).await.unwrap().is_empty(),
        "its release did nothing"
    );
    assert!(JobStore::claim(&rig.store, &claimant("one", 10)).await.unwrap().is_empty());
}

pub(crate) async fn a_lease_ends_with_its_grace_and_not_before(rig: &Rig) {
    create(&rig.store, "j1").await;
    let mut old = Driven::claim_with(&rig.store, &short("one")).await;
    old.append(&rig.store, Event::StepStarted { step: "make".into() }).await.unwrap();
    tokio::time::sleep(LEASE + Duration::from_millis(50)).await;
    assert!(JobStore::claim(&rig.other, &short("two")).await.unwrap().is_empty(), "the grace is not over");
    // Late, but nobody has taken it: the renewal holds.
    assert!(rig.store.renew(&[old.lease.clone()], LEASE).await.unwrap().is_empty());
    tokio::time::sleep(GRACE + Duration::from_millis(50)).await;
    assert!(
        JobStore::claim(&rig.other, &short("two")).await.unwrap().is_empty(),
        "the renewal counts from when it came"
    );
    tokio::time::sleep(LEASE + GRACE).await;
    assert_eq!(jobs_of(&JobStore::claim(&rig.other, &short("two")).await.unwrap()), ["j1"]);
    writes_nothing(&rig.store, &mut old).await;
}

pub(crate) async fn a_released_job_is_free_at_once(rig: &Rig) {
    create(&rig.store, "j1").await;
    let mut old = Driven::claim(&rig.store, "one").await;
    old.step(&rig.store, "make").await;
    assert!(JobStore::claim(&rig.other, &claimant("two", 10)).await.unwrap().is_empty());
    rig.store.release(&[old.lease.clone()]).await.unwrap();
    writes_nothing(&rig.store, &mut old).await;
    let claimed = JobStore::claim(&rig.other, &claimant("two", 10)).await.unwrap();
    assert_eq!(jobs_of(&claimed), ["j1"]);
    assert!(claimed[0].taken_over);
    assert_eq!(Driven::of(&claimed[0]).state, old.state);
}

pub(crate) async fn renewals_say_what_is_lost(rig: &Rig) {
    for job in ["j1", "j2", "j3"] {
        create(&rig.store, job).await;
    }
    let claimed = JobStore::claim(&rig.store, &claimant("one", 10)).await.unwrap();
    let mut leases: Vec<Lease> = claimed.into_iter().map(|claimed| claimed.lease).collect();
    rig.store.release(&leases[..1]).await.unwrap();
    leases[1].fence += 1;
    leases.push(Lease { job: "no such job".into(), fence: 1 });
    let mut lost = rig.other.renew(&leases, LEASE).await.unwrap();
    lost.sort();
    assert_eq!(lost, ["j1", "j2", "no such job"]);
    assert!(rig.store.renew(&[], LEASE).await.unwrap().is_empty());
}

pub(crate) async fn a_final_job_is_claimed_only_when_somebody_asks(rig: &Rig) {
    create(&rig.store, "j1").await;
    let mut job = Driven::claim(&rig.store, "one").await;
    job.finish(&rig.store).await;
    rig.store.release(&[job.lease.clone()]).await.unwrap();
    assert!(JobStore::claim(&rig.other, &claimant("two", 10)).await.unwrap().is_empty());

    rig.store.ask("j1", &unwind()).await.unwrap();
    let mut job = Driven::claim(&rig.other, "two").await;
    rig.other.settle_request(&job.lease, &unwind()).await.unwrap();
    job.roll_back(&rig.other).await;
    rig.other.release(&[job.lease.clone()]).await.unwrap();
    assert_eq!(rig.store.job("j1").await.unwrap().unwrap().phase, Phase::RolledBack);
    assert!(JobStore::claim(&rig.store, &claimant("one", 10)).await.unwrap().is_empty());

    let sweep = Request { kind: RequestKind::Sweep, ..unwind() };
    rig.store.ask("j1", &sweep).await.unwrap();
    let job = Driven::claim(&rig.store, "one").await;
    rig.store.settle_request(&job.lease, &sweep).await.unwrap();
}

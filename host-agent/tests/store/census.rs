//! How many guests there are of which kind, and how long the oldest job waits.

use firstlight::job::{Event, JobStore, Phase};

use crate::rig::{Driven, Rig, create, new_job, spec};

pub(crate) async fn guests_are_counted_by_kind(rig: &Rig) {
    assert!(rig.store.count_guests().await.unwrap().is_empty());
    let oldest = rig.store.oldest_jobs().await.unwrap();
    assert!(oldest.len() == 5 && oldest.iter().all(|(_, since)| since.is_none()), "{oldest:?}");
    create(&rig.store, "a").await;
    let mut job = Driven::claim(&rig.store, "here").await;
    for step in ["make", "await", "finish"] {
        job.step(&rig.store, step).await;
    }
    assert_eq!(job.state.phase, Phase::Done);
    rig.store.create(&[new_job("b", spec("b")), new_job("c", spec("c"))]).await.unwrap();
    let mut change = spec("a");
    change.change_of = Some("a".into());
    rig.store.release(&[job.lease.clone()]).await.unwrap();
    rig.store.create(&[new_job("d", change)]).await.unwrap();
    let mut counted: Vec<_> = rig.other.count_guests().await.unwrap();
    counted.sort_by_key(|count| count.guests);
    let found: Vec<_> =
        counted.iter().map(|one| (one.backend.as_str(), one.phase, one.trust, one.guests)).collect();
    assert_eq!(
        found,
        [("paper", Phase::Done, None, 1), ("paper", Phase::Queued, None, 2)],
        "a change is no guest"
    );
    let oldest = rig.other.oldest_jobs().await.unwrap();
    assert!(oldest.contains(&(Phase::Queued, Some(1_001))), "{oldest:?}");
}

pub(crate) async fn who_let_go_of_its_name_is_no_guest(rig: &Rig) {
    create(&rig.store, "a").await;
    let mut job = Driven::claim(&rig.store, "here").await;
    let fault = firstlight::outcome::Fault::new("operator", "not wanted");
    let unwind = Event::UnwindRequested { by: "the suite".into(), fault, successor: None };
    job.append(&rig.store, unwind).await.unwrap();
    assert_eq!(job.state.phase, Phase::RolledBack);
    assert!(rig.other.count_guests().await.unwrap().is_empty());
}

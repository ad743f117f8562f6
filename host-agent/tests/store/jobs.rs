//! Journals, requests and lists.

use firstlight::job::{Event, JobStore, JournalError, Outline, Phase, Recorded, Request, RequestKind};
use firstlight::store::JobFilter;
use firstlight_shared::error::Code;

use crate::rig::{Driven, Rig, claimant, create, new_job, spec};

pub(crate) async fn a_journal_comes_back_as_it_was_written(rig: &Rig) {
    create(&rig.store, "j1").await;
    let mut job = Driven::claim(&rig.store, "here").await;
    assert_eq!((job.lease.job.as_str(), job.state.phase), ("j1", Phase::Queued));
    job.append(&rig.store, Event::StepStarted { step: "make".into() }).await.unwrap();
    let task = Event::StepProgress { step: "make".into(), task: "UPID:\u{1f400}:\"'\\\0".into() };
    job.append(&rig.store, task.clone()).await.unwrap();

    let events = JobStore::events(&rig.other, "j1").await.unwrap();
    assert_eq!(events.len(), 3);
    assert_eq!(events[2].event, task);
    assert_eq!(firstlight::job::fold(&events).unwrap(), job.state);
    assert!(JobStore::events(&rig.store, "no such job").await.unwrap().is_empty());
}

pub(crate) async fn no_number_is_taken_twice_and_none_is_left_out(rig: &Rig) {
    create(&rig.store, "j1").await;
    let mut job = Driven::claim(&rig.store, "here").await;
    let outline = job.state.outline();
    job.append(&rig.store, Event::StepStarted { step: "make".into() }).await.unwrap();
    for seq in [0, 1, 3, u64::MAX] {
        let other = Recorded { seq, at_ms: 9, event: Event::StepStarted { step: "other".into() } };
        let error = JobStore::append(&rig.store, &job.lease, &other, &outline).await.unwrap_err();
        assert!(matches!(error, JournalError::Store { .. }), "{seq}: {error:?}");
    }
    assert_eq!(JobStore::events(&rig.store, "j1").await.unwrap().len(), 2);
    assert_eq!(rig.store.job("j1").await.unwrap().unwrap().phase, Phase::Running, "the outline stays, too");
}

pub(crate) async fn an_append_whose_answer_was_lost_can_be_repeated(rig: &Rig) {
    create(&rig.store, "j1").await;
    let job = Driven::claim(&rig.store, "here").await;
    let started = Recorded { seq: 1, at_ms: 9, event: Event::StepStarted { step: "make".into() } };
    let mut after = job.state.clone();
    after.apply(&started).unwrap();
    let outline: Outline = after.outline();
    JobStore::append(&rig.store, &job.lease, &started, &outline).await.unwrap();
    JobStore::append(&rig.other, &job.lease, &started, &outline).await.unwrap();
    assert_eq!(JobStore::events(&rig.store, "j1").await.unwrap().len(), 2);
}

pub(crate) async fn jobs_are_made_all_or_none(rig: &Rig) {
    create(&rig.store, "taken").await;
    let batch = [new_job("a", spec("a")), new_job("b", spec("taken")), new_job("c", spec("c"))];
    let error = rig.store.create(&batch).await.unwrap_err();
    assert!(
        matches!(&error, JournalError::NameTaken { guest, job } if guest == "taken" && job == "taken"),
        "{error:?}"
    );
    for job in ["a", "b", "c"] {
        assert!(JobStore::events(&rig.store, job).await.unwrap().is_empty(), "{job} was made");
    }
    // The same again is the same call; another job under a known id is not.
    create(&rig.store, "taken").await;
    let error = rig.store.create(&[new_job("taken", spec("other"))]).await.unwrap_err();
    assert_eq!(error.code(), "journal");
    let (jobs, _) = rig.store.list_jobs(&JobFilter::default()).await.unwrap();
    assert_eq!(jobs.len(), 1);
}

pub(crate) async fn one_guest_has_one_live_job_whoever_makes_it(rig: &Rig) {
    for round in 0..10 {
        let guest = format!("g{round}");
        let (one, other) =
            (new_job(&format!("{round}a"), spec(&guest)), new_job(&format!("{round}b"), spec(&guest)));
        let (one, other) = ([one], [other]);
        let made = tokio::join!(rig.store.create(&one), rig.other.create(&other));
        match made {
            (Ok(()), Err(JournalError::NameTaken { .. })) | (Err(JournalError::NameTaken { .. }), Ok(())) => {
            }
            other => panic!("both or none: {other:?}"),
        }
    }
    // The name is free when the job is gone.
    let claimed = JobStore::claim(&rig.store, &claimant("here", 1)).await.unwrap();
    let mut job = Driven::of(&claimed[0]);
    let guest = job.state.spec.guest.clone();
    assert!(rig.store.create(&[new_job("again", spec(&guest))]).await.is_err());
    job.step(&rig.store, "make").await;
    job.roll_back(&rig.store).await;
    rig.store.create(&[new_job("again", spec(&guest))]).await.unwrap();
    assert_eq!(rig.store.job_of_guest(&guest).await.unwrap().unwrap().id, "again");
}

pub(crate) async fn requests_survive_and_the_latest_counts(rig: &Rig) {
    create(&rig.store, "j1").await;
    let request = |kind| Request { kind, by: "me".into(), reason: "so".into() };
    let unwind = request(RequestKind::Unwind);
    let anew = request(RequestKind::Anew { successor: "j2".into() });
    let unknown = rig.store.ask("j9", &unwind).await.unwrap_err();
    assert!(matches!(unknown, JournalError::NoSuchJob { .. }), "{unknown:?}");
    assert_eq!(rig.store.request("j1").await.unwrap(), None);

    rig.store.ask("j1", &unwind).await.unwrap();
    rig.other.ask("j1", &anew).await.unwrap();
    let job = Driven::claim(&rig.store, "here").await;
    assert_eq!(rig.store.request("j1").await.unwrap(), Some(anew.clone()));
    rig.store.settle_request(&job.lease, &unwind).await.unwrap();
    assert_eq!(
        rig.store.request("j1").await.unwrap(),
        Some(anew.clone()),
        "only what was answered is settled"
    );
    rig.store.settle_request(&job.lease, &anew).await.unwrap();
    assert_eq!(rig.other.request("j1").await.unwrap(), None);
}

pub(crate) async fn lists_come_page_by_page(rig: &Rig) {
    for number in 0..25 {
        let mut spec = spec(&format!("g{number:02}"));
        spec.batch = if number % 2 == 0 { "even".into() } else { "odd".into() };
        rig.store.create(&[new_job(&format!("j{number:02}"), spec)]).await.unwrap();
    }
    let mut filter = JobFilter { batch: Some("even".into()), limit: 5, ..JobFilter::default() };
    let mut seen = Vec::new();
    loop {
        let (jobs, next) = rig.store.list_jobs(&filter).await.unwrap();
        seen.extend(jobs.into_iter().map(|job| job.id));
        let Some(next) = next else { break };
        filter.before = Some(next);
    }
    let wanted: Vec<String> = (0..25).rev().filter(|n| n % 2 == 0).map(|n| format!("j{n:02}")).collect();
    assert_eq!(seen, wanted);

    let claimed = JobStore::claim(&rig.store, &claimant("here", 1)).await.unwrap();
    Driven::of(&claimed[0]).step(&rig.store, "make").await;
    let running = JobFilter { states: vec![Phase::Running, Phase::Done], ..JobFilter::default() };
    let (jobs, next) = rig.store.list_jobs(&running).await.unwrap();
    assert_eq!((jobs.len(), next), (1, None));
    assert_eq!((jobs[0].companion.as_deref(), jobs[0].held, jobs[0].events), (Some("here"), true, 3));
    assert_eq!(jobs[0].step.as_deref(), Some("await"));
    let guest = JobFilter { guest: Some("g03".into()), ..JobFilter::default() };
    assert_eq!(rig.store.list_jobs(&guest).await.unwrap().0[0].id, "j03");
    let mut counts = rig.store.count_jobs().await.unwrap();
    counts.sort_by_key(|(_, count)| *count);
    assert_eq!(counts, [(Phase::Running, 1), (Phase::Queued, 24)]);
}

pub(crate) async fn the_gone_and_the_unknown_are_told_apart_from_the_living(rig: &Rig) {
    create(&rig.store, "gone").await;
    let mut gone = Driven::claim(&rig.store, "here").await;
    gone.step(&rig.store, "make").await;
    gone.roll_back(&rig.store).await;
    create(&rig.store, "ready").await;
    Driven::claim(&rig.store, "here").await.finish(&rig.store).await;
    create(&rig.store, "waits").await;
    let asked = ["gone", "ready", "nobody's", "waits", "o'clock\"\\"].map(str::to_owned);
    let mut told = rig.store.gone_or_unknown(&asked).await.unwrap();
    told.sort_by(|one, other| one.0.cmp(&other.0));
    let unknown = |job: &str| (job.to_owned(), None);
    assert_eq!(
        told,
        [("gone".to_owned(), Some(Phase::RolledBack)), unknown("nobody's"), unknown("o'clock\"\\")]
    );
    assert!(rig.store.gone_or_unknown(&[]).await.unwrap().is_empty());
}

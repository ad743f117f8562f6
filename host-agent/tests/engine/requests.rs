//! What people ask, whenever they ask it.

use std::time::Duration;

use firstlight::job::RequestKind::{self, Abandon, Anew, Retry, Sweep, Unwind};
use firstlight::job::{Event, JobStore, Limits, Phase};
use tokio::time::{Instant, sleep};

use crate::paper::{End, Trouble, Verb, Weather, ask, settled, state_of};
use crate::rig::{GUEST, JOB, Rig, tell};

fn all() -> Vec<RequestKind> {
    vec![Unwind, Retry, Anew { successor: "job-2".into() }, Abandon, Sweep]
}

#[tokio::test(start_paused = true)]
async fn every_request_at_every_moment_is_answered() {
    let mut cases = 0;
    for refused in [false, true] {
        for kind in all() {
            for moment in 0..40 {
                let case = format!("{kind:?} after {} ms, refused: {refused}", moment * 25);
                let mut rig = Rig::with_job(|_| {}).await;
                if refused {
                    rig.world.arm(GUEST, "finish", Verb::Act, Trouble::Refused, 1);
                }
                let (_, life) = rig.begin(&[]);
                sleep(Duration::from_millis(moment * 25)).await;
                ask(&*rig.memory, JOB, kind.clone()).await;
                let state = settled(&*rig.memory, JOB).await;
                let end = rig.judge(&state);
                let rolls_back = refused || matches!(kind, Unwind | Anew { .. });
                let wanted = if rolls_back { End::Clean } else { End::Complete };
                assert!(end == Ok(wanted), "{case}: {end:?}\n{}", rig.journal().await);
                life.stop().await;
                cases += 1;
            }
        }
    }
    tell("requests at every moment", cases, 400);
}

#[tokio::test(start_paused = true)]
async fn a_waiting_step_is_left_at_once_and_anew_begins_anew() {
    let mut rig = Rig::with_job(|_| {}).await;
    rig.world.silence();
    let (_, life) = rig.begin(&[]);
    while state_of(&*rig.memory, JOB).await.phase != Phase::Waiting {
        sleep(Duration::from_millis(50)).await;
    }
    sleep(Duration::from_secs(3600)).await;
    let asked = Instant::now();
    ask(&*rig.memory, JOB, Anew { successor: "job-2".into() }).await;
    let state = settled(&*rig.memory, JOB).await;
    assert_eq!(rig.judge(&state), Ok(End::Clean));
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    rig.world.report(GUEST);
    let state = settled(&*rig.memory, "job-2").await;
    assert_eq!((state.phase, state.spec.retry_of.as_deref()), (Phase::Done, Some(JOB)));
    life.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_successor_whose_name_is_taken_is_given_up_and_said_so() {
    let mut rig = Rig::with_job(|_| {}).await;
    rig.submit("other", "web-02", |_| {}).await;
    // The id is taken by a guest of another name: counted as made. The guest's name: refused.
    let state = rig.run(&[Anew { successor: "other".into() }]).await;
    assert!(state.successor_settled);
    assert_eq!(rig.judge(&state), Ok(End::Clean));
}

#[tokio::test(start_paused = true)]
async fn abandoned_jobs_are_left_alone() {
    let mut rig = Rig::with_job(|_| {}).await;
    rig.world.arm(GUEST, "make", Verb::Undo, Trouble::Refused, u32::MAX);
    let state = rig.run(&[Unwind, Abandon]).await;
    assert_eq!(rig.judge(&state), Ok(End::Abandoned));
    let things = rig.world.things_of(JOB);
    assert_eq!(things.len(), 1);
    rig.world.disarm();
    for kind in all() {
        let state = rig.run(std::slice::from_ref(&kind)).await;
        assert_eq!((state.phase, rig.world.things_of(JOB)), (Phase::Abandoned, things.clone()), "{kind:?}");
    }
    // The name is free, and what is there is somebody's.
    rig.submit("job-2", GUEST, |_| {}).await;
    let (_, life) = rig.begin(&[]);
    let state = settled(&*rig.memory, "job-2").await;
    assert_eq!((state.phase, state.failure.unwrap().code.as_str()), (Phase::RolledBack, "foreign"));
    assert_eq!(rig.world.things_of(JOB), things);
    life.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_unknown_outcome_is_not_unwound_before_it_is_known_or_given_up() {
    let mut rig = Rig::with_job(|_| {}).await;
    rig.world.arm(GUEST, "make", Verb::Act, Trouble::DarkDone, 1);
    let (_, life) = rig.begin(&[]);
    sleep(Duration::from_secs(10)).await;
    ask(&*rig.memory, JOB, Unwind).await;
    sleep(Duration::from_secs(100)).await;
    let state = state_of(&*rig.memory, JOB).await;
    assert!(state.is_committed() && !state.unwind_ordered, "{state:?}");
    rig.world.disarm();
    let state = settled(&*rig.memory, JOB).await;
    assert_eq!(rig.judge(&state), Ok(End::Clean));
    let events = rig.memory.events(JOB).await.unwrap();
    let known = events
        .iter()
        .position(|one| matches!(&one.event, Event::StepSucceeded { step, .. } if step == "make"));
    let unwound = events.iter().position(|one| matches!(one.event, Event::UnwindRequested { .. }));
    assert!(known.is_some() && known < unwound, "{events:#?}");
    life.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_cancel_is_heard_though_the_store_was_away_when_it_came() {
    let mut rig = Rig::with_job(|_| {}).await;
    rig.world.silence();
    let (store, life) = rig.begin(&[]);
    while state_of(&*rig.memory, JOB).await.phase != Phase::Waiting {
        sleep(Duration::from_millis(50)).await;
    }
    sleep(Duration::from_secs(60)).await;
    store.set_weather(Weather::Gone);
    ask(&*rig.memory, JOB, Unwind).await;
    sleep(Duration::from_secs(5)).await;
    store.set_weather(Weather::Fine);
    let back = Instant::now();
    let state = settled(&*rig.memory, JOB).await;
    assert_eq!(rig.judge(&state), Ok(End::Clean));
    assert!(back.elapsed() < Duration::from_secs(20), "{:?}", back.elapsed());
    life.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_tried_again_waits_for_a_place() {
    const NODE: &str = "node:a";
    let mut rig = Rig::new();
    let guests: Vec<String> = (0..5).map(|number| format!("web-{number}")).collect();
    for guest in &guests {
        rig.world.arm(guest, "make", Verb::Act, Trouble::Refused, 1);
        rig.submit(&format!("job of {guest}"), guest, |spec| {
            spec.keep_on_failure = true;
            spec.resources = vec![NODE.into()];
            spec.steps.iter_mut().for_each(|step| step.waits = false);
        })
        .await;
    }
    let (_, life) = rig.begin(&[]);
    for guest in &guests {
        let state = settled(&*rig.memory, &format!("job of {guest}")).await;
        assert_eq!(state.phase, Phase::NeedsOperator);
    }
    let limit = |at_once: u32| Limits { at_once: [("node".to_owned(), at_once)].into() };
    life.runner.set_limits(limit(0));
    sleep(Duration::from_secs(10)).await;
    for guest in &guests {
        ask(&*rig.memory, &format!("job of {guest}"), Retry).await;
    }
    sleep(Duration::from_secs(600)).await;
    for guest in &guests {
        let state = state_of(&*rig.memory, &format!("job of {guest}")).await;
        assert_eq!(state.phase, Phase::NeedsOperator, "a limit of 0 begins nothing");
    }
    life.runner.set_limits(limit(1));
    let mut most = 0;
    while !rig.memory.is_quiet() {
        most = most.max(rig.memory.at_work(NODE));
        sleep(Duration::from_millis(3)).await;
    }
    assert_eq!(most, 1, "jobs at once");
    for guest in &guests {
        assert_eq!(state_of(&*rig.memory, &format!("job of {guest}")).await.phase, Phase::Done);
    }
    life.stop().await;
}

//! Leases, limits, drains: what the runner promises.

use std::time::Duration;

use firstlight::job::RequestKind::Unwind;
use firstlight::job::{Limits, Phase, RunnerConfig};
use tokio::time::{Instant, sleep};

use crate::paper::{
    Brittle, End, Kind, LINE, Life, Trouble, Verb, Weather, ask, config, judge, settled, state_of,
};
use crate::rig::{GUEST, JOB, Rig, tell};

#[tokio::test(start_paused = true)]
async fn a_paused_companion_is_taken_over_and_writes_nothing_any_more() {
    let mut cases = 0;
    for moment in 0..14 {
        let case = format!("paused after {} ms", moment * 50);
        let mut rig = Rig::with_job(|_| {}).await;
        let (paused, first) = rig.begin(&[]);
        sleep(Duration::from_millis(moment * 50)).await;
        paused.set_weather(Weather::Silent);
        let (_, second) = rig.begin(&[]);
        let state = settled(&*rig.memory, JOB).await;
        rig.expect(&state, End::Complete, &case).await;
        let journal = rig.journal().await;
        paused.set_weather(Weather::Fine);
        sleep(Duration::from_secs(600)).await;
        assert_eq!(rig.journal().await, journal, "{case}");
        rig.expect(&state, End::Complete, &case).await;
        first.stop().await;
        second.stop().await;
        cases += 1;
    }
    tell("paused and taken over", cases, 14);
}

/// How a lease is lost.
#[derive(Debug, Clone, Copy)]
enum Loss {
    Refused,
    Unanswered,
    Stolen,
}

/// The call of a step is on its way for longer than the lease holds, and then would do what it was to do.
async fn lose_the_lease_in_a_call(step: &str, verb: Verb, loss: Loss) {
    let case = format!("{verb:?} of {step}, {loss:?}");
    let mut rig = Rig::with_job(|_| {}).await;
    rig.world.arm(GUEST, step, verb, Trouble::Takes(100), 1);
    let (store, first) = rig.begin(&[]);
    if verb == Verb::Undo {
        settled(&*rig.memory, JOB).await;
        ask(&*rig.memory, JOB, Unwind).await;
    }
    sleep(Duration::from_secs(5)).await;
    match loss {
        Loss::Refused => store.set_weather(Weather::Gone),
        Loss::Unanswered => store.set_weather(Weather::Silent),
        Loss::Stolen => rig.memory.steal(JOB),
    }
    let (_, second) = rig.begin(&[]);
    let state = settled(&*rig.memory, JOB).await;
    let end = if verb == Verb::Act { End::Complete } else { End::Clean };
    rig.expect(&state, end, &case).await;
    assert!(state.companion.is_some(), "{case}: it was taken over");
    sleep(Duration::from_secs(200)).await;
    rig.expect(&state, end, &format!("{case}, later")).await;
    store.set_weather(Weather::Fine);
    first.stop().await;
    second.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_lost_lease_stops_the_call_that_is_on_its_way() {
    let mut cases = 0;
    for (step, _) in LINE.iter().filter(|(_, kind)| matches!(kind, Kind::Quick | Kind::Task)) {
        for verb in [Verb::Act, Verb::Undo] {
            for loss in [Loss::Refused, Loss::Unanswered, Loss::Stolen] {
                lose_the_lease_in_a_call(step, verb, loss).await;
                cases += 1;
            }
        }
    }
    tell("leases lost in a call", cases, 24);
}

#[tokio::test(start_paused = true)]
async fn limits_hold_and_waiting_jobs_take_no_place() {
    let mut rig = Rig::new();
    rig.world.silence();
    for number in 0..30 {
        let resources = vec![format!("node:{}", number % 2)];
        rig.submit(&format!("job-{number}"), &format!("web-{number}"), |spec| spec.resources = resources)
            .await;
    }
    let limits = Limits { at_once: [("node".to_owned(), 3)].into() };
    let store = Brittle::over(&rig.memory, &[]);
    let life = Life::start(store, rig.sagas(), RunnerConfig { limits, ..config("one") }, &rig.clock);
    let (mut most, mut waiting) = (0, 0);
    for _ in 0..2000 {
        sleep(Duration::from_millis(10)).await;
        for node in ["node:0", "node:1"] {
            let at_work = rig.memory.at_work(node);
            assert!(at_work <= 3, "{at_work} at work on {node}");
            most = most.max(at_work);
        }
        let driven = life.runner.driven();
        waiting = driven.values().filter(|(_, state)| state.phase == Phase::Waiting).count();
    }
    assert_eq!((most, waiting), (3, 30), "all wait for their reports, in turns of three");
    life.stop().await;
    // Others finish them.
    let (_, second) = rig.begin(&[]);
    for number in 0..30 {
        rig.world.report(&format!("web-{number}"));
    }
    for number in 0..30 {
        let job = format!("job-{number}");
        let state = settled(&*rig.memory, &job).await;
        assert_eq!(judge(&rig.world, &job, &state), Ok(End::Complete));
    }
    second.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_drain_leaves_jobs_at_the_end_of_their_step_and_others_go_on_at_once() {
    let mut cases = 0;
    for moment in 0..14 {
        let mut rig = Rig::with_job(|_| {}).await;
        rig.world.silence();
        let (_, life) = rig.begin(&[]);
        sleep(Duration::from_millis(moment * 40)).await;
        let began = Instant::now();
        life.drain(Duration::from_secs(60)).await;
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        let state = state_of(&*rig.memory, JOB).await;
        assert!(!state.is_committed(), "in the middle of a step: {state:?}");
        let (_, second) = rig.begin(&[]);
        let began = Instant::now();
        rig.world.report(crate::rig::GUEST);
        let state = settled(&*rig.memory, JOB).await;
        rig.expect(&state, End::Complete, "drained").await;
        assert!(began.elapsed() < Duration::from_secs(2), "no lease to wait for");
        second.stop().await;
        cases += 1;
    }
    tell("drains", cases, 14);
}

#[tokio::test(start_paused = true)]
async fn jobs_that_wait_cost_no_calls() {
    let mut rig = Rig::new();
    rig.world.silence();
    for number in 0..200 {
        rig.submit(&format!("job-{number}"), &format!("web-{number}"), |_| {}).await;
    }
    let (store, life) = rig.begin(&[]);
    sleep(Duration::from_secs(60)).await;
    assert!(life.runner.driven().values().all(|(_, state)| state.phase == Phase::Waiting));
    let (calls, requests) = (store.calls(), rig.world.requests());
    sleep(Duration::from_secs(3600)).await;
    let more = store.calls() - calls;
    assert!(more <= 3600 / 5 + 3600 / 10 + 10, "{more} calls in an hour for jobs that only wait");
    assert_eq!(rig.world.requests(), requests);
    assert!(life.runner.idle() <= Duration::from_secs(1));
    life.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_watchdog_sees_a_loop_that_turns_though_the_store_is_silent() {
    let mut rig = Rig::with_job(|_| {}).await;
    let (store, life) = rig.begin(&[]);
    store.set_weather(Weather::Silent);
    for _ in 0..100 {
        sleep(Duration::from_millis(1500)).await;
        assert!(life.runner.idle() <= Duration::from_secs(1), "{:?}", life.runner.idle());
    }
    life.crash().await;
}

//! Deadlines of steps and jobs, and clocks that jump.

use std::time::Duration;

use firstlight::job::RequestKind::Retry;
use firstlight::job::{JobSpec, UNKNOWN_DEADLINE};
use tokio::time::{Instant, sleep};

use crate::paper::{Break, End, Trouble, Verb, settled};
use crate::rig::{GUEST, JOB, Rig, tell};

fn step_deadline(spec: &mut JobSpec, name: &str, seconds: u64) {
    let step = spec.steps.iter_mut().find(|step| step.name == name).unwrap();
    step.deadline_ms = Some(seconds * 1000);
}

type Case = (&'static str, fn(&mut JobSpec), Option<(&'static str, Trouble)>, End, &'static str, u64);

#[tokio::test(start_paused = true)]
async fn every_deadline_ends_as_it_must() {
    let cases: &[Case] = &[
        (
            "a waiting step fails",
            |spec| step_deadline(spec, "report", 30),
            None,
            End::Clean,
            "step-deadline",
            30,
        ),
        (
            "an unknown outcome needs an operator",
            |spec| step_deadline(spec, "make", 60),
            Some(("make", Trouble::DarkDone)),
            End::NeedsOperator,
            "step-deadline",
            60,
        ),
        (
            "without a deadline, later",
            |_| {},
            Some(("make", Trouble::DarkDone)),
            End::NeedsOperator,
            "no-answer",
            UNKNOWN_DEADLINE.as_secs(),
        ),
        (
            "a request that never returns",
            |spec| step_deadline(spec, "dress", 45),
            Some(("dress", Trouble::Hangs)),
            End::NeedsOperator,
            "step-deadline",
            45,
        ),
        (
            "the job's, while it waits",
            |spec| spec.deadline_ms = Some(90_000),
            None,
            End::Clean,
            "job-deadline",
            90,
        ),
        (
            "the job's, and its guest is kept",
            |spec| (spec.deadline_ms, spec.keep_on_failure) = (Some(90_000), true),
            None,
            End::NeedsOperator,
            "job-deadline",
            90,
        ),
        (
            "the job's, while an outcome is unknown: not before it is given up",
            |spec| spec.deadline_ms = Some(20_000),
            Some(("make", Trouble::DarkDone)),
            End::NeedsOperator,
            "no-answer",
            UNKNOWN_DEADLINE.as_secs(),
        ),
    ];
    for (name, change, trouble, end, code, seconds) in cases {
        let mut rig = Rig::with_job(*change).await;
        rig.world.silence();
        if let Some((step, trouble)) = trouble {
            rig.world.arm(GUEST, step, Verb::Act, *trouble, 1);
        }
        let began = Instant::now();
        let state = rig.run(&[]).await;
        let took = began.elapsed().as_secs();
        rig.expect(&state, *end, name).await;
        assert_eq!(state.failure.unwrap().code, *code, "{name}");
        assert!((*seconds..seconds + 15).contains(&took), "{name}: {took} s");
    }
    tell("deadlines", cases.len(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_retry_has_a_deadline_of_its_own() {
    let mut rig = Rig::with_job(|spec| (spec.deadline_ms, spec.keep_on_failure) = (Some(90_000), true)).await;
    rig.world.silence();
    let state = rig.run(&[]).await;
    rig.expect(&state, End::NeedsOperator, "kept").await;
    sleep(Duration::from_secs(86_400)).await;
    let began = Instant::now();
    let state = rig.run(&[Retry]).await;
    rig.expect(&state, End::NeedsOperator, "kept again").await;
    assert!(began.elapsed() >= Duration::from_secs(90), "{:?}", began.elapsed());
    rig.world.report(GUEST);
    let state = rig.run(&[Retry]).await;
    rig.expect(&state, End::Complete, "in time").await;
}

#[tokio::test(start_paused = true)]
async fn clocks_that_jump_within_a_life_change_nothing() {
    for jump in [-i64::MAX, -86_400_000, 86_400_000, i64::MAX / 4] {
        let mut rig = Rig::with_job(|spec| step_deadline(spec, "report", 600)).await;
        rig.world.silence();
        let (_, life) = rig.begin(&[]);
        sleep(Duration::from_secs(60)).await;
        rig.clock.jump(jump);
        sleep(Duration::from_secs(60)).await;
        rig.world.report(GUEST);
        let state = settled(&*rig.memory, JOB).await;
        rig.expect(&state, End::Complete, &format!("jumped by {jump} ms")).await;
        life.stop().await;
    }
    tell("clock jumps in a life", 4, 4);
}

#[tokio::test(start_paused = true)]
async fn clocks_that_jump_between_lives_end_jobs_at_worst_cleanly() {
    let mut cases = 0;
    for jump in [-i64::MAX, -86_400_000, 86_400_000, i64::MAX / 4] {
        for at in 1..=13 {
            let mut rig = Rig::with_job(|spec| {
                spec.deadline_ms = Some(600_000);
                spec.steps.iter_mut().for_each(|step| step.deadline_ms = Some(60_000));
            })
            .await;
            let (store, life) = rig.begin(&[Break::DieAfter(at)]);
            store.died().await;
            life.crash().await;
            rig.clock.jump(jump);
            let state = rig.run(&[]).await;
            rig.expect(&state, End::Complete, &format!("jumped by {jump} ms after event {at}")).await;
            cases += 1;
        }
    }
    tell("clock jumps between lives", cases, 52);
}

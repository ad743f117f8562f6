//! What is still under way when the job turns back: tasks at work, outcomes in doubt, undos that were begun.

use std::time::Duration;

use firstlight::job::RequestKind::Unwind;
use firstlight::job::{Event, JobStore};
use tokio::time::sleep;

use crate::paper::{Break, End, Kind, LINE, Trouble, Verb, ask, settled, state_of};
use crate::rig::{GUEST, JOB, Rig, tell};

fn steps_of(kinds: &[Kind]) -> impl Iterator<Item = &'static str> {
    LINE.iter().filter(|(_, kind)| kinds.contains(kind)).map(|(step, _)| *step)
}

async fn events(rig: &Rig) -> Vec<Event> {
    rig.memory.events(JOB).await.unwrap().into_iter().map(|one| one.event).collect()
}

#[tokio::test(start_paused = true)]
async fn a_task_that_outlasts_its_step_ends_before_the_step_is_undone() {
    let mut cases = 0;
    for step in steps_of(&[Kind::Task]) {
        for journaled in [true, false] {
            let case = format!("{step}, journaled: {journaled}");
            let mut rig = Rig::with_job(|spec| {
                let info = spec.steps.iter_mut().find(|info| info.name == step);
                info.unwrap().deadline_ms = Some(1000);
            })
            .await;
            rig.world.slow_tasks(step, 400);
            if !journaled {
                // The reply is lost, and nothing can be seen before the operator comes.
                rig.world.arm(GUEST, step, Verb::Act, Trouble::DarkDone, 1);
            }
            let state = rig.run(&[]).await;
            rig.expect(&state, End::NeedsOperator, &case).await;
            assert_eq!(state.tasks.contains_key(step), journaled, "{case}");
            assert_eq!(rig.world.tasks_of(JOB).len(), 1, "{case}: still at work");
            rig.world.disarm();
            let state = rig.run(&[Unwind]).await;
            rig.expect(&state, End::Clean, &case).await;
            let events = events(&rig).await;
            let failed = events.iter().any(|event| matches!(event, Event::UndoFailed { .. }));
            assert!(!failed, "{case}: it was undone too early: {events:#?}");
            cases += 1;
        }
    }
    tell("tasks that outlast their step", cases, 4);
}

/// Companions that die at every event of the roll-back while undos take long: the next one waits for the task that is
/// journaled, and asks for no other.
#[tokio::test(start_paused = true)]
async fn an_undo_at_work_is_never_asked_for_again() {
    let mut cases = 0;
    for step in steps_of(&[Kind::Task]) {
        for at in 1..20 {
            for one in [Break::DieBefore(at), Break::DieAfter(at), Break::Steal(at), Break::Freeze(at)] {
                let case = format!("{step}, {one:?}");
                let mut rig = Rig::with_job(|_| {}).await;
                let state = rig.run(&[]).await;
                rig.expect(&state, End::Complete, &case).await;
                rig.world.slow_tasks(step, 20);
                let state = rig.play(&[Unwind], &[&[one]]).await;
                rig.expect(&state, End::Clean, &case).await;
                let events = events(&rig).await;
                let begun =
                    |event: &&Event| matches!(event, Event::UndoProgress { step: of, .. } if of == step);
                let journaled = events.iter().filter(begun).count();
                let failures = events.iter().filter(|one| matches!(one, Event::UndoFailed { .. })).count();
                // Where the reply was never journaled, the hypervisor's own lock refuses the second request.
                let (told, lost) = (journaled == 1 && failures == 0, journaled == 0 && failures > 0);
                assert!(told || lost, "{case}: {events:#?}");
                cases += 1;
            }
        }
    }
    tell("deaths while undos take long", cases, 100);
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Leave {
    Crash,
    Drain,
    Steal,
}

/// Nobody knows whether it was done, and somebody else drives the job: it is found out before anything is unwound.
#[tokio::test(start_paused = true)]
async fn a_doubt_outlives_its_companion_and_is_settled_before_a_request() {
    let mut cases = 0;
    for step in steps_of(&[Kind::Quick, Kind::Task]) {
        for leave in [Leave::Crash, Leave::Drain, Leave::Steal] {
            for asked_before in [true, false] {
                let case = format!("{step}, {leave:?}, asked before: {asked_before}");
                doubt_and_leave(step, leave, asked_before, &case).await;
                cases += 1;
            }
        }
    }
    tell("doubts that outlive their companion", cases, 24);
}

async fn doubt_and_leave(step: &str, leave: Leave, asked_before: bool, case: &str) {
    let mut rig = Rig::with_job(|_| {}).await;
    rig.world.arm(GUEST, step, Verb::Act, Trouble::DarkDone, 1);
    let (_, first) = rig.begin(&[]);
    sleep(Duration::from_secs(10)).await;
    if asked_before {
        ask(&*rig.memory, JOB, Unwind).await;
        sleep(Duration::from_secs(5)).await;
    }
    match leave {
        Leave::Crash => first.crash().await,
        Leave::Drain => first.drain(Duration::from_secs(60)).await,
        Leave::Steal => {
            rig.memory.steal(JOB);
            first.stop().await;
        }
    }
    if !asked_before {
        ask(&*rig.memory, JOB, Unwind).await;
    }
    let (_, second) = rig.begin(&[]);
    sleep(Duration::from_secs(100)).await;
    let state = state_of(&*rig.memory, JOB).await;
    assert!(state.is_committed() && !state.unwind_ordered, "{case}: {state:?}");
    assert!(state.companion.is_some(), "{case}: it was taken over");
    rig.world.disarm();
    let state = settled(&*rig.memory, JOB).await;
    rig.expect(&state, End::Clean, case).await;
    let events = events(&rig).await;
    let known =
        events.iter().position(|one| matches!(one, Event::StepSucceeded { step: of, .. } if of == step));
    let unwound = events.iter().position(|one| matches!(one, Event::UnwindRequested { .. }));
    assert!(known.is_some() && known < unwound, "{case}: {events:#?}");
    second.stop().await;
}

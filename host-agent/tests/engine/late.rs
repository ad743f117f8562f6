//! Requests that are carried out after their reply was given up: past a take-over, past a roll-back.

use std::time::Duration;

use firstlight::job::RequestKind::{Anew, Sweep, Unwind};
use firstlight::job::{Event, JobStore};
use tokio::time::sleep;

use crate::paper::{Break, End, Kind, LINE, Trouble, Verb, judge, settled};
use crate::rig::{GUEST, JOB, Rig, tell};

fn makers() -> impl Iterator<Item = &'static str> {
    LINE.iter().filter(|(_, kind)| matches!(kind, Kind::Quick | Kind::Task)).map(|(step, _)| *step)
}

async fn swept(rig: &Rig) -> Vec<String> {
    let events = rig.memory.events(JOB).await.unwrap();
    let swept = events.into_iter().filter_map(|one| match one.event {
        Event::Swept { what } => Some(what),
        _ => None,
    });
    swept.flatten().collect()
}

#[tokio::test(start_paused = true)]
async fn past_a_take_over() {
    let mut cases = 0;
    for step in makers() {
        for at in 1..8 {
            let case = format!("{step}, dead at {at}");
            let mut rig = Rig::with_job(|_| {}).await;
            rig.world.arm(GUEST, step, Verb::Act, Trouble::Late(u64::MAX), 1);
            let (store, life) = rig.begin(&[Break::DieAfter(at)]);
            store.died().await;
            life.crash().await;
            let (_, second) = rig.begin(&[]);
            let state = settled(&*rig.memory, JOB).await;
            rig.expect(&state, End::Complete, &case).await;
            assert_eq!(rig.world.carry_out_late(), 1, "{case}");
            sleep(Duration::from_secs(60)).await;
            rig.expect(&state, End::Complete, &format!("{case}, late")).await;
            second.stop().await;
            cases += 1;
        }
    }
    tell("late past a take-over", cases, 28);
}

#[tokio::test(start_paused = true)]
async fn past_a_roll_back_and_swept() {
    for step in makers() {
        let mut rig = Rig::with_job(|_| {}).await;
        rig.world.arm(GUEST, step, Verb::Act, Trouble::Late(u64::MAX), 1);
        let state = rig.run(&[Unwind]).await;
        rig.expect(&state, End::Clean, step).await;
        // Nothing has come yet: a sweep finds nothing, and says nothing.
        let state = rig.run(&[Sweep]).await;
        assert_eq!(swept(&rig).await, Vec::<String>::new());
        rig.expect(&state, End::Clean, step).await;
        assert_eq!(rig.world.carry_out_late(), 1);
        assert_eq!(rig.world.things_of(JOB).len(), 1, "{step} came late");
        let state = rig.run(&[Sweep, Sweep]).await;
        rig.expect(&state, End::Clean, &format!("{step}, swept")).await;
        assert_eq!(swept(&rig).await, [step]);
    }
    tell("late past a roll-back", makers().count(), 4);
}

#[tokio::test(start_paused = true)]
async fn past_a_roll_back_beside_the_guest_that_was_made_anew() {
    for step in makers() {
        let mut rig = Rig::with_job(|_| {}).await;
        rig.world.arm(GUEST, step, Verb::Act, Trouble::Late(u64::MAX), 1);
        let state = rig.run(&[Anew { successor: "job-2".into() }]).await;
        rig.expect(&state, End::Clean, step).await;
        let (_, life) = rig.begin(&[]);
        let next = settled(&*rig.memory, "job-2").await;
        assert_eq!(judge(&rig.world, "job-2", &next), Ok(End::Complete));
        life.stop().await;
        assert_eq!(rig.world.carry_out_late(), 1);
        let state = rig.run(&[Sweep]).await;
        rig.expect(&state, End::Clean, &format!("{step}, swept")).await;
        assert_eq!(judge(&rig.world, "job-2", &next), Ok(End::Complete), "the new guest is untouched");
    }
    tell("late beside a successor", makers().count(), 4);
}

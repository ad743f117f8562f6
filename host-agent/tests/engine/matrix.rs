//! Every step, every fault, forward and backward.

use std::time::Duration;

use firstlight::job::RequestKind::{Retry, Sweep, Unwind};
use firstlight::job::UNDO_ATTEMPTS;
use tokio::time::sleep;

use crate::paper::{End, Kind, LINE, Trouble, Verb};
use crate::rig::{GUEST, JOB, Rig, tell};

/// How a job ends when this happens once to the act of a step of this kind.
fn end_of_act(trouble: Trouble, kind: Kind) -> End {
    let makes = matches!(kind, Kind::Quick | Kind::Task);
    match trouble {
        Trouble::Refused => End::Clean,
        Trouble::EndsBadly if kind == Kind::Task => End::Clean,
        Trouble::Foreign if makes => End::Clean,
        Trouble::Dark => End::NeedsOperator,
        Trouble::DarkDone if makes => End::NeedsOperator,
        _ => End::Complete,
    }
}

fn arm(rig: &Rig, step: &str, kind: Kind, trouble: Trouble, times: u32) {
    rig.world.arm(GUEST, step, Verb::Act, trouble, times);
    if kind == Kind::Wait {
        // The report comes after the fault.
        rig.world.silence();
        let world = rig.world.clone();
        tokio::spawn(async move {
            sleep(Duration::from_secs(30)).await;
            world.report(GUEST);
        });
    }
}

#[tokio::test(start_paused = true)]
async fn every_fault_of_every_act() {
    let mut cases = 0;
    for (step, kind) in LINE {
        for trouble in Trouble::OF_ACT {
            for times in [1, 3] {
                let case = format!("{trouble:?} x {times} at {step}");
                let mut rig = Rig::with_job(|_| {}).await;
                arm(&rig, step, *kind, *trouble, times);
                let state = rig.run(&[]).await;
                rig.expect(&state, end_of_act(*trouble, *kind), &case).await;
                // Whatever it was: removed on demand, it leaves nothing, and nothing foreign is touched.
                rig.world.disarm();
                let foreign = rig.world.things_of("somebody");
                rig.run(&[Unwind]).await;
                rig.world.carry_out_late();
                let state = rig.run(&[Sweep]).await;
                rig.expect(&state, End::Clean, &format!("{case}, then removed")).await;
                assert_eq!(rig.world.things_of("somebody"), foreign, "{case}");
                assert_eq!(foreign.len(), usize::from(*trouble == Trouble::Foreign), "{case}");
                cases += 2;
            }
        }
    }
    tell("act", cases, 2 * 2 * 6 * 13);
}

#[tokio::test(start_paused = true)]
async fn what_was_unknown_can_be_tried_again() {
    let mut cases = 0;
    for (step, kind) in LINE {
        for trouble in [Trouble::Dark, Trouble::DarkDone] {
            let mut rig = Rig::with_job(|_| {}).await;
            arm(&rig, step, *kind, trouble, 1);
            let state = rig.run(&[]).await;
            rig.expect(&state, end_of_act(trouble, *kind), &format!("{trouble:?} at {step}")).await;
            rig.world.disarm();
            let state = rig.run(&[Retry]).await;
            rig.expect(&state, End::Complete, &format!("{trouble:?} at {step}, then retried")).await;
            cases += 2;
        }
    }
    tell("unknown, then retried", cases, 24);
}

#[tokio::test(start_paused = true)]
async fn every_fault_of_every_undo() {
    let mut cases = 0;
    for (step, kind) in LINE {
        for trouble in Trouble::OF_UNDO {
            for times in [1, 3, u32::MAX] {
                // A step that always breaks is tried for ever; nothing else can be said of it.
                if (*trouble, times) == (Trouble::Panics, u32::MAX) {
                    continue;
                }
                for asked in [true, false] {
                    let case = format!("{trouble:?} x {times} at the undo of {step}, asked {asked}");
                    let mut rig = Rig::with_job(|_| {}).await;
                    rig.world.arm(GUEST, step, Verb::Undo, *trouble, times);
                    let unwind = [Unwind];
                    let asks = if asked { &unwind[..] } else { &[] };
                    if !asked {
                        rig.world.arm(GUEST, "finish", Verb::Act, Trouble::Refused, 1);
                    }
                    let state = rig.run(asks).await;
                    let end = end_of_undo(*trouble, *kind, times);
                    rig.expect(&state, end, &case).await;
                    if end == End::NeedsOperator {
                        assert_eq!(state.undo_failures, UNDO_ATTEMPTS, "{case}");
                    }
                    rig.world.disarm();
                    let state = rig.run(&[Unwind, Sweep]).await;
                    rig.expect(&state, End::Clean, &format!("{case}, then again")).await;
                    cases += 2;
                }
            }
        }
    }
    tell("undo", cases, 2 * 2 * 6 * (3 * 8 - 1));
}

fn end_of_undo(trouble: Trouble, kind: Kind, times: u32) -> End {
    let makes = matches!(kind, Kind::Quick | Kind::Task);
    let stays = match trouble {
        Trouble::Refused | Trouble::LostBefore | Trouble::Late(_) => true,
        Trouble::EndsBadly | Trouble::Vanished => kind == Kind::Task,
        // Once it is gone, the next undo sees nothing to do.
        Trouble::LostAfter | Trouble::Forgotten | Trouble::Panics => false,
        _ => makes,
    };
    if stays && times == u32::MAX { End::NeedsOperator } else { End::Clean }
}

#[tokio::test(start_paused = true)]
async fn a_kept_guest_stays_until_somebody_decides() {
    let mut cases = 0;
    for (step, kind) in LINE {
        for trouble in [Trouble::Refused, Trouble::EndsBadly] {
            let wanted =
                if end_of_act(trouble, *kind) == End::Clean { End::NeedsOperator } else { End::Complete };
            for (ask, end) in [(Unwind, End::Clean), (Retry, End::Complete)] {
                let mut rig = Rig::with_job(|spec| spec.keep_on_failure = true).await;
                arm(&rig, step, *kind, trouble, 1);
                let state = rig.run(&[]).await;
                rig.expect(&state, wanted, &format!("kept, {trouble:?} at {step}")).await;
                if wanted == End::NeedsOperator {
                    let before = rig.world.things_of(JOB).len();
                    assert_eq!(state.leftovers.len(), state.to_undo.len());
                    assert!(before <= state.to_undo.len());
                }
                // Half of a thing is refused again, and kept again.
                let half = trouble == Trouble::EndsBadly && *kind == Kind::Task && ask == Retry;
                let state = rig.run(&[ask]).await;
                let end = if half { End::NeedsOperator } else { end };
                rig.expect(&state, end, &format!("kept, {trouble:?} at {step}, then")).await;
                cases += 2;
            }
        }
    }
    tell("kept", cases, 48);
}

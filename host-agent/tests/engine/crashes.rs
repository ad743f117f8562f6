//! Death, refusal, a lost reply, a lost lease or a standstill at every append of every story, forward and unwinding.

use firstlight::job::RequestKind::{self, Anew, Retry, Sweep, Unwind};

use crate::paper::{Break, End, Trouble, Verb, judge, settled};
use crate::rig::{GUEST, JOB, Rig, tell};

/// What happens, and how it ends.
struct Story {
    name: &'static str,
    troubles: &'static [(&'static str, Verb, Trouble, u32)],
    keep: bool,
    asks: fn() -> Vec<RequestKind>,
    end: End,
}

const PLAIN: Story = Story { name: "", troubles: &[], keep: false, asks: Vec::new, end: End::Complete };

const STORIES: &[Story] = &[
    Story { name: "straight", ..PLAIN },
    Story {
        name: "refused at the end",
        troubles: &[("finish", Verb::Act, Trouble::Refused, u32::MAX)],
        end: End::Clean,
        ..PLAIN
    },
    Story {
        name: "a task ends badly",
        troubles: &[("start", Verb::Act, Trouble::EndsBadly, 1)],
        end: End::Clean,
        ..PLAIN
    },
    Story { name: "a reply is lost", troubles: &[("make", Verb::Act, Trouble::LostAfter, 1)], ..PLAIN },
    Story { name: "a task cannot be seen", troubles: &[("make", Verb::Act, Trouble::Hidden, 9)], ..PLAIN },
    Story {
        name: "tasks are forgotten",
        troubles: &[("make", Verb::Act, Trouble::Forgotten, 1), ("start", Verb::Act, Trouble::Vanished, 1)],
        ..PLAIN
    },
    Story { name: "a request is late", troubles: &[("start", Verb::Act, Trouble::Late(5), 1)], ..PLAIN },
    Story { name: "removed", asks: || vec![Unwind], end: End::Clean, ..PLAIN },
    Story {
        name: "removed with trouble",
        troubles: &[("start", Verb::Undo, Trouble::EndsBadly, 2), ("dress", Verb::Undo, Trouble::Refused, 2)],
        asks: || vec![Unwind],
        end: End::Clean,
        ..PLAIN
    },
    Story {
        name: "an undo fails for good, then does not",
        troubles: &[("make", Verb::Undo, Trouble::Refused, 8)],
        asks: || vec![Unwind, Unwind],
        end: End::Clean,
        ..PLAIN
    },
    Story {
        name: "kept, then removed",
        troubles: &[("finish", Verb::Act, Trouble::Refused, u32::MAX)],
        keep: true,
        asks: || vec![Unwind],
        end: End::Clean,
    },
    Story {
        name: "kept, then tried again",
        troubles: &[("finish", Verb::Act, Trouble::Refused, 1)],
        keep: true,
        asks: || vec![Retry],
        ..PLAIN
    },
    Story {
        name: "begun anew, then swept",
        asks: || vec![Anew { successor: "job-2".into() }, Sweep],
        end: End::Clean,
        ..PLAIN
    },
];

async fn tell_story(story: &Story, breaks: &[&[Break]]) -> Rig {
    let case = format!("{}, {breaks:?}", story.name);
    let mut rig = Rig::with_job(|spec| spec.keep_on_failure = story.keep).await;
    for (step, verb, trouble, times) in story.troubles {
        rig.world.arm(GUEST, step, *verb, *trouble, *times);
    }
    let asks = (story.asks)();
    let state = rig.play(&asks, breaks).await;
    rig.expect(&state, story.end, &case).await;
    if let Some(successor) = state.successor {
        let (_, life) = rig.begin(&[]);
        let state = settled(&*rig.memory, &successor).await;
        assert_eq!(judge(&rig.world, &successor, &state), Ok(End::Complete), "{case}: the successor");
        assert_eq!(state.spec.retry_of.as_deref(), Some(JOB), "{case}");
        assert_eq!(rig.memory.jobs().len(), 2, "{case}: one successor");
        life.stop().await;
    }
    rig
}

/// How many appends a story has when nothing breaks.
async fn appends(story: &Story) -> u64 {
    let mut rig = Rig::with_job(|spec| spec.keep_on_failure = story.keep).await;
    for (step, verb, trouble, times) in story.troubles {
        rig.world.arm(GUEST, step, *verb, *trouble, *times);
    }
    rig.run(&(story.asks)()).await.events - 1
}

#[tokio::test(start_paused = true)]
async fn every_break_at_every_append() {
    let mut cases = 0;
    for story in STORIES {
        for at in 1..=appends(story).await {
            for one in [
                Break::DieBefore(at),
                Break::DieAfter(at),
                Break::LoseReply(at),
                Break::Refuse(at, 3),
                Break::Steal(at),
                Break::Freeze(at),
            ] {
                tell_story(story, &[&[one]]).await;
                cases += 1;
            }
        }
    }
    tell("breaks at every append", cases, 1200);
}

/// The event is there: a companion that heard of an error only goes on, under the same lease.
#[tokio::test(start_paused = true)]
async fn what_the_store_took_or_refused_for_a_while_costs_no_lease() {
    let mut cases = 0;
    for story in STORIES {
        let untroubled = tell_story(story, &[]).await.memory.fence(JOB);
        for at in 1..=appends(story).await {
            for one in [Break::LoseReply(at), Break::Refuse(at, 3)] {
                let rig = tell_story(story, &[&[one]]).await;
                // What is asked while an answer is looked for may even be answered under the lease before.
                assert!(rig.memory.fence(JOB) <= untroubled, "{}, {one:?}", story.name);
                cases += 1;
            }
        }
    }
    tell("lost replies and refusals under one lease", cases, 400);
}

#[tokio::test(start_paused = true)]
async fn dying_again_on_the_way_back_to_life() {
    let mut cases = 0;
    for story in STORIES.iter().filter(|story| {
        ["straight", "refused at the end", "removed", "a reply is lost"].contains(&story.name)
    }) {
        for first in 1..=appends(story).await {
            for second in 1..=2 {
                for (one, two) in [
                    (Break::DieBefore(first), Break::DieBefore(second)),
                    (Break::DieBefore(first), Break::DieAfter(second)),
                    (Break::DieAfter(first), Break::DieBefore(second)),
                    (Break::DieAfter(first), Break::DieAfter(second)),
                ] {
                    tell_story(story, &[&[one], &[two]]).await;
                    cases += 1;
                }
            }
        }
    }
    tell("two deaths", cases, 600);
}

#[tokio::test(start_paused = true)]
async fn companions_that_die_after_every_single_step_forward() {
    for story in STORIES {
        // The first event of each says that it took the job over, the second one is the way it makes.
        let always: Vec<&[Break]> = vec![&[Break::DieAfter(2)]; 60];
        tell_story(story, &always).await;
    }
    tell("a death after each step forward", STORIES.len(), 13);
}

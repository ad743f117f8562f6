//! What others read of a state: the queue, the engine, people.

use super::*;

fn state(keep: bool, words: &[&str]) -> State {
    fold(&journal(keep, words)).unwrap()
}

/// Of a guest that is ready.
const DONE: [&str; 4] = ["started a", "succeeded a", "started b", "succeeded b"];

#[test]
fn phases_have_one_name_everywhere() {
    for phase in Phase::ALL {
        assert_eq!(serde_json::to_value(phase).unwrap(), phase.as_str());
    }
    assert_eq!(Phase::ALL.map(Phase::is_final), [false, false, false, false, true, true, true, true]);
    assert_eq!(Phase::ALL.map(Phase::is_gone), [false, false, false, false, false, true, false, true]);
}

/// A job whose last step ended has no step to try again, though nothing was undone yet.
#[test]
fn what_was_ready_once_is_not_tried_again() {
    let words: Vec<&str> = DONE.into_iter().chain(["unwind", "needs-operator"]).collect();
    let stuck = state(false, &words);
    assert!(!stuck.undo_begun && !stuck.can_retry());
    assert_eq!(stuck.misfit(&event("retry", "")), Some("no step can be tried again"));
}

#[test]
fn only_a_step_at_work_commits_the_engine() {
    for (words, committed) in [
        (&[][..], false),
        (&DONE[..1], true),
        (&DONE[..2], false),
        (&DONE[..3], false), // it waits for the guest: that can be left
        (&["started a", "failed a", "undo-started a"], false),
    ] {
        assert_eq!(state(false, words).is_committed(), committed, "{words:?}");
    }
}

/// The name of a guest that is ready is taken; a change of it, once done, is in nobody's way.
#[test]
fn a_change_is_live_until_it_is_done() {
    for (change_of, words, live) in [
        (None, &DONE[..], true),
        (Some("j1"), &DONE[..], false),
        (Some("j1"), &DONE[..1], true),
        (Some("j1"), &["started a", "needs-operator"], true),
        (Some("j1"), &["unwind"], false),
    ] {
        let mut events = journal(false, words);
        events[0].event = Event::Created(JobSpec { change_of: change_of.map(Into::into), ..spec(false) });
        assert_eq!(fold(&events).unwrap().outline().live, live, "{change_of:?} {words:?}");
    }
}

#[test]
fn a_guest_that_is_being_removed_is_due_no_more() {
    let mut events = journal(false, &DONE);
    events[0].event =
        Event::Created(JobSpec { destroy_after_ms: Some(1000), ephemeral: true, ..spec(false) });
    events.push(recorded(5, event("unwind", "")));
    let state = fold(&events).unwrap();
    let outline = state.outline();
    assert_eq!((outline.due_ms, outline.attend_ms, outline.ephemeral), (None, None, false));
    assert_eq!((state.due_ms(), state.attend(u64::MAX)), (None, Attend::Nothing));
}

#[test]
fn the_same_word_again_is_known() {
    let mut state = state(false, &DONE);
    assert!(!state.is_kept_so(None, false), "nobody has said anything");
    for (until_ms, promoted, known) in [
        (Some(9000), false, [(Some(9000), false, true), (Some(9001), false, false), (None, false, false)]),
        (Some(9000), true, [(Some(9000), false, true), (Some(9000), true, true), (None, true, false)]),
        // Once is for good: it is not taken back by a word about the time.
        (None, false, [(None, true, true), (None, false, true), (Some(9000), true, false)]),
        (None, true, [(None, true, true), (None, false, true), (Some(9000), false, false)]),
    ] {
        if !promoted && !state.life.promoted {
            assert!(!state.is_kept_so(until_ms, true));
        }
        let kept = Event::Kept { by: String::new(), until_ms, promoted };
        state.apply(&Recorded { seq: state.events, at_ms: 500, event: kept }).unwrap();
        for (until_ms, promoted, expected) in known {
            assert_eq!(state.is_kept_so(until_ms, promoted), expected, "{until_ms:?} {promoted}");
        }
    }
}

/// Who orders twice, for a successor perhaps, has ordered; an ended deadline afterwards takes nothing back.
#[test]
fn an_order_stands() {
    let mut events = journal(true, &["started a", "unwind", "unwind+successor"]);
    assert!(!fold(&events).unwrap().keeps());
    let fault = Fault::new(JOB_DEADLINE, "y");
    events.push(recorded(4, Event::UnwindRequested { by: String::new(), fault, successor: None }));
    assert!(!fold(&events).unwrap().keeps());
}

#[test]
fn steps_of_which_more_may_have_been_asked_for_are_known() {
    for (words, unsure, doubts) in [
        (&["taken-over"][..], false, 0),
        (&["started a", "taken-over"], true, 0),
        (&["started a", "uncertain a", "uncertain a"], true, 2),
        (&["started a", "uncertain a", "succeeded a"], false, 1),
        (&["started a", "uncertain a", "failed a", "undo-started a", "undo-failed a"], true, 2),
    ] {
        let state = state(false, words);
        assert_eq!(state.unsure.contains("a"), unsure, "{words:?}");
        assert_eq!(state.doubts.get("a").copied().unwrap_or_default(), doubts, "{words:?}");
    }
    assert_eq!(state(false, &["taken-over"]).companion.as_deref(), Some("other"));
}

/// Begun once more after a retry, a step is still undone once.
#[test]
fn a_step_that_was_tried_again_is_undone_once() {
    let again = state(false, &["started a", "needs-operator", "retry", "started a"]);
    assert_eq!(again.to_undo, ["a"]);
    let all = state(
        false,
        &["started a", "succeeded a", "started b", "unwind", "undo-started b", "undo-finished b"],
    );
    assert_eq!((all.to_undo, all.phase, all.ended_ms), (vec!["a".to_owned()], Phase::Unwinding, None));
}

mod told;

use proptest::prelude::*;
use serde_json::json;

use super::*;

const KINDS: [&str; 20] = [
    "created",
    "taken-over",
    "started",
    "progress",
    "succeeded",
    "failed",
    "uncertain",
    "unwind",
    "unwind+successor",
    "undo-started",
    "undo-progress",
    "undo-failed",
    "undo-finished",
    "needs-operator",
    "retry",
    "abandoned",
    "successor-settled",
    "swept",
    "kept",
    "due-soon",
];

fn spec(keep: bool) -> JobSpec {
    let info = |name: &str, waits| StepInfo { name: name.to_owned(), waits, deadline_ms: None };
    JobSpec {
        guest: "web-01".into(),
        backend: "local".into(),
        spec: json!({}),
        steps: vec![info("a", false), info("b", true)],
        keep_on_failure: keep,
        batch: String::new(),
        resources: vec!["node:one".into()],
        deadline_ms: None,
        retry_of: None,
        by: String::new(),
        change_of: None,
        destroy_after_ms: None,
        ephemeral: false,
    }
}

fn fault() -> Fault {
    Fault::new("x", "y")
}

/// An event of one of [`KINDS`], about this step.
fn event(kind: &str, step: &str) -> Event {
    let (step, task) = (step.to_owned(), "task".to_owned());
    let unwind = |successor| Event::UnwindRequested { by: String::new(), fault: fault(), successor };
    match kind {
        "created" => Event::Created(spec(false)),
        "taken-over" => Event::TakenOver { companion: "other".into(), fence: 2 },
        "started" => Event::StepStarted { step },
        "progress" => Event::StepProgress { step, task },
        "succeeded" => Event::StepSucceeded { output: json!({ "by": step }), step },
        "failed" => Event::StepFailed { step, fault: fault(), console: vec![] },
        "uncertain" => Event::StepUncertain { step, fault: fault() },
        "unwind" => unwind(None),
        "unwind+successor" => unwind(Some("next".into())),
        "undo-started" => Event::UndoStarted { step },
        "undo-progress" => Event::UndoProgress { step, task },
        "undo-failed" => Event::UndoFailed { step, fault: fault() },
        "undo-finished" => Event::UndoFinished { step },
        "needs-operator" => Event::NeedsOperator { fault: fault(), leftovers: vec!["rm".into()] },
        "retry" => Event::RetryRequested { by: String::new() },
        "abandoned" => Event::Abandoned { by: String::new(), reason: String::new() },
        "successor-settled" => Event::SuccessorSettled { fault: None },
        "swept" => Event::Swept { what: vec![] },
        "kept" => Event::Kept { by: String::new(), until_ms: None, promoted: false },
        "due-soon" => Event::DueSoon { due_ms: 5 },
        other => panic!("no kind {other}"),
    }
}

fn recorded(seq: usize, event: Event) -> Recorded {
    Recorded { seq: seq as u64, at_ms: 100 * seq as u64, event }
}

/// From `kind step` words, after the first event.
fn journal(keep: bool, words: &[&str]) -> Vec<Recorded> {
    let rest = words.iter().map(|word| {
        let (kind, step) = word.split_once(' ').unwrap_or((word, ""));
        event(kind, step)
    });
    let events = std::iter::once(Event::Created(spec(keep))).chain(rest);
    events.enumerate().map(|(seq, event)| recorded(seq, event)).collect()
}

const UNWINDING: [&str; 2] = ["started a", "failed a"];

/// Its name, whether its guest is kept, how it came about, its phase, what can follow.
type Situation = (&'static str, bool, &'static [&'static str], Phase, &'static [&'static str]);

/// Every situation a job can be in.
const SITUATIONS: &[Situation] = &[
    (
        "queued",
        false,
        &[],
        Phase::Queued,
        &["started", "unwind", "unwind+successor", "needs-operator", "kept"],
    ),
    (
        "between steps",
        false,
        &["started a", "succeeded a"],
        Phase::Running,
        &["started", "unwind", "unwind+successor", "needs-operator", "kept"],
    ),
    (
        "at work",
        false,
        &["started a"],
        Phase::Running,
        &[
            "progress",
            "succeeded",
            "failed",
            "uncertain",
            "unwind",
            "unwind+successor",
            "needs-operator",
            "kept",
        ],
    ),
    (
        "waiting",
        false,
        &["started a", "succeeded a", "started b"],
        Phase::Waiting,
        &[
            "progress",
            "succeeded",
            "failed",
            "uncertain",
            "unwind",
            "unwind+successor",
            "needs-operator",
            "kept",
        ],
    ),
    (
        "unwinding",
        false,
        &UNWINDING,
        Phase::Unwinding,
        &[
            "progress",
            "unwind+successor",
            "undo-started",
            "undo-progress",
            "undo-failed",
            "undo-finished",
            "needs-operator",
        ],
    ),
    (
        "unwinding for a successor",
        false,
        &["started a", "unwind+successor"],
        Phase::Unwinding,
        &[
            "progress",
            "unwind",
            "undo-started",
            "undo-progress",
            "undo-failed",
            "undo-finished",
            "needs-operator",
        ],
    ),
    (
        "failed, to be kept",
        true,
        &UNWINDING,
        Phase::Unwinding,
        &["progress", "unwind", "unwind+successor", "needs-operator"],
    ),
    (
        "done",
        false,
        &["started a", "succeeded a", "started b", "succeeded b"],
        Phase::Done,
        &["unwind", "unwind+successor", "kept"],
    ),
    (
        "rolled back",
        false,
        &["started a", "failed a", "undo-started a", "undo-finished a"],
        Phase::RolledBack,
        &["swept"],
    ),
    ("never begun, rolled back", false, &["unwind"], Phase::RolledBack, &["swept"]),
    (
        "rolled back, owing a successor",
        false,
        &["unwind+successor"],
        Phase::RolledBack,
        &["swept", "successor-settled"],
    ),
    (
        "rolled back, with a successor",
        false,
        &["unwind+successor", "successor-settled"],
        Phase::RolledBack,
        &["swept"],
    ),
    (
        "stuck on the way",
        false,
        &["started a", "needs-operator"],
        Phase::NeedsOperator,
        &["unwind", "unwind+successor", "retry", "abandoned", "kept"],
    ),
    (
        "kept",
        true,
        &["started a", "failed a", "needs-operator"],
        Phase::NeedsOperator,
        &["unwind", "unwind+successor", "retry", "abandoned", "kept"],
    ),
    (
        "stuck on the way back",
        false,
        &["started a", "failed a", "undo-started a", "undo-failed a", "needs-operator"],
        Phase::NeedsOperator,
        &["unwind", "unwind+successor", "abandoned", "kept"],
    ),
    ("abandoned", false, &["started a", "needs-operator", "abandoned"], Phase::Abandoned, &[]),
];

#[test]
fn what_can_follow_in_every_situation() {
    for (name, keep, words, phase, allowed) in SITUATIONS {
        let state = fold(&journal(*keep, words)).unwrap();
        assert_eq!(state.phase, *phase, "{name}");
        let now = state.current_step().map_or("b", |step| &step.name).to_owned();
        let undone = state.to_undo.last().map_or("a", String::as_str).to_owned();
        for kind in KINDS {
            let step = if kind.starts_with("undo") { &undone } else { &now };
            let mut next = state.clone();
            let fits =
                next.apply(&Recorded { seq: state.events, at_ms: 9, event: event(kind, step) }).is_ok();
            let wanted = kind == "taken-over" || allowed.contains(&kind);
            assert_eq!(fits, wanted, "{name}: {kind}");
            if !fits {
                assert_eq!(next, state, "{name}: {kind} changed something");
            }
        }
    }
}

#[test]
fn a_guest_that_is_ready_has_its_time_and_the_last_word_counts() {
    let spec = JobSpec { destroy_after_ms: Some(1000), ephemeral: true, ..spec(false) };
    let mut events = journal(false, &["started a", "succeeded a", "started b"]);
    events[0].event = Event::Created(spec);
    let mut state = fold(&events).unwrap();
    let mut next = |state: &mut State, event: Event| {
        let seq = events.len();
        events.push(recorded(seq, event));
        state.apply(events.last().unwrap()).unwrap();
    };
    assert_eq!((state.due_ms(), state.is_ephemeral()), (None, false), "not ready yet");
    next(&mut state, event("succeeded", "b"));
    let outline = state.outline();
    assert_eq!((outline.due_ms, outline.attend_ms, outline.ephemeral), (Some(1400), Some(1300), true));
    assert_eq!((state.attend(1299), state.attend(1300)), (Attend::Nothing, Attend::Tell { due_ms: 1400 }));
    assert!(state.misfit(&Event::DueSoon { due_ms: 1399 }).is_some(), "another end than the present one");
    next(&mut state, Event::DueSoon { due_ms: 1400 });
    assert_eq!((state.attend(1399), state.attend(1400)), (Attend::Nothing, Attend::End { due_ms: 1400 }));
    next(&mut state, Event::Kept { by: String::new(), until_ms: Some(9000), promoted: false });
    assert_eq!((state.due_ms(), state.attend(1400)), (Some(9000), Attend::Nothing));
    next(&mut state, Event::Kept { by: String::new(), until_ms: None, promoted: true });
    let outline = state.outline();
    assert_eq!((outline.due_ms, outline.attend_ms, outline.ephemeral), (None, None, false));
    assert_eq!((state.phase, state.ended_ms), (Phase::Done, Some(400)));
    assert_eq!(fold(&events).unwrap(), state);
}

#[test]
fn events_about_another_step_never_fit() {
    for (name, keep, words, ..) in SITUATIONS {
        let state = fold(&journal(*keep, words)).unwrap();
        for kind in KINDS.iter().filter(|kind| {
            kind.starts_with("undo")
                || ["started", "progress", "succeeded", "failed", "uncertain"].contains(*kind)
        }) {
            assert!(state.misfit(&event(kind, "nobody")).is_some(), "{name}: {kind}");
        }
    }
}

#[test]
fn outlines_tell_the_queue_who_works_and_who_is_to_be_driven() {
    let of = |keep, words: &[&str]| {
        let outline = fold(&journal(keep, words)).unwrap().outline();
        (outline.works, outline.open, outline.live)
    };
    let waited = ["started a", "succeeded a", "started b"];
    for (words, wanted) in [
        (&[][..], (false, true, true)),
        (&waited[..1], (true, true, true)),
        (&waited[..2], (true, true, true)),
        (&waited, (false, true, true)),
        (&["started a", "failed a"], (true, true, true)),
        (&["started a", "needs-operator"], (false, false, true)),
        (&["unwind"], (false, false, false)),
        (&["unwind+successor"], (false, true, false)),
        (&["unwind+successor", "successor-settled"], (false, false, false)),
    ] {
        assert_eq!(of(false, words), wanted, "{words:?}");
    }
}

#[test]
fn a_straight_run_ends_done_with_outputs_and_timings() {
    let state = fold(&journal(false, &["started a", "succeeded a", "started b", "succeeded b"])).unwrap();
    assert_eq!(state.outputs["b"], json!({ "by": "b" }));
    assert_eq!(state.timings["b"], Timing { started_ms: 300, ended_ms: Some(400) });
    assert_eq!((state.begun_ms, state.ended_ms), (Some(100), Some(400)));
}

#[test]
fn tasks_stay_until_their_end_is_journaled() {
    let words = ["started a", "progress a", "uncertain a", "needs-operator"];
    let state = fold(&journal(false, &words)).unwrap();
    assert_eq!(state.tasks.get("a").map(String::as_str), Some("task"), "nobody knows how it ended");
    let words = ["started a", "progress a", "unwind", "undo-started a", "undo-progress a"];
    let state = fold(&journal(false, &words)).unwrap();
    assert_eq!((state.tasks.len(), state.undo_task.as_deref()), (1, Some("task")));
    for ended in [&["started a", "progress a", "succeeded a"][..], &["started a", "progress a", "failed a"]] {
        assert!(fold(&journal(false, ended)).unwrap().tasks.is_empty());
    }
}

#[test]
fn undo_failures_are_counted_until_somebody_asks_again() {
    let words =
        ["started a", "failed a", "undo-started a", "undo-failed a", "undo-failed a", "needs-operator"];
    let state = fold(&journal(false, &words)).unwrap();
    assert_eq!((state.undo_failures, state.undo_failure.map(|fault| fault.code)), (2, Some("x".into())));
    let again: Vec<&str> = words.into_iter().chain(["unwind"]).collect();
    assert_eq!(fold(&journal(false, &again)).unwrap().undo_failures, 0);
}

#[test]
fn a_retry_begins_the_deadline_anew_and_forgets_the_failure() {
    let state = fold(&journal(true, &["started a", "failed a", "needs-operator", "retry"])).unwrap();
    assert_eq!((state.begun_ms, state.timed_ms, state.failure), (Some(100), Some(400), None));
    assert_eq!((state.phase, state.leftovers.len(), state.ended_ms), (Phase::Running, 0, None));
}

#[test]
fn an_ended_deadline_keeps_what_is_to_be_kept_and_an_order_does_not() {
    let mut events = journal(true, &["started a"]);
    let unwind =
        |code| Event::UnwindRequested { by: String::new(), fault: Fault::new(code, "y"), successor: None };
    events.push(recorded(2, unwind(JOB_DEADLINE)));
    assert!(fold(&events).unwrap().keeps());
    events.push(recorded(3, unwind("operator")));
    let state = fold(&events).unwrap();
    assert!(!state.keeps());
    assert_eq!(
        state.failure.unwrap().code,
        JOB_DEADLINE,
        "why it failed is worth more than why it was removed"
    );
}

#[test]
fn broken_journals_are_refused() {
    assert!(fold(&[]).is_err());
    assert!(fold(&[recorded(0, event("started", "a"))]).is_err());
    assert!(fold(&[recorded(1, event("created", ""))]).is_err());
    let stepless = Event::Created(JobSpec { steps: vec![], ..spec(false) });
    assert!(fold(&[recorded(0, stepless)]).is_err());
    let mut gap = journal(false, &["started a"]);
    gap[1].seq = 2;
    assert!(fold(&gap).is_err());
}

fn any_event() -> impl Strategy<Value = Event> {
    let step = prop_oneof![4 => Just("a"), 4 => Just("b"), 1 => Just("c")];
    (proptest::sample::select(KINDS.as_slice()), step).prop_map(|(kind, step)| event(kind, step))
}

proptest! {
    /// Any sequence folds or is refused; a refused event changes nothing; what was taken folds to the same state again.
    #[test]
    fn folding_never_panics_and_a_replay_is_the_live_state(
        keep: bool,
        events in proptest::collection::vec((any_event(), any::<u64>()), 0..60),
    ) {
        let mut taken = vec![recorded(0, Event::Created(spec(keep)))];
        let mut state = State::created(&taken[0]).unwrap();
        for (event, at_ms) in events {
            let before = state.clone();
            let recorded = Recorded { seq: state.events, at_ms, event };
            match state.apply(&recorded) {
                Ok(()) => taken.push(recorded),
                Err(_) => prop_assert_eq!(&state, &before),
            }
            // Gone means that nothing of ours is left to undo, and nothing is at work.
            prop_assert!(state.phase != Phase::RolledBack || state.to_undo.is_empty());
            prop_assert!(!state.phase.is_final() || !state.started);
            prop_assert_eq!(state.events, taken.len() as u64);
            let _ = state.outline();
        }
        let text = serde_json::to_string(&taken).unwrap();
        let read: Vec<Recorded> = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(fold(&read).unwrap(), state);
    }

    /// Events as they may come from a damaged or foreign store.
    #[test]
    fn any_journal_at_all_folds_or_is_refused(
        events in proptest::collection::vec((any_event(), any::<u64>(), any::<u64>()), 0..20),
    ) {
        let events: Vec<Recorded> =
            events.into_iter().map(|(event, seq, at_ms)| Recorded { seq: seq % 25, at_ms, event }).collect();
        let _ = fold(&events);
    }
}

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn step(name: &str) -> String {
    name.to_owned()
}

fn created() -> Event {
    let info = |name: &str, waits| StepInfo { name: name.to_owned(), waits };
    Event::Created {
        guest: step("web-01"),
        backend: step("local"),
        spec: json!({}),
        steps: vec![info("a", false), info("b", true)],
        keep_on_failure: false,
    }
}

fn journal(events: &[Event]) -> Vec<Recorded> {
    let record = |(seq, event): (usize, &Event)| Recorded {
        seq: seq as u64,
        at_ms: 100 * seq as u64,
        event: event.clone(),
    };
    events.iter().enumerate().map(record).collect()
}

fn started(name: &str) -> Event {
    Event::StepStarted { step: step(name) }
}

fn succeeded(name: &str) -> Event {
    Event::StepSucceeded { step: step(name), output: json!({ "by": name }) }
}

fn failed(name: &str) -> Event {
    Event::StepFailed { step: step(name), fault: Fault::new("x", "y"), console: vec![] }
}

fn undone(name: &str) -> [Event; 2] {
    [Event::UndoStarted { step: step(name) }, Event::UndoFinished { step: step(name) }]
}

#[test]
fn a_straight_run_ends_done_with_outputs_and_timings() {
    let events = journal(&[created(), started("a"), succeeded("a"), started("b"), succeeded("b")]);
    let phases: Vec<Phase> = (1..=events.len()).map(|n| fold(&events[..n]).unwrap().phase).collect();
    assert_eq!(phases, [Phase::Queued, Phase::Running, Phase::Running, Phase::Waiting, Phase::Done]);
    let state = fold(&events).unwrap();
    assert_eq!(state.outputs["b"], json!({ "by": "b" }));
    assert_eq!(state.timings["b"], Timing { started_ms: 300, ended_ms: Some(400) });
    assert_eq!(state.ended_ms, Some(400));
}

#[test]
fn a_failure_undoes_every_started_step_backwards() {
    let mut events = vec![created(), started("a"), succeeded("a"), started("b"), failed("b")];
    assert_eq!(fold(&journal(&events)).unwrap().phase, Phase::Unwinding);
    events.extend(undone("b"));
    assert_eq!(fold(&journal(&events)).unwrap().to_undo, ["a"]);
    events.extend(undone("a"));
    let state = fold(&journal(&events)).unwrap();
    assert_eq!((state.phase, state.failure.unwrap().code.as_str()), (Phase::RolledBack, "x"));
}

#[test]
fn a_ready_guest_can_be_destroyed_later() {
    let mut events = vec![created(), started("a"), succeeded("a"), started("b"), succeeded("b")];
    events.push(Event::UnwindRequested { reason: "destroyed".into() });
    assert_eq!(fold(&journal(&events)).unwrap().phase, Phase::Unwinding);
    events.extend(undone("b").into_iter().chain(undone("a")));
    assert_eq!(fold(&journal(&events)).unwrap().phase, Phase::RolledBack);
}

#[test]
fn what_cannot_follow_is_rejected() {
    let cases: &[(&str, &[Event])] = &[
        ("no creation", &[started("a")]),
        ("twice created", &[created(), created()]),
        ("wrong order", &[created(), started("b")]),
        ("success unstarted", &[created(), succeeded("a")]),
        ("started twice", &[created(), started("a"), started("a")]),
        ("undo while running", &[created(), started("a"), Event::UndoStarted { step: step("a") }]),
        (
            "undo of the wrong step",
            &[created(), started("a"), failed("a"), Event::UndoFinished { step: step("b") }],
        ),
        ("work while unwinding", &[created(), started("a"), failed("a"), started("a")]),
    ];
    for (name, events) in cases {
        assert!(fold(&journal(events)).is_err(), "{name}");
    }
    let mut gap = journal(&[created(), started("a")]);
    gap[1].seq = 2;
    assert!(fold(&gap).is_err());
    assert!(fold(&[]).is_err());
}

fn any_event() -> impl Strategy<Value = Event> {
    let name = prop_oneof![Just("a"), Just("b"), Just("c")];
    (0..9u8, name).prop_map(|(kind, name)| match kind {
        0 => created(),
        1 => started(name),
        2 => succeeded(name),
        3 => failed(name),
        4 => Event::StepProgress { step: step(name), task: step("task") },
        5 => Event::UndoStarted { step: step(name) },
        6 => Event::UndoFinished { step: step(name) },
        7 => Event::UnwindRequested { reason: step("asked") },
        _ => Event::NeedsOperator { fault: Fault::new("x", "y"), leftovers: vec![] },
    })
}

proptest! {
    /// Any sequence folds or is rejected, and what was folded before an illegal event is unchanged by it.
    #[test]
    fn folding_never_panics_and_illegal_events_change_nothing(events in proptest::collection::vec(any_event(), 0..20)) {
        let mut state = State::created(&journal(&[created()])[0]).unwrap();
        for event in events {
            let before = state.clone();
            let recorded = Recorded { seq: state.events, at_ms: 1, event };
            match state.apply(&recorded) {
                Ok(()) => prop_assert_eq!(state.events, before.events + 1),
                Err(_) => prop_assert_eq!(&state, &before),
            }
            // Final and gone means that nothing of ours is left to undo.
            prop_assert!(state.phase != Phase::RolledBack || state.to_undo.is_empty());
        }
    }
}

//! How jobs end, as others are told: metrics, webhooks, traces. Pure.

use serde::{Deserialize, Serialize};

use super::event::Recorded;
use super::fold::{Phase, State};

/// An end; a job may have several, one after the other: its guest is ready, and destroyed later.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// The guest is ready.
    Ready,
    /// The guest did not become ready, and what was made is undone.
    Failed,
    /// The guest was ready, and is gone.
    Destroyed,
    /// The job stands until somebody acts.
    NeedsOperator,
    /// The guest was left as it is, in the operator's hands.
    Abandoned,
    /// A change of a guest (memory, a snapshot) is done.
    Changed,
    /// A change of a guest failed; the guest is as it was.
    ChangeFailed,
}

impl Ending {
    pub const ALL: [Self; 7] = [
        Self::Ready,
        Self::Failed,
        Self::Destroyed,
        Self::NeedsOperator,
        Self::Abandoned,
        Self::Changed,
        Self::ChangeFailed,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Failed => "failed",
            Self::Destroyed => "destroyed",
            Self::NeedsOperator => "needs-operator",
            Self::Abandoned => "abandoned",
            Self::Changed => "changed",
            Self::ChangeFailed => "change-failed",
        }
    }

    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|ending| ending.as_str() == name)
    }
}

/// A job on its way from phase to phase.
#[derive(Debug, Clone, Copy)]
pub struct Course {
    phase: Phase,
    /// It changes a guest that is there.
    changes: bool,
    was_ready: bool,
}

impl Course {
    pub fn new(changes: bool) -> Self {
        Self { phase: Phase::Queued, changes, was_ready: false }
    }

    /// The job is in this phase now: the end that this is, if it is one.
    pub fn moved(&mut self, to: Phase) -> Option<Ending> {
        if self.phase == to {
            return None;
        }
        self.phase = to;
        let was_ready = self.was_ready;
        self.was_ready |= to == Phase::Done;
        match (to, self.changes) {
            (Phase::Done, false) => (!was_ready).then_some(Ending::Ready),
            (Phase::Done, true) => Some(Ending::Changed),
            (Phase::RolledBack, true) => Some(Ending::ChangeFailed),
            (Phase::RolledBack, false) => Some(if was_ready { Ending::Destroyed } else { Ending::Failed }),
            (Phase::NeedsOperator, _) => Some(Ending::NeedsOperator),
            (Phase::Abandoned, _) => Some(Ending::Abandoned),
            (Phase::Queued | Phase::Running | Phase::Waiting | Phase::Unwinding, _) => None,
        }
    }
}

/// The course of a journal, and what the event of this number ended, with the state after it. None: the journal is not so
/// long, or cannot be read.
pub fn ending_at(events: &[Recorded], seq: u64) -> Option<(State, Option<Ending>)> {
    let (first, rest) = events.split_first()?;
    let mut state = State::created(first).ok()?;
    let mut course = Course::new(state.spec.change_of.is_some());
    let mut ending = course.moved(state.phase);
    for recorded in rest.iter().take_while(|recorded| recorded.seq <= seq) {
        state.apply(recorded).ok()?;
        ending = course.moved(state.phase);
    }
    (state.events > seq).then_some((state, ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_a_new_phase_and_says_what_was_before() {
        use Phase::*;
        type Case<'a> = (bool, &'a [Phase], &'a [Option<Ending>]);
        let table: [Case<'_>; 6] = [
            (false, &[Running, Waiting, Done, Done], &[None, None, Some(Ending::Ready), None]),
            (false, &[Running, Unwinding, RolledBack], &[None, None, Some(Ending::Failed)]),
            (false, &[Done, Unwinding, RolledBack], &[Some(Ending::Ready), None, Some(Ending::Destroyed)]),
            (
                false,
                &[NeedsOperator, Running, Done],
                &[Some(Ending::NeedsOperator), None, Some(Ending::Ready)],
            ),
            (true, &[Running, Done], &[None, Some(Ending::Changed)]),
            (
                true,
                &[Running, RolledBack, Abandoned],
                &[None, Some(Ending::ChangeFailed), Some(Ending::Abandoned)],
            ),
        ];
        for (changes, phases, wanted) in table {
            let mut course = Course::new(changes);
            let found: Vec<_> = phases.iter().map(|phase| course.moved(*phase)).collect();
            assert_eq!(found, wanted, "{phases:?}");
        }
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for ending in Ending::ALL {
            assert_eq!(Ending::of_name(ending.as_str()), Some(ending));
            assert_eq!(serde_json::to_value(ending).unwrap(), ending.as_str());
        }
        assert_eq!(Ending::of_name("READY"), None);
    }
}

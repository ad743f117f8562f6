//! Which of a job's phases are ends that others are told of. Pure.

use super::event::Recorded;
use super::fold::State;
use super::phase::Phase;
use crate::ending::Ending;

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
}

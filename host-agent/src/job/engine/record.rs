//! Makes events durable, then true.

use firstlight_shared::error::Chain;
use tokio::time::{Instant, sleep_until};

use super::{Ended, Engine};
use crate::job::deadline::{self, RETRY};
use crate::job::event::{Event, Recorded};
use crate::job::fold::State;
use crate::job::journal::JournalError;
use crate::job::phase::Phase;

impl Engine {
    /// Returns when the event is durable. A store that refuses is asked again while the lease holds; nothing else is
    /// done meanwhile.
    pub(super) async fn record(&mut self, event: Event) -> Result<(), Ended> {
        let before = self.cell.state();
        let recorded = Recorded { seq: before.events, at_ms: (self.hands.clock)(), event };
        let mut next = State::clone(&before);
        next.apply(&recorded).map_err(Ended::Illegal)?;
        self.append(&recorded, &next).await?;
        self.tell(&recorded.event, &next);
        self.count_deadlines(&recorded.event, &next);
        if before.works() && !next.works() {
            self.hands.place_free.notify_one();
        }
        self.cell.set_state(next);
        Ok(())
    }

    async fn append(&self, recorded: &Recorded, next: &State) -> Result<(), Ended> {
        let outline = next.outline();
        for attempt in 1.. {
            let error = match self.hands.store.append(&self.cell.lease, recorded, &outline).await {
                Ok(()) => return Ok(()),
                Err(JournalError::Fenced { .. }) => return Err(Ended::Fenced),
                Err(error) => error,
            };
            if attempt == 1 {
                tracing::warn!(job = self.cell.job(), error = %Chain(&error), "the journal refuses; the job rests until it takes what happened");
            }
            let again = Instant::now() + RETRY.delay(attempt, self.spread(attempt));
            sleep_until(again.min(self.cell.until())).await;
            self.check_lease()?;
            if self.is_written(recorded).await? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The store may have taken an event whose confirmation was lost.
    async fn is_written(&self, recorded: &Recorded) -> Result<bool, Ended> {
        let Ok(events) = self.hands.store.events(self.cell.job()).await else { return Ok(false) };
        match events.iter().find(|written| written.seq == recorded.seq) {
            Some(written) if written == recorded => Ok(true),
            Some(_) => Err(Ended::Fenced),
            None => Ok(false),
        }
    }

    fn count_deadlines(&mut self, event: &Event, next: &State) {
        match event {
            Event::StepStarted { .. } => {
                self.step_ends = deadline::fresh(next.current_step().and_then(|step| step.deadline_ms));
                self.job_ends = self.job_ends.or_else(|| deadline::fresh(next.spec.deadline_ms));
            }
            Event::RetryRequested { .. } => self.job_ends = deadline::fresh(next.spec.deadline_ms),
            _ => {}
        }
    }

    fn tell(&self, event: &Event, next: &State) {
        let (job, guest) = (self.cell.job(), next.spec.guest.as_str());
        tracing::debug!(job, ?event, "journaled");
        match (event, next.phase) {
            (Event::NeedsOperator { fault, .. }, _) => {
                tracing::error!(job, guest, error = %fault, failure = ?next.failure, "an operator is needed");
            }
            (Event::StepUncertain { step, fault }, _) => {
                tracing::warn!(job, guest, step, error = %fault, "nobody knows whether it was done; looking again");
            }
            (Event::UndoFailed { step, fault }, _) => {
                tracing::warn!(job, guest, step, attempt = next.undo_failures, error = %fault, "undo failed");
            }
            (Event::TakenOver { companion, fence }, _) => {
                tracing::info!(job, guest, companion, fence, "taken over");
            }
            (Event::StepSucceeded { .. }, Phase::Done) => tracing::info!(job, guest, "done"),
            (Event::UndoFinished { .. } | Event::UnwindRequested { .. }, Phase::RolledBack) => {
                tracing::info!(job, guest, "rolled back");
            }
            _ => {}
        }
    }
}

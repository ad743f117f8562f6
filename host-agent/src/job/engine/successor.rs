//! After a roll-back: the job that begins anew, made under the id that was journaled with the request.

use super::attend::Leave;
use super::{Ended, Engine};
use crate::job::deadline::UNDO_ATTEMPTS;
use crate::job::event::{Event, JobSpec, Recorded};
use crate::job::journal::{JournalError, NewJob};
use crate::outcome::Fault;

impl Engine {
    /// Repeatable: a job that was made before a crash counts as made.
    pub(super) async fn begin_anew(&mut self) -> Result<(), Ended> {
        let Some(successor) = self.cell.state().successor.clone() else { return Ok(()) };
        for attempt in 1.. {
            let fault = match self.make(&successor).await {
                Ok(()) => return self.settled(&successor, None).await,
                Err(Unmade::Refused(fault)) => return self.settled(&successor, Some(fault)).await,
                Err(Unmade::NotNow(fault)) if attempt >= UNDO_ATTEMPTS => {
                    return self.settled(&successor, Some(fault)).await;
                }
                Err(Unmade::NotNow(fault)) => fault,
                Err(Unmade::Store(fault)) => fault,
            };
            tracing::warn!(job = self.cell.job(), successor, attempt, error = %fault, "the job that begins anew is not made yet");
            if !self.pause(attempt, None, Leave::Drain).await {
                return Ok(());
            }
            self.check_lease()?;
        }
        Ok(())
    }

    async fn settled(&mut self, successor: &str, fault: Option<Fault>) -> Result<(), Ended> {
        match &fault {
            None => tracing::info!(job = self.cell.job(), successor, "begins anew"),
            Some(fault) => {
                tracing::error!(job = self.cell.job(), successor, error = %fault, "the job cannot begin anew");
            }
        }
        self.record(Event::SuccessorSettled { fault }).await
    }

    async fn make(&self, successor: &str) -> Result<(), Unmade> {
        let store = &self.hands.store;
        let there = store.events(successor).await.map_err(Unmade::store)?;
        if !there.is_empty() {
            return Ok(());
        }
        let state = self.cell.state();
        let made = self.hands.sagas.successor(self.cell.job(), &state).await;
        let spec = JobSpec { retry_of: Some(self.cell.job().to_owned()), ..made.map_err(Unmade::NotNow)? };
        let created = Recorded { seq: 0, at_ms: (self.hands.clock)(), event: Event::Created(spec) };
        store.create(&[NewJob { id: successor.to_owned(), created }]).await.map_err(|error| match error {
            JournalError::NameTaken { .. } => Unmade::Refused(Fault::new("guest-exists", error.to_string())),
            error => Unmade::store(error),
        })
    }
}

enum Unmade {
    Refused(Fault),
    NotNow(Fault),
    /// Asked again for as long as it takes.
    Store(Fault),
}

impl Unmade {
    fn store(error: JournalError) -> Self {
        Self::Store(Fault::new("store", firstlight_shared::error::Chain(&error).to_string()))
    }
}

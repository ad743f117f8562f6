//! After the end: a request that was carried out late may have left something with the job's stamp.

use std::sync::Arc;

use tokio::time::timeout;

use super::attend::Leave;
use super::{Ended, Engine, find};
use crate::job::deadline::{UNDO_ATTEMPTS, UNKNOWN_DEADLINE};
use crate::job::event::Event;
use crate::job::step::Step;
use crate::outcome::{Probe, Undo};

impl Engine {
    /// Undoes again every step that was ever started, last first. What stays is found again by the next sweep.
    pub(super) async fn sweep(&mut self) -> Result<(), Ended> {
        let saga = Arc::clone(&self.saga);
        let state = self.cell.state();
        let started = state.spec.steps.iter().rev().filter(|step| state.timings.contains_key(&step.name));
        let mut what = Vec::new();
        for step in started.filter_map(|info| find(&*saga, &info.name)) {
            let context = self.context(&state);
            let found = match step.probe(&context).await {
                Ok(Probe::Present(_)) => true,
                Ok(Probe::InFlight(task)) => {
                    let _ = timeout(UNKNOWN_DEADLINE, step.follow(&context, &task)).await;
                    true
                }
                Ok(Probe::Absent | Probe::Foreign(_)) | Err(_) => false,
            };
            let undone = self.ensure_absent(step).await?;
            // What an undo leaves as it is (a report that was taken) had not come late.
            if undone && found && matches!(step.probe(&context).await, Ok(Probe::Absent)) {
                what.push(step.name().to_owned());
            }
        }
        drop(state);
        if what.is_empty() { Ok(()) } else { self.record(Event::Swept { what }).await }
    }

    /// False: it could not be undone now.
    async fn ensure_absent(&self, step: &dyn Step) -> Result<bool, Ended> {
        let state = self.cell.state();
        let context = self.context(&state);
        for attempt in 1..=UNDO_ATTEMPTS {
            self.check_lease()?;
            match step.undo(&context).await {
                Undo::Absent => return Ok(true),
                Undo::Started(task) => {
                    let _ = timeout(UNKNOWN_DEADLINE, step.follow_undo(&context, &task)).await;
                }
                Undo::Failed(fault) => {
                    tracing::warn!(job = self.cell.job(), step = step.name(), attempt, error = %fault, "what came late could not be removed");
                }
            }
            if !self.pause(attempt, None, Leave::Drain).await {
                break;
            }
        }
        Ok(false)
    }
}

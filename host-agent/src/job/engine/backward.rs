//! Backward: ensures, step by step, that nothing of what was begun is there any more.

use std::sync::Arc;

use tokio::time::{Instant, timeout, timeout_at};

use super::attend::Leave;
use super::{Ended, Engine, find};
use crate::job::deadline::{UNDO_ATTEMPTS, UNKNOWN_DEADLINE};
use crate::job::event::Event;
use crate::job::step::Step;
use crate::outcome::{Fault, Followed, Probe, Undo};

impl Engine {
    /// Undoes the step that was started last, or gives up on it.
    pub(super) async fn backward(&mut self) -> Result<(), Ended> {
        let saga = Arc::clone(&self.saga);
        let state = self.cell.state();
        if state.undo_failures >= UNDO_ATTEMPTS {
            let fault = state.undo_failure.clone();
            return self.stuck(fault.unwrap_or_else(|| Fault::new("undo", "it cannot be undone"))).await;
        }
        let Some(step) = state.to_undo.last().and_then(|name| find(&*saga, name)) else {
            return self.unknown_step().await;
        };
        let (name, started) = (step.name().to_owned(), state.undo_started);
        drop(state);
        if !started {
            self.record(Event::UndoStarted { step: name.clone() }).await?;
        }
        loop {
            let followed = self.cell.state().undo_task.is_some();
            let Some(undone) = self.undo_once(step).await? else { return Ok(()) };
            let failure = match &undone {
                Undo::Absent => return self.record(Event::UndoFinished { step: name }).await,
                Undo::Failed(fault) => Some(fault.clone()),
                // A task that was to remove it has ended, and it is still there.
                Undo::Started(_) if followed => Some(Fault::new("undo-task", "its task did not remove it")),
                Undo::Started(_) => None,
            };
            let failed = failure.is_some();
            if let Some(fault) = failure {
                self.record(Event::UndoFailed { step: name.clone(), fault }).await?;
            }
            if let Undo::Started(task) = undone {
                self.record(Event::UndoProgress { step: name.clone(), task }).await?;
            }
            let failures = self.cell.state().undo_failures;
            // Given up, or drained: the job goes on from what is journaled.
            if failures >= UNDO_ATTEMPTS || (failed && !self.pause(failures, None, Leave::Drain).await) {
                return Ok(());
            }
        }
    }

    /// One attempt, after whatever tasks of the step are in the way. None: the job is to be left.
    async fn undo_once(&mut self, step: &dyn Step) -> Result<Option<Undo>, Ended> {
        match self.settle_task(step).await? {
            Some(Ok(())) => {}
            Some(Err(fault)) => return Ok(Some(Undo::Failed(fault))),
            None => return Ok(None),
        }
        let state = self.cell.state();
        let context = self.context(&state);
        if let Some(task) = &state.undo_task
            && timeout(UNKNOWN_DEADLINE, step.follow_undo(&context, task)).await.is_err()
        {
            return Ok(Some(Undo::Failed(in_flight(task))));
        }
        self.check_lease()?;
        Ok(Some(step.undo(&context).await))
    }

    /// Waits for the end of the step's own task: what it makes must be there before it can be removed for good. None:
    /// the job is to be left.
    async fn settle_task(&mut self, step: &dyn Step) -> Result<Option<Result<(), Fault>>, Ended> {
        let ends = Instant::now() + UNKNOWN_DEADLINE;
        let Some(mut task) = self.task_in_the_way(step).await? else { return Ok(Some(Ok(()))) };
        for attempt in 1.. {
            let state = self.cell.state();
            let context = self.context(&state);
            match timeout_at(ends, step.follow(&context, &task)).await {
                Ok(Followed::Done(_) | Followed::Failed(_)) => break,
                Ok(Followed::Unknown(_)) => {}
                Err(_) => return Ok(Some(Err(in_flight(&task)))),
            }
            let probed = step.probe(&context).await;
            drop(state);
            match probed {
                Ok(Probe::InFlight(found)) => task = self.journal_task(step, found).await?,
                Ok(_) => break,
                Err(fault) => return Ok(Some(Err(fault))),
            }
            if Instant::now() >= ends {
                return Ok(Some(Err(in_flight(&task))));
            }
            if !self.pause(attempt, Some(ends), Leave::Drain).await {
                return Ok(None);
            }
        }
        Ok(Some(Ok(())))
    }

    /// The journaled task of a step whose end was not; where none is journaled, perhaps one that can be seen.
    async fn task_in_the_way(&mut self, step: &dyn Step) -> Result<Option<String>, Ended> {
        let state = self.cell.state();
        if let Some(task) = state.tasks.get(step.name()) {
            return Ok(Some(task.clone()));
        }
        let ended = state.timings.get(step.name()).is_some_and(|timing| timing.ended_ms.is_some());
        if ended {
            return Ok(None);
        }
        let probed = timeout(UNKNOWN_DEADLINE, step.probe(&self.context(&state))).await;
        drop(state);
        match probed {
            Ok(Ok(Probe::InFlight(task))) => Ok(Some(self.journal_task(step, task).await?)),
            // What cannot be seen may still be undone.
            _ => Ok(None),
        }
    }

    async fn journal_task(&mut self, step: &dyn Step, task: String) -> Result<String, Ended> {
        if self.cell.state().tasks.get(step.name()) != Some(&task) {
            self.record(Event::StepProgress { step: step.name().to_owned(), task: task.clone() }).await?;
        }
        Ok(task)
    }
}

fn in_flight(task: &str) -> Fault {
    Fault::new("in-flight", format!("task {task} has not ended"))
}

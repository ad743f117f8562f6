//! What people ask of a job: answered in the journal first, then settled in the store.

use firstlight_shared::error::Chain;

use super::{Ended, Engine};
use crate::job::event::Event;
use crate::job::fold::State;
use crate::job::journal::{JournalError, Request, RequestKind};
use crate::job::life::Attend;
use crate::job::phase::Phase;
use crate::outcome::Fault;

/// What a request means for a job as it is. Pure.
#[derive(Debug, PartialEq)]
enum Answer {
    Record(Box<Event>),
    Sweep,
    /// It is so already; a companion died between journal and request, or somebody asked twice.
    Moot,
    Impossible(&'static str),
}

fn answer(request: &Request, state: &State, now_ms: u64) -> Answer {
    let by = request.by.clone();
    let unwind = |successor: Option<String>| {
        let reason = if request.reason.is_empty() { "asked for by an operator" } else { &request.reason };
        Event::UnwindRequested { by: by.clone(), fault: Fault::new("operator", reason), successor }
    };
    let event = match &request.kind {
        RequestKind::Unwind => unwind(None),
        RequestKind::Anew { successor } if state.successor.as_ref() == Some(successor) => {
            return Answer::Moot;
        }
        RequestKind::Anew { successor } => unwind(Some(successor.clone())),
        RequestKind::Retry if matches!(state.phase, Phase::Running | Phase::Waiting) => return Answer::Moot,
        RequestKind::Retry => Event::RetryRequested { by },
        RequestKind::Abandon if state.phase == Phase::Abandoned => return Answer::Moot,
        RequestKind::Abandon => Event::Abandoned { by, reason: request.reason.clone() },
        RequestKind::Sweep if state.phase == Phase::RolledBack => return Answer::Sweep,
        RequestKind::Sweep => return Answer::Impossible("the job is not rolled back"),
        RequestKind::Keep { until_ms, promote } => {
            let (until_ms, promoted) = (*until_ms, *promote);
            if state.is_kept_so(until_ms, promoted) {
                return Answer::Moot;
            }
            Event::Kept { by, until_ms, promoted }
        }
        // Whoever asked may have looked before somebody kept the guest.
        RequestKind::Attend => match state.attend(now_ms) {
            Attend::Nothing => return Answer::Moot,
            Attend::Tell { due_ms } => Event::DueSoon { due_ms },
            Attend::End { .. } => {
                let fault =
                    Fault::new("due", "its time was over (`destroy_after`, or the end that `keep` set)");
                Event::UnwindRequested { by, fault, successor: None }
            }
        },
        RequestKind::Stopped if state.is_ephemeral() => {
            let fault = Fault::new("guest-stopped", "an ephemeral guest stopped: it is gone");
            Event::UnwindRequested { by, fault, successor: None }
        }
        RequestKind::Stopped => return Answer::Moot,
    };
    match state.misfit(&event) {
        None => Answer::Record(Box::new(event)),
        Some(_) if matches!(state.phase, Phase::Unwinding | Phase::RolledBack) => Answer::Moot,
        Some(what) => Answer::Impossible(what),
    }
}

impl Engine {
    /// Answers the open request, unless a step is at work whose outcome must be known first.
    pub(super) async fn answer_requests(&mut self) -> Result<(), Ended> {
        while !self.cell.state().is_committed()
            && let Some(request) = self.request().await
        {
            let answer = answer(&request, &self.cell.state(), (self.hands.clock)());
            let has_place = std::mem::take(&mut self.has_place);
            match answer {
                // It is claimed again when there is a place for it.
                Answer::Record(event) if matches!(*event, Event::RetryRequested { .. }) && !has_place => {
                    return Err(Ended::Drained);
                }
                Answer::Record(event) => self.record(*event).await?,
                Answer::Sweep => self.sweep().await?,
                Answer::Moot => {}
                Answer::Impossible(why) => {
                    tracing::warn!(job = self.cell.job(), ?request, why, "a request cannot be met");
                }
            }
            if !self.settle_request(&request).await? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The open request; a store that does not answer has none for now, and is asked again by whatever step waits.
    async fn request(&self) -> Option<Request> {
        self.look_for_request().await.unwrap_or_else(|error| {
            tracing::warn!(job = self.cell.job(), error = %Chain(&error), "the store does not tell what was asked");
            self.cell.asked.notify_one();
            None
        })
    }

    pub(super) async fn look_for_request(&self) -> Result<Option<Request>, JournalError> {
        self.hands.store.request(self.cell.job()).await
    }

    /// False: the store did not take it. The answer is in the journal, so it will be moot the next time.
    async fn settle_request(&self, request: &Request) -> Result<bool, Ended> {
        match self.hands.store.settle_request(&self.cell.lease, request).await {
            Ok(()) => Ok(true),
            Err(JournalError::Fenced { .. }) => Err(Ended::Fenced),
            Err(error) => {
                tracing::warn!(job = self.cell.job(), error = %Chain(&error), "an answered request stays open for now");
                Ok(false)
            }
        }
    }
}

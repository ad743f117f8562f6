//! The contract of a step, and of the line of steps that makes a job.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::fold::State;
use crate::outcome::{Act, Fault, Followed, Probe, Undo};

/// What a step may look at: the job's id and everything folded so far.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    pub job: &'a str,
    pub state: &'a State,
}

/// One step of a job. Every method may be called again after a crash at any point, and by another companion.
#[async_trait]
pub trait Step: Send + Sync {
    fn name(&self) -> &'static str;

    /// The step waits for somebody else and may be interrupted by a cancellation.
    fn waits(&self) -> bool {
        false
    }

    /// How long the step may take; journaled with the job.
    fn deadline(&self) -> Option<Duration> {
        None
    }

    /// Looks, and changes nothing.
    async fn probe(&self, context: &Context<'_>) -> Result<Probe, Fault>;

    async fn act(&self, context: &Context<'_>) -> Act;

    /// Waits for the end of a task that `act` or `probe` named. Never repeats the request.
    async fn follow(&self, _context: &Context<'_>, task: &str) -> Followed {
        Followed::Unknown(Fault::new(
            "no-tasks",
            format!("this step knows no remote tasks, not `{task}` either"),
        ))
    }

    /// Ensures that what this step makes is absent; only what carries the job's stamp.
    async fn undo(&self, context: &Context<'_>) -> Undo;

    /// Waits for the end of a task that `undo` named; how it ended shows the next `undo`.
    async fn follow_undo(&self, _context: &Context<'_>, _task: &str) {}

    /// The guest's last words, for a failure's record.
    async fn evidence(&self, _context: &Context<'_>) -> Vec<String> {
        Vec::new()
    }
}

/// A line of steps, and what to tell people if it can neither go on nor back.
#[async_trait]
pub trait Saga: Send + Sync {
    fn steps(&self) -> &[Box<dyn Step>];

    /// Commands that show and remove what may be left.
    async fn leftovers(&self, context: &Context<'_>) -> Vec<String>;
}

/// Builds a job's steps again from its journal.
#[async_trait]
pub trait Sagas: Send + Sync {
    async fn saga(&self, job: &str, state: &State) -> Result<Arc<dyn Saga>, Fault>;

    /// The job that begins anew once `state` (of `job`, rolled back) is gone: its first event.
    async fn successor(&self, job: &str, state: &State) -> Result<super::event::JobSpec, Fault>;

    /// The engine stopped driving this job (it ended, or another companion has it).
    async fn left(&self, _job: &str, _state: &State) {}
}

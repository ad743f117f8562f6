//! The contract of a step, and of the line of steps that makes a job.

use async_trait::async_trait;

use super::fold::State;
use crate::outcome::{Act, Fault, Probe};

/// What a step may look at: the job's id and everything folded so far.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    pub job: &'a str,
    pub state: &'a State,
}

/// One step of a job. Every method may be called again after a crash at any point.
#[async_trait]
pub trait Step: Send + Sync {
    fn name(&self) -> &'static str;

    /// The step waits for somebody else and may be interrupted by a cancellation.
    fn waits(&self) -> bool {
        false
    }

    /// Looks, and changes nothing.
    async fn probe(&self, context: &Context<'_>) -> Result<Probe, Fault>;

    async fn act(&self, context: &Context<'_>) -> Act;

    /// Ensures that what this step makes is absent; only what carries the job's stamp.
    async fn undo(&self, context: &Context<'_>) -> Result<(), Fault>;

    /// The guest's last words, for a failure's record.
    async fn evidence(&self, _context: &Context<'_>) -> Vec<String> {
        Vec::new()
    }
}

/// A line of steps, and what to tell people if it can neither go on nor back.
pub trait Saga: Send + Sync {
    fn steps(&self) -> &[Box<dyn Step>];

    /// Commands that show and remove what may be left.
    fn leftovers(&self, context: &Context<'_>) -> Vec<String>;
}

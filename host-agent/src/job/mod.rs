//! The durable job engine: a line of steps, journaled before they act. It knows no hypervisor, no HTTP and no SQL.
//!
//! ```text
//!            +--------- act ---------+
//! Queued -> Running(step) <-> Waiting(report) -> Done --destroy--+
//!              |  refused, cancelled     ^                       |
//!              |                         | retry                 |
//!              +--- unknown, kept --> NeedsOperator -- abandon --|--> Abandoned
//!              |                         ^    | destroy          |
//!              |              undo fails |    v                  |
//!              +------------------------> Unwinding <------------+
//!                                             |
//!                                         RolledBack
//! ```
//!
//! Everything known about a job is [`fold()`]ed from its events: by the engine, by recovery, by the CLI alike. A job is
//! driven by whoever holds its [`Lease`]; requests of people go through the store, so that any companion can take them.

mod cell;
mod course;
mod deadline;
mod engine;
mod event;
mod fold;
mod journal;
mod life;
mod phase;
mod queue;
mod runner;
mod step;

pub use course::{Course, ending_at};
pub use deadline::{UNDO_ATTEMPTS, UNKNOWN_DEADLINE, WallClock};
pub use event::{Event, JobSpec, Recorded, StepInfo};
pub use fold::{IllegalEvent, JOB_DEADLINE, Outline, State, Timing, fold};
pub use journal::{
    Asked, Change, Claimant, Claimed, JobStore, JournalError, Lease, NewJob, Request, RequestKind,
};
pub use life::{Attend, Life};
pub use phase::Phase;
pub use queue::{Limits, Taken, Waiting, choose};
pub use runner::{Runner, RunnerConfig};
pub use step::{Context, Saga, Sagas, Step};

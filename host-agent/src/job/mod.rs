//! The durable job engine: a line of steps, journaled before they act. It knows no hypervisor and no HTTP.
//!
//! ```text
//!            +--------- act ---------+
//! Queued -> Running(step) <-> Waiting(report) -> Done --destroy--+
//!              |  refused, cancelled                             |
//!              +------------------> Unwinding <------------------+
//!                                     |      \ undo fails
//!                                 RolledBack  NeedsOperator
//! ```
//!
//! Everything known about a job is [`fold()`]ed from its events: by the engine, by recovery, by the CLI alike.

mod engine;
mod event;
mod fold;
mod registry;
mod step;

pub use engine::{Cancel, Engine, Journal, JournalError};
pub use event::{Event, Recorded, StepInfo};
pub use fold::{IllegalEvent, Phase, State, Timing, fold};
pub use registry::Registry;
pub use step::{Context, Saga, Step};

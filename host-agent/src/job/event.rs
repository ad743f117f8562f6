//! What a journal holds: one row per event, never changed, never deleted while the job is kept.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::outcome::Fault;

/// A step as the journal names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepInfo {
    pub name: String,
    /// The step waits for the guest; shown as Waiting.
    pub waits: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Event {
    Created {
        guest: String,
        backend: String,
        /// What was asked for, resolved; enough to build the same steps again.
        spec: Value,
        steps: Vec<StepInfo>,
        /// On failure the guest stays for the operator to look at.
        keep_on_failure: bool,
    },
    /// Written before anything is probed or done.
    StepStarted {
        step: String,
    },
    /// A remote task id, written before the task is polled.
    StepProgress {
        step: String,
        task: String,
    },
    StepSucceeded {
        step: String,
        output: Value,
    },
    /// Surely not done. `console` holds the guest's last lines where that helps.
    StepFailed {
        step: String,
        fault: Fault,
        #[serde(default)]
        console: Vec<String>,
    },
    /// Nobody knows whether it was done; it will be probed again.
    StepUncertain {
        step: String,
        fault: Fault,
    },
    /// The operator cancelled the job or destroys its guest.
    UnwindRequested {
        reason: String,
    },
    UndoStarted {
        step: String,
    },
    UndoFinished {
        step: String,
    },
    /// The engine gave up; `leftovers` are commands for people.
    NeedsOperator {
        fault: Fault,
        leftovers: Vec<String>,
    },
}

/// An event with its place in the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recorded {
    /// From 0, without gaps.
    pub seq: u64,
    /// Milliseconds since the Unix epoch.
    pub at_ms: u64,
    pub event: Event,
}

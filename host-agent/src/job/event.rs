//! What a journal holds: one row per event, never changed, never deleted while the job is kept.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::outcome::Fault;

/// A step as the journal names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct StepInfo {
    pub name: String,
    /// The step waits for the guest; shown as Waiting. From here on the job takes no place of a limit.
    pub waits: bool,
    /// How long the step may take, in milliseconds. None: as long as it is known to be at work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
}

/// What was asked for, resolved; enough to build the same steps again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct JobSpec {
    /// One guest is worked on by one job at a time.
    pub guest: String,
    pub backend: String,
    /// The saga's own; the engine does not look into it.
    pub spec: Value,
    pub steps: Vec<StepInfo>,
    /// On failure the guest stays for the operator to look at.
    pub keep_on_failure: bool,
    /// Jobs submitted together; the queue is fair between batches.
    #[serde(default)]
    pub batch: String,
    /// What the job takes a place of while it works, as `kind:name` (`node:pve1`, `storage:local-lvm`); see `Limits`.
    #[serde(default)]
    pub resources: Vec<String>,
    /// From the first step's start (or the last retry) to the last one's end, in milliseconds. It unwinds the job only
    /// between steps and in a waiting one: never while an outcome is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
    /// The job that this one repeats from the beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_of: Option<String>,
    /// Who asked, for people.
    #[serde(default)]
    pub by: String,
    /// The job whose guest, which is ready, this one changes. It takes no name, and one guest has one such job at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change_of: Option<String>,
    /// How long the guest lives from when it is ready, in milliseconds. None: until somebody destroys it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destroy_after_ms: Option<u64>,
    /// The guest is gone once it stops.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ephemeral: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Event {
    Created(JobSpec),
    /// Another companion than before drives the job; its fencing number.
    TakenOver {
        companion: String,
        fence: u64,
    },
    /// Written before anything is probed or done.
    StepStarted {
        step: String,
    },
    /// A remote task id, written before the task is followed.
    StepProgress {
        step: String,
        task: String,
    },
    StepSucceeded {
        step: String,
        output: Value,
    },
    /// Surely not done, or done in part and to be undone. `console` holds the guest's last lines where that helps.
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
    /// The operator cancelled the job or destroys its guest, or its deadline ended.
    UnwindRequested {
        #[serde(default)]
        by: String,
        /// Code `operator`, `job-deadline` and the like.
        fault: Fault,
        /// Id of the job that shall begin anew when this one is rolled back.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        successor: Option<String>,
    },
    UndoStarted {
        step: String,
    },
    /// A remote task id, written before the task is followed.
    UndoProgress {
        step: String,
        task: String,
    },
    /// This attempt did not succeed; another follows, or an operator is needed.
    UndoFailed {
        step: String,
        fault: Fault,
    },
    UndoFinished {
        step: String,
    },
    /// The engine gave up; `leftovers` are commands for people.
    NeedsOperator {
        fault: Fault,
        leftovers: Vec<String>,
    },
    /// The operator wants the failed step to be tried again.
    RetryRequested {
        by: String,
    },
    /// The operator takes care of what is left; the guest's name is free.
    Abandoned {
        by: String,
        reason: String,
    },
    /// The job that begins anew exists; or it cannot be made, and why.
    SuccessorSettled {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fault: Option<Fault>,
    },
    /// The operator's word on how long the guest lives; the last one counts. `until_ms`: since the Unix epoch; None: for ever.
    Kept {
        by: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until_ms: Option<u64>,
        /// It is not gone any more when it stops.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        promoted: bool,
    },
    /// The guest's end is near: it is destroyed then, unless somebody keeps it.
    DueSoon {
        due_ms: u64,
    },
    /// After the end: something that carried the job's stamp had come late and was removed.
    Swept {
        what: Vec<String>,
    },
}

/// An event with its place in the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Recorded {
    /// From 0, without gaps.
    pub seq: u64,
    /// Milliseconds since the Unix epoch, by the clock of whoever wrote it.
    pub at_ms: u64,
    pub event: Event,
}

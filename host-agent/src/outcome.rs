//! How an effect on a hypervisor can end. Ambiguity is a type of its own: it never counts as failure.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What is there, seen read-only.
#[derive(Debug, Clone, PartialEq)]
pub enum Probe {
    Absent,
    /// Done already, with the output that [`Act::Applied`] would have given.
    Present(Value),
    /// A remote task with this id is at work on it.
    InFlight(String),
    /// Something of that name is there that is not ours; says whose it seems to be.
    Foreign(String),
}

/// How an action ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Act {
    Applied(Value),
    /// The remote side took the request and works on it under this task id. It is journaled before it is followed.
    Started(String),
    /// Surely nothing happened, or what happened is undone by the step's own undo.
    Refused(Fault),
    /// Nobody knows whether it happened: probe again, never unwind on it.
    Unknown(Fault),
}

/// How an undo ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Undo {
    /// What the step makes is surely not there (any more).
    Absent,
    /// A remote task removes it. It is journaled before it is followed; afterwards the undo is asked again.
    Started(String),
    /// Not now: it is tried again.
    Failed(Fault),
}

impl From<Result<(), Fault>> for Undo {
    fn from(ended: Result<(), Fault>) -> Self {
        match ended {
            Ok(()) => Self::Absent,
            Err(fault) => Self::Failed(fault),
        }
    }
}

/// How a remote task stands, or ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Followed {
    /// It ended well, with the output that [`Act::Applied`] would have given.
    Done(Value),
    /// It ended badly; what it left is undone by the step's own undo.
    Failed(Fault),
    /// The remote side does not know the task, or how it ended: probe.
    Unknown(Fault),
}

/// Why something did not work, in a form that journal, CLI and page can all show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error, utoipa::ToSchema)]
#[error("{message}")]
pub struct Fault {
    /// Stable kebab-case code.
    pub code: String,
    pub message: String,
    /// What the operator can do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Fault {
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into(), hint: None }
    }

    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

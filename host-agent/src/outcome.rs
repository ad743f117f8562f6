//! How an effect on a hypervisor can end. Ambiguity is a type of its own: it never counts as failure.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What is there, seen read-only.
#[derive(Debug, Clone, PartialEq)]
pub enum Probe {
    Absent,
    /// Done already, with the output that [`Act::Applied`] would have given.
    Present(Value),
    /// A task with this id is at work on it.
    InFlight(String),
    /// Something of that name is there that is not ours; says whose it seems to be.
    Foreign(String),
}

/// How an action ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Act {
    Applied(Value),
    /// Surely nothing happened, or what happened is undone by the step's own undo.
    Refused(Fault),
    /// Nobody knows whether it happened: probe again, never unwind on it.
    Unknown(Fault),
}

/// Why something did not work, in a form that journal, CLI and page can all show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
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

//! What sealing would do: a list of changes, what is left and why, and what somebody has to decide first.

use std::borrow::Cow;

use firstlight_shared::items::Reset;
use serde::Serialize;

/// What a change does to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Action {
    /// Nothing was there.
    Create,
    /// A file or link gets another content.
    Rewrite,
    /// The file stays, without a byte.
    Empty,
    Remove,
    /// With all that is in it.
    RemoveTree,
    /// A symlink takes its place.
    Link,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Effect {
    Write { mode: u32, bytes: Cow<'static, [u8]> },
    Link(String),
    Reset(Reset),
}

/// One path that is changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Change {
    /// An item of the identity table, or `program`, `unit`, `enabled`, `preset`, `cloud-init`, `golden-record`.
    pub item: &'static str,
    /// With a leading `/`, as the image itself sees it.
    pub path: String,
    pub action: Action,
    /// False for a dry run, and where it failed or nothing was reached any more.
    pub done: bool,
    #[serde(skip)]
    pub(super) effect: Effect,
}

/// Something that was found and not changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Left {
    pub item: &'static str,
    pub path: String,
    /// What breaks, or why it is none of sealing's business: one line.
    pub why: String,
    /// By `--keep`.
    pub kept: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// In the order in which they are made: what renews a clone first, then the record, then what is taken away.
    pub changes: Vec<Change>,
    pub left: Vec<Left>,
    /// Nothing is changed while there is one of these.
    pub refused: Vec<Left>,
    /// What could not be looked at, one line each.
    pub problems: Vec<String>,
}

impl Plan {
    /// `path` is relative to the root.
    pub(super) fn change(&mut self, item: &'static str, path: &str, action: Action, effect: Effect) {
        self.changes.push(Change { item, path: format!("/{path}"), action, done: false, effect });
    }

    pub(super) fn reset(&mut self, item: &'static str, path: &str, reset: Reset) {
        let action = match reset {
            Reset::Remove => Action::Remove,
            Reset::RemoveTree => Action::RemoveTree,
            Reset::Truncate | Reset::EmptyMachineId => Action::Empty,
            Reset::Link(_) => Action::Link,
            _ => Action::Rewrite,
        };
        self.change(item, path, action, Effect::Reset(reset));
    }

    pub(super) fn leave(&mut self, item: &'static str, path: &str, why: impl Into<String>) {
        self.left.push(Left { item, path: format!("/{path}"), why: why.into(), kept: false });
    }

    pub(super) fn keep(&mut self, item: &'static str, path: &str, why: impl Into<String>) {
        self.left.push(Left { item, path: format!("/{path}"), why: why.into(), kept: true });
    }

    pub(super) fn refuse(&mut self, item: &'static str, path: &str, why: impl Into<String>) {
        self.refused.push(Left { item, path: format!("/{path}"), why: why.into(), kept: false });
    }

    /// Whether a change of this path is planned, or it is left on purpose.
    pub(super) fn knows(&self, path: &str) -> bool {
        let is = |other: &str| other.strip_prefix('/') == Some(path);
        self.changes.iter().any(|change| is(&change.path)) || self.left.iter().any(|left| is(&left.path))
    }
}

//! How jobs end, in the words that configuration, metrics, webhooks and traces share.

use serde::{Deserialize, Serialize};

/// An end; a job may have several, one after the other: its guest is ready, and destroyed later.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// The guest is ready.
    Ready,
    /// The guest did not become ready, and what was made is undone.
    Failed,
    /// The guest was ready, and is gone.
    Destroyed,
    /// The job stands until somebody acts.
    NeedsOperator,
    /// The guest was left as it is, in the operator's hands.
    Abandoned,
    /// A change of a guest (memory, a snapshot) is done.
    Changed,
    /// A change of a guest failed; the guest is as it was.
    ChangeFailed,
}

impl Ending {
    pub const ALL: [Self; 7] = [
        Self::Ready,
        Self::Failed,
        Self::Destroyed,
        Self::NeedsOperator,
        Self::Abandoned,
        Self::Changed,
        Self::ChangeFailed,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Failed => "failed",
            Self::Destroyed => "destroyed",
            Self::NeedsOperator => "needs-operator",
            Self::Abandoned => "abandoned",
            Self::Changed => "changed",
            Self::ChangeFailed => "change-failed",
        }
    }

    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|ending| ending.as_str() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for ending in Ending::ALL {
            assert_eq!(Ending::of_name(ending.as_str()), Some(ending));
            assert_eq!(serde_json::to_value(ending).unwrap(), ending.as_str());
        }
        assert_eq!(Ending::of_name("READY"), None);
    }
}

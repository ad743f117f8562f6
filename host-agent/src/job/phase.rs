//! How far a job is, in one word.

use serde::{Deserialize, Serialize};

/// A job's state as people see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    Queued,
    Running,
    Waiting,
    Unwinding,
    Done,
    RolledBack,
    NeedsOperator,
    Abandoned,
}

impl Phase {
    pub const ALL: [Self; 8] = [
        Self::Queued,
        Self::Running,
        Self::Waiting,
        Self::Unwinding,
        Self::Done,
        Self::RolledBack,
        Self::NeedsOperator,
        Self::Abandoned,
    ];

    /// Nothing more will happen unless somebody asks.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Done | Self::RolledBack | Self::NeedsOperator | Self::Abandoned)
    }

    /// Somebody drives the job.
    pub fn is_at_work(self) -> bool {
        matches!(self, Self::Running | Self::Waiting | Self::Unwinding)
    }

    /// The guest's name is free again.
    pub fn is_gone(self) -> bool {
        matches!(self, Self::RolledBack | Self::Abandoned)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Unwinding => "unwinding",
            Self::Done => "done",
            Self::RolledBack => "rolled-back",
            Self::NeedsOperator => "needs-operator",
            Self::Abandoned => "abandoned",
        }
    }
}

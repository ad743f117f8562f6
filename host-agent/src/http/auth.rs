//! Who asks, and what that one may do.

pub use crate::config::Role;

/// Who sent a request; in the extensions of every request that reaches a route of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// For the log and for the `by` of jobs: `root`, `uid:1000`, `token:ci`, `certificate:anna`.
    pub who: String,
    pub role: Role,
}

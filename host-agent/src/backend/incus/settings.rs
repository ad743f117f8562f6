//! What the backend is told.

use super::client;
use crate::backend::link::Reports;

#[derive(Debug, Clone)]
pub struct IncusConfig {
    /// At least one; the first is the one that specs need not name.
    pub remotes: Vec<client::Settings>,
    pub defaults: Defaults,
    pub reports: Reports,
}

/// What a guest has where its spec says nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defaults {
    /// Of instances made from images. An exported instance keeps its own.
    pub profiles: Vec<String>,
    /// Of the root disk and of volumes. None: the pool of the profiles' root disk.
    pub pool: Option<String>,
    /// Of interfaces that a spec asks for without a bridge. None: as the profiles' first one.
    pub network: Option<String>,
}

impl Default for Defaults {
    fn default() -> Self {
        Self { profiles: vec!["default".to_owned()], pool: None, network: None }
    }
}

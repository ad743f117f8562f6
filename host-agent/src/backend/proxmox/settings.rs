//! What the backend is told.

use std::ops::RangeInclusive;

use super::client::Settings;
use crate::backend::link::Reports;

#[derive(Debug, Clone)]
pub struct ProxmoxConfig {
    pub client: Settings,
    pub defaults: Defaults,
    pub reports: Reports,
}

/// What a guest has where its spec says nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defaults {
    /// None: the archive's node, if its storage is one node's own; otherwise the node with the most free memory.
    pub node: Option<String>,
    /// None: the archive's own storages.
    pub storage: Option<String>,
    pub pool: Option<String>,
    pub bridge: String,
    /// The VMIDs that are ours to choose from.
    pub vmids: RangeInclusive<u32>,
    /// Set on every guest that we make, as far as the token may.
    pub tags: Vec<String>,
    /// Take goldens whose configuration holds lines that work as root on the node (`hookscript`, `args`), or that no
    /// token can restore (raw lines of LXC).
    pub allow_root_lines: bool,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            node: None,
            storage: None,
            pool: None,
            bridge: "vmbr0".to_owned(),
            vmids: 100..=999_999_999,
            tags: vec!["firstlight".to_owned()],
            allow_root_lines: false,
        }
    }
}

//! What the identity phase of this boot came to: /run/firstlight/identity.json, for the report phase and `status`.

use std::collections::BTreeMap;

use firstlight_shared::wire::{Identity, SecretOutcome};
use serde::{Deserialize, Serialize};

use crate::paths;
use crate::sys::{Root, SysError};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub version: u32,
    /// Why sshd must stay down; absent if all is well enough.
    pub failure: Option<Failure>,
    pub identity: Identity,
    /// As they were found when this phase ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretOutcome>,
    pub claim_id: Option<String>,
    /// The host name was set in this run, or should have been: hostnamed is told later.
    #[serde(default)]
    pub hostname_changed: bool,
    /// By policy the machine is to be rebooted now, once; this is journaled.
    #[serde(default)]
    pub reboot: bool,
    pub finished_at_ms: u64,
    pub timings_ms: BTreeMap<String, u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub code: String,
    pub message: String,
}

/// The outcome, if the identity phase of this boot left one that can be read.
pub(crate) fn load(root: &Root) -> Option<Outcome> {
    serde_json::from_slice(&root.read(paths::IDENTITY).ok()??).ok()
}

/// # Errors
/// The file could not be written.
pub(crate) fn save(root: &Root, outcome: &Outcome) -> Result<(), SysError> {
    let text = serde_json::to_vec_pretty(outcome)
        .map_err(|error| SysError::new("write", paths::IDENTITY, std::io::Error::other(error)))?;
    root.replace(paths::IDENTITY, 0o600, &text)
}

//! What outlives a boot: that the host has acknowledged this identity.

use firstlight_shared::error::Chain;
use firstlight_shared::ids::DerivedMachineId;
use firstlight_shared::wire::HostKey;
use serde::{Deserialize, Serialize};

use crate::paths;
use crate::sys::{Machine, Root};

const VERSION: u32 = 1;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Memory {
    version: u32,
    /// Whose report it was; see [`subject_of`].
    pub subject: String,
    /// By the guest's clock; for people.
    pub acknowledged_at_ms: u64,
}

/// What tells this identity from that of a clone: the ed25519 host key, else the machine-id in derived form.
pub(super) fn subject_of(keys: &[HostKey], machine_id: Option<DerivedMachineId>) -> Option<String> {
    let key = keys.iter().find(|key| key.kind == "ssh-ed25519");
    let fingerprint = key.map(|key| key.fingerprint.clone());
    fingerprint.or_else(|| machine_id.map(|id| id.to_string()))
}

/// None if nothing was acknowledged yet.
///
/// # Errors
/// One line: a file that cannot be read counts as none, but is no such thing.
pub(super) fn load(root: &Root) -> Result<Option<Memory>, String> {
    let Some(bytes) = root.read(paths::BEACON).map_err(|error| Chain(&error).to_string())? else {
        return Ok(None);
    };
    match serde_json::from_slice::<Memory>(&bytes) {
        Ok(memory) if memory.version == VERSION => Ok(Some(memory)),
        Ok(memory) => {
            Err(format!("/{} has version {}, only {VERSION} is known", paths::BEACON, memory.version))
        }
        Err(error) => Err(format!("/{} cannot be read: {error}", paths::BEACON)),
    }
}

/// # Errors
/// One line; the beacon then comes again at the next boot.
pub(super) fn remember(machine: &Machine, subject: Option<String>) -> Result<(), String> {
    let Some(subject) = subject else { return Ok(()) };
    let known = load(&machine.root).ok().flatten();
    if known.is_some_and(|memory| memory.subject == subject) {
        return Ok(());
    }
    let memory = Memory { version: VERSION, subject, acknowledged_at_ms: machine.clock().now_ms() };
    let text = serde_json::to_vec_pretty(&memory).map_err(|error| error.to_string())?;
    let written = machine.root.replace(paths::BEACON, 0o600, &text);
    written.map_err(|error| format!("{}: the beacon comes again at the next boot", Chain(&error)))
}

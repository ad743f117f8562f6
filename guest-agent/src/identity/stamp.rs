//! The stamp: what this machine's identity was when it was last proved. Written last, and only what was verified.

use firstlight_shared::error::Chain;
use firstlight_shared::ids::{DerivedMachineId, MacAddress};
use firstlight_shared::wire::Decision;
use serde::{Deserialize, Serialize};

use crate::paths;
use crate::sys::{Root, SysError};

pub(crate) const STAMP_VERSION: u32 = 1;

/// Signs of which machine this is. An absent one is no evidence of anything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Evidence {
    /// Of /etc/machine-id, in derived form.
    pub machine_id: Option<DerivedMachineId>,
    /// Of PID 1's `container_uuid`, in derived form; absent where it is just the machine-id handed back.
    pub container_uuid: Option<DerivedMachineId>,
    /// Of the DMI product uuid, in derived form; only in a VM.
    pub product_uuid: Option<DerivedMachineId>,
    #[serde(default)]
    pub macs: Vec<MacAddress>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamp {
    pub version: u32,
    pub agent: String,
    pub made_at_ms: u64,
    pub decision: Decision,
    pub evidence: Evidence,
    pub claim_id: Option<String>,
    /// Fingerprints of the keys that were verified.
    pub host_keys: Vec<String>,
    /// Key types that the report phase still has to make.
    pub pending: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StampState {
    None,
    Valid(Box<Stamp>),
    /// Torn, foreign, or of another version; with the reason.
    Unknown(String),
}

impl StampState {
    pub(crate) fn valid(&self) -> Option<&Stamp> {
        match self {
            Self::Valid(stamp) => Some(stamp),
            _ => None,
        }
    }
}

pub(crate) fn load(root: &Root) -> StampState {
    match root.read(paths::STAMP) {
        Ok(None) => StampState::None,
        Ok(Some(bytes)) => parse(&bytes),
        Err(error) => StampState::Unknown(Chain(&error).to_string()),
    }
}

pub(crate) fn parse(bytes: &[u8]) -> StampState {
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    match serde_json::from_slice::<Version>(bytes) {
        Ok(Version { version: STAMP_VERSION }) => {}
        Ok(Version { version }) => {
            return StampState::Unknown(format!(
                "the stamp has version {version}, only {STAMP_VERSION} is known"
            ));
        }
        Err(error) => return StampState::Unknown(format!("the stamp cannot be read: {error}")),
    }
    match serde_json::from_slice(bytes) {
        Ok(stamp) => StampState::Valid(Box::new(stamp)),
        Err(error) => StampState::Unknown(format!("the stamp cannot be read: {error}")),
    }
}

/// # Errors
/// The file could not be replaced durably.
pub(crate) fn save(root: &Root, stamp: &Stamp) -> Result<(), SysError> {
    let text = serde_json::to_vec_pretty(stamp)
        .map_err(|error| SysError::new("write", paths::STAMP, std::io::Error::other(error)))?;
    root.replace(paths::STAMP, 0o600, &text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn torn_and_newer_stamps_are_unknown_history() {
        for text in ["", "{", "{\"version\":2}", "{\"version\":1}", "[]", "\0\0\0"] {
            assert!(matches!(parse(text.as_bytes()), StampState::Unknown(_)), "{text}");
        }
    }
}

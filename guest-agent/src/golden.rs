//! What the golden had, as `seal` recorded it: anything of it found in a guest is not the guest's own.

use firstlight_shared::ids::{DerivedMachineId, MacAddress};
use serde::Deserialize;

use crate::paths;
use crate::sys::Root;

/// All lists; a second seal adds to them. Absent fields mean: not recorded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Golden {
    /// Public key fingerprints, `SHA256:...`.
    pub host_keys: Vec<String>,
    /// In derived form; the raw machine-id is nowhere.
    pub machine_ids: Vec<DerivedMachineId>,
    pub hostnames: Vec<String>,
    pub macs: Vec<MacAddress>,
}

/// The record, none if the golden was not sealed by us; a record that cannot be read is a problem, not a record.
pub(crate) fn load(root: &Root, problems: &mut Vec<String>) -> Option<Golden> {
    for path in paths::GOLDEN {
        match root.read(path) {
            Ok(None) => {}
            Ok(Some(bytes)) => match serde_json::from_slice(&bytes) {
                Ok(golden) => return Some(golden),
                Err(error) => problems.push(format!("/{path} cannot be read: {error}")),
            },
            Err(error) => problems.push(firstlight_shared::error::Chain(&error).to_string()),
        }
    }
    None
}

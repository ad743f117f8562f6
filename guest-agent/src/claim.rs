//! Reads the claim from the channel that the hypervisor alone writes: a systemd credential.

use firstlight_shared::paths::CLAIM_CREDENTIAL;
use firstlight_shared::wire::Claim;

use crate::sys::Machine;

/// The claim, if one was handed in that this version understands; otherwise the reason stands in `problems`.
pub(crate) fn load(machine: &Machine, problems: &mut Vec<String>) -> Option<Claim> {
    let bytes = zeroize::Zeroizing::new(machine.credential(CLAIM_CREDENTIAL)?);
    Claim::parse(&bytes).map_err(|problem| problems.push(format!("{problem}: reported without a claim"))).ok()
}

//! Codes of faults that mean more to a bring-up than their words.

use super::Stage;
use crate::outcome::{Fault, Followed, Probe};

/// [`crate::outcome::Act::Refused`] with this code: the id of the slot is somebody else's, nothing was made. Another one is chosen, and it
/// is tried again.
pub const ID_TAKEN: &str = "id-taken";

/// A task of this stage has ended well: what that comes to, by a look at what it should have done.
pub(super) fn after_task(stage: Stage, probed: Result<Probe, Fault>) -> Followed {
    match probed {
        Ok(Probe::Present(output)) => Followed::Done(output),
        Ok(Probe::Absent) if stage == Stage::Start => {
            Followed::Failed(Fault::new("stopped-again", "it started, and stopped again at once"))
        }
        Ok(Probe::Foreign(what)) => Followed::Failed(Fault::new("foreign", what)),
        Ok(Probe::Absent | Probe::InFlight(_)) => {
            Followed::Unknown(Fault::new("not-all-yet", "there is more to do"))
        }
        Err(fault) => Followed::Unknown(fault),
    }
}

/// Whether what [`super::Backend::preflight`] refuses with this code is for what the plan says: another spec or golden mends it.
/// All other refusals want something of the machine, the hypervisor or the token.
pub fn blames_plan(code: &str) -> bool {
    let of_kind = ["golden-", "unsupported-", "secret-"].iter().any(|kind| code.starts_with(kind));
    of_kind
        || matches!(
            code,
            "bad-golden"
                | "bad-secret"
                | "incus-exists"
                | "incus-limit-reached"
                | "incus-no-image"
                | "incus-no-network"
                | "incus-no-pool"
                | "incus-no-profile"
                | "incus-no-project"
                | "incus-restricted"
                | "no-golden"
                | "no-safe-channel"
                | "no-such-remote"
                | "foreign"
                | "no-bridge"
                | "no-node"
                | "no-pool"
                | "no-storage"
                | "no-such-backend"
                | "no-such-node"
                | "not-an-archive"
                | "privileged-golden"
                | "proxmox-no-volume"
                | "root-lines"
                | "vmid-taken"
        )
}

/// Whether a fault with this code only says that the hypervisor did not answer.
pub fn is_silence(code: &str) -> bool {
    matches!(code, "proxmox-unreachable" | "proxmox-no-answer" | "incus-unreachable")
}

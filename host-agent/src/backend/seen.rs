//! What a hypervisor shows and tells of guests.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use firstlight_shared::ids::{GuestName, MacAddress};
use serde::{Deserialize, Serialize};

use super::{Allocation, Kind};
use crate::outcome::Fault;

/// What a hypervisor lists of a running guest, without trusting it or any network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Look {
    pub running: bool,
    /// All of them, `lo`'s included: among them the beacon's (see [`firstlight_shared::beacon`]).
    pub addresses: Vec<IpAddr>,
}

/// How often guests may be looked at: a look costs the hypervisor something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LookBudget {
    /// Looks per second on one node, whatever the number of guests.
    pub per_second: u32,
    /// No guest of this backend has a beacon earlier after its start.
    pub not_before: Duration,
    /// At least so long between two looks at a guest that is not ready yet: the hypervisor tells by itself when it is, and
    /// looks are for what it does not tell. Zero: it tells nothing now.
    pub calm: Duration,
}

/// What a command in a guest came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// None: a signal ended it.
    pub status: Option<i32>,
    /// Bounded by the backend.
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

/// Memory of what runs where a guest would, ours or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryInUse {
    /// The project or host that is counted, in words for people.
    pub of: String,
    /// What running guests may take at most; those without a limit count with what they have now.
    pub bytes: u64,
    /// All that the host has; 0: nobody may tell us.
    pub total_bytes: u64,
    /// Each guest that runs, of a wider circle maybe: `at` says what it counts for.
    pub guests: Vec<RunningGuest>,
}

/// What one running guest takes, ours or not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunningGuest {
    /// Of its stamp, where that is seen.
    pub job: Option<String>,
    /// What it is to the hypervisor, where ids are chosen.
    pub id: Option<String>,
    /// The resources that it counts for, as [`crate::backend::Backend::resources`] names them.
    pub at: Vec<String>,
    pub bytes: u64,
}

/// Something that keeps work from going on, and is tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Trouble {
    pub fault: Fault,
    /// Milliseconds since the Unix epoch.
    pub since_ms: u64,
    /// None: in some seconds.
    #[serde(default)]
    pub next_try_ms: Option<u64>,
}

/// A state of a guest that it can be set back to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Snapshot {
    pub name: String,
    /// Milliseconds since the Unix epoch, by the hypervisor's clock.
    #[serde(default)]
    pub taken_at_ms: Option<u64>,
}

/// What a hypervisor tells without being asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// The guest of that name says that it is ready: a reason to look, and nothing more.
    Ready(String),
    /// Anything may have been missed.
    Anything,
}

/// The guest as the hypervisor sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    pub running: bool,
    pub mac: Option<MacAddress>,
    pub addresses: Vec<IpAddr>,
    /// Paths in the guest where a volume of ours is mounted.
    pub mounts: Vec<PathBuf>,
    /// It has no interface, as it is wanted: no MAC is asked for.
    #[serde(default)]
    pub no_network: bool,
    /// Whoever would tell what the guest has mounted tells nothing: `mounts` says nothing then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mounts_unseen: Option<Unseen>,
}

/// Why something of a guest cannot be seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unseen {
    pub why: String,
    /// It may be seen in a moment.
    pub passes: bool,
}

/// One guest (or a part of one) with our stamp, as a survey found it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Surveyed {
    /// The job of the stamp. None: a part that carries this instance's mark and the guest's name, and no stamp (any more).
    pub job: Option<String>,
    pub guest: String,
    /// What it is to the hypervisor (a VMID). None: the backend finds its guests by name. A copy of a guest carries the same
    /// stamp, and has another id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The guest's own processes (or its machine) are at work.
    pub running: bool,
}

impl Surveyed {
    /// Whether it is the job's guest itself: by the stamp, and by the id where both are known.
    pub fn is_of(&self, job: &str, id: Option<&str>) -> bool {
        self.job.as_deref() == Some(job)
            && self.id.as_deref().zip(id).is_none_or(|(found, chosen)| found == chosen)
    }
}

/// A guest that somebody else made, as the hypervisor has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adopted {
    pub name: GuestName,
    pub kind: Option<Kind>,
    pub allocation: Allocation,
}

/// Others can reach a guest by it: it is not the guest's way to itself, and not what is on every link.
pub fn leads_somewhere(address: &IpAddr) -> bool {
    let of_one_link = match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    !of_one_link && !address.is_loopback() && !address.is_unspecified()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beacons_and_loopbacks_are_no_addresses_of_a_guest() {
        for (address, expected) in [
            ("10.78.0.104", true),
            ("fd00::7", true),
            ("127.83.1.2", false),
            ("fe80:5e11::1", false),
            ("fe80::1", false),
            ("febf::1", false),
            ("169.254.1.1", false),
            ("::1", false),
            ("0.0.0.0", false),
            ("::", false),
        ] {
            assert_eq!(leads_somewhere(&address.parse().unwrap()), expected, "{address}");
        }
    }
}

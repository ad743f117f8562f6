//! A guest with all that was chosen for it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use firstlight_shared::ids::MacAddress;
use firstlight_shared::wire::Claim;
use serde::{Deserialize, Serialize};

use super::GuestPlan;

/// What was chosen for a guest. Journaled before use, so that a repeated request is the same request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allocation {
    /// Of the first interface.
    pub mac: MacAddress,
    /// Of the others, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub more_macs: Vec<MacAddress>,
    pub addresses: Vec<IpAddr>,
    /// None: the backend finds its guests by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<Slot>,
}

/// What a guest is to the hypervisor, where we choose that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// Unique among the hypervisor's guests: a VMID.
    pub id: String,
    pub node: String,
    /// Becomes the machine-id of a guest that has none (DMI product UUID, `container_uuid`): 32 hexadecimal digits with
    /// dashes. None: it cannot be fixed in advance, or shall not (intent restore).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// By the node's clock, seconds since 1970: tasks of this guest are not older.
    pub since_s: u64,
}

/// What known guests hold, and what was found to be somebody else's.
#[derive(Debug, Clone, Default)]
pub struct Taken {
    pub macs: Vec<MacAddress>,
    pub addresses: Vec<IpAddr>,
    pub ids: Vec<String>,
}

/// A guest with all that was chosen for it: what the steps work on.
#[derive(Debug, Clone)]
pub struct Placement {
    /// The job that makes it: every object is stamped with it.
    pub job: String,
    pub plan: GuestPlan,
    pub allocation: Allocation,
    pub claim: Claim,
    /// Its first stage has ended well: a guest of ours was there.
    pub made: bool,
    /// Somebody else made it: nothing of it is ours, and it carries no stamp of this job.
    pub adopted: bool,
    /// The last remote task that the journal knows of each step, however it ended.
    pub tasks: BTreeMap<String, String>,
    /// More may have been asked for to make it than the journal tells: another process was at work, or an answer was lost.
    pub unsure: bool,
}

impl Placement {
    /// Of a guest of which nothing was made yet.
    pub fn new(job: &str, plan: GuestPlan, allocation: Allocation, claim: Claim) -> Self {
        let (made, adopted, unsure) = (false, false, false);
        Self { job: job.to_owned(), plan, allocation, claim, made, adopted, tasks: BTreeMap::new(), unsure }
    }
}

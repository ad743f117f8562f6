//! Chooses VMID, node and MACs. Touches nothing.

mod macs;
mod node;
mod vmid;

pub(super) use node::Promised;
pub(super) use vmid::{Occupied, taken_vmid};

use std::net::IpAddr;

use firstlight_shared::wire::Intent;

use super::archive::{Archive, golden};
use crate::backend::{Allocation, GuestPlan, Nic, Slot, Taken};
use crate::outcome::Fault;

impl super::Proxmox {
    /// # Errors
    /// No node fits, no VMID of the range is free, or what the operator chose is somebody else's.
    pub(super) async fn choose(&self, plan: &GuestPlan, taken: &Taken) -> Result<Allocation, Fault> {
        let addresses = static_addresses(&plan.nics);
        if let Some(address) = addresses.iter().find(|address| taken.addresses.contains(address)) {
            return Err(Fault::new("address-taken", format!("nics: another guest has {address} already")));
        }
        let node = self.choose_node(plan).await?;
        let archive = self.archive(plan, &node).await?;
        let golden_macs = macs::of(&archive);
        let (mac, more_macs) = match plan.intent {
            Intent::Restore => macs::kept(&golden_macs, &taken.macs)?,
            Intent::Provision => {
                let prefix = self.mac_prefix().await?;
                let used = [golden_macs.as_slice(), &taken.macs].concat();
                macs::new(prefix, interfaces(plan, &archive), &used, rand::random)
            }
        };
        let vmid = self.choose_vmid(plan, taken).await?;
        let since_s = self.node_time(&node).await?;
        let uuid = (plan.intent == Intent::Provision).then(|| uuid_v4(rand::random()));
        let slot = Slot { id: vmid.to_string(), node, uuid, since_s };
        Ok(Allocation { mac, more_macs, addresses, slot: Some(slot) })
    }

    /// What a bring-up works on, for limits. The node is the one that is known beforehand: where it is chosen later, all
    /// such guests count as working on one.
    pub(super) fn resources_of(&self, plan: &GuestPlan) -> Vec<String> {
        let node = plan.place.node.as_deref().or(self.defaults.node.as_deref()).unwrap_or("proxmox");
        let storage = plan.place.storage.as_deref().or(self.defaults.storage.as_deref());
        let storage = storage.or_else(|| golden(&plan.golden).ok().map(|golden| golden.storage));
        std::iter::once(format!("node:{node}"))
            .chain(storage.map(|storage| format!("storage:{storage}")))
            .collect()
    }
}

/// How many interfaces the guest will have; a MAC is chosen for one that comes later, too.
fn interfaces(plan: &GuestPlan, archive: &Archive) -> usize {
    let count = if plan.nics.is_empty() { archive.nets().len() } else { plan.nics.len() };
    count.max(1)
}

/// Of interfaces in their order; those that ask a server for theirs have none.
fn static_addresses(nics: &[Nic]) -> Vec<IpAddr> {
    nics.iter().filter_map(|nic| nic.address.as_deref()?.split('/').next()?.parse().ok()).collect()
}

fn uuid_v4(mut bytes: [u8; 16]) -> String {
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let digits = hex::encode(bytes);
    [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_is_random_and_of_version_4() {
        assert_eq!(uuid_v4([0xff; 16]), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(uuid_v4([0; 16]), "00000000-0000-4000-8000-000000000000");
    }

    #[test]
    fn addresses_that_are_said_are_held() {
        let nic = |address: &str| Nic { address: Some(address.to_owned()), ..Nic::default() };
        let nics = [nic("dhcp"), nic("10.0.0.5/24"), Nic::default(), nic("10.1.0.5/16")];
        let found: Vec<String> = static_addresses(&nics).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["10.0.0.5", "10.1.0.5"]);
    }
}

//! Chooses VMID, node and MACs. Touches nothing.
//!
//! MACs are 24 random bits behind the cluster's prefix, apart from those that we know of. What other guests of the cluster
//! have is not read: that would be a call for each of them, and a token sees only some. With a thousand others, the
//! chance to meet one of theirs is 1 in 16,000.

mod node;
mod vmid;

pub(super) use node::Promised;
pub(super) use vmid::{Occupied, taken_vmid};

use firstlight_shared::ids::MacAddress;
use firstlight_shared::wire::Intent;

use super::archive::{Archive, golden};
use crate::backend::chosen::{addresses, kept_macs, new_macs, uuid_v4};
use crate::backend::{Allocation, GuestPlan, Slot, Taken};
use crate::outcome::Fault;

impl super::Proxmox {
    /// # Errors
    /// No node fits, no VMID of the range is free, or what the operator chose is somebody else's.
    pub(super) async fn choose(&self, plan: &GuestPlan, taken: &Taken) -> Result<Allocation, Fault> {
        let addresses = addresses(&plan.nics, taken)?;
        let node = self.choose_node(plan).await?;
        let archive = self.archive(plan, &node).await?;
        let golden_macs = macs_of(&archive);
        let (mac, more_macs) = match plan.intent {
            Intent::Restore => kept_macs(&golden_macs, &taken.macs)?,
            Intent::Provision => {
                let prefix = self.mac_prefix().await?;
                let used = [golden_macs.as_slice(), &taken.macs].concat();
                new_macs(prefix, interfaces(plan, &archive), &used, rand::random)
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
        let node = plan.place.node.as_deref().or(self.defaults.node.as_deref());
        let node = node.map_or_else(|| ALL_NODES.to_owned(), |node| format!("node:{node}"));
        let storage = plan.place.storage.as_deref().or(self.defaults.storage.as_deref());
        let storage = storage.or_else(|| golden(&plan.golden).ok().map(|golden| golden.storage));
        std::iter::once(node).chain(storage.map(|storage| format!("storage:{storage}"))).collect()
    }

    /// The node's, as soon as it is known: chosen, or the only one that can be.
    pub(super) async fn memory_counts_at(
        &self,
        plan: &GuestPlan,
        chosen: Option<&str>,
    ) -> Result<Vec<String>, Fault> {
        let node = match chosen.or(plan.place.node.as_deref()).or(self.defaults.node.as_deref()) {
            Some(node) => Some(node.to_owned()),
            None => match self.candidates(plan).await?.as_slice() {
                [only] => Some(only.node.clone()),
                _ => None,
            },
        };
        Ok(node.map(|node| format!("node:{node}")).into_iter().chain([ALL_NODES.to_owned()]).collect())
    }
}

/// Stands for the node where that is chosen later, and for all of them together.
pub(super) const ALL_NODES: &str = "node:proxmox";

/// How many interfaces the guest will have; a MAC is chosen for one that comes later, too.
fn interfaces(plan: &GuestPlan, archive: &Archive) -> usize {
    let count = if plan.nics.is_empty() { archive.nets().len() } else { plan.nics.len() };
    count.max(1)
}

/// MACs of the archive's interfaces, in their order.
fn macs_of(archive: &Archive) -> Vec<MacAddress> {
    archive.nets().iter().filter_map(|(_, net)| net.mac()?.parse().ok()).collect()
}

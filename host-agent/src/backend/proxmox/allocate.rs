//! Chooses VMID, node and MACs.

use crate::backend::{Allocation, GuestPlan, Taken};
use crate::outcome::Fault;

impl super::Proxmox {
    pub(super) async fn choose(&self, _plan: &GuestPlan, _taken: &Taken) -> Result<Allocation, Fault> {
        Err(crate::outcome::Fault::new("not-built", "this part is being built"))
    }

    pub(super) fn resources_of(&self, _plan: &GuestPlan) -> Vec<String> {
        Vec::new()
    }
}

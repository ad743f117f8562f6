//! What cannot work is refused before anything is done.

use firstlight_shared::ids::GuestName;

use crate::backend::GuestPlan;
use crate::outcome::Fault;

impl super::Proxmox {
    pub(super) async fn check_plan(&self, _plan: &GuestPlan) -> Result<(), Fault> {
        Err(crate::outcome::Fault::new("not-built", "this part is being built"))
    }

    pub(super) async fn guest_called(&self, _name: &GuestName) -> Result<Option<String>, Fault> {
        Err(crate::outcome::Fault::new("not-built", "this part is being built"))
    }

    pub(super) async fn mark_of_archive(&self, _plan: &GuestPlan) -> Result<String, Fault> {
        Err(crate::outcome::Fault::new("not-built", "this part is being built"))
    }
}

//! The guest as the cluster has it.

use crate::backend::{Observed, Placement};
use crate::outcome::Fault;

impl super::Proxmox {
    pub(super) async fn observe_guest(&self, _guest: &Placement) -> Result<Observed, Fault> {
        Err(crate::outcome::Fault::new("not-built", "this part is being built"))
    }

    pub(super) async fn report_url(&self) -> Result<String, Fault> {
        Err(crate::outcome::Fault::new("not-built", "this part is being built"))
    }
}

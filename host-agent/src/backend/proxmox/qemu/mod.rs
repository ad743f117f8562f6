//! Machines: what is there (`probe`), how it is made (`act`).

mod net;
mod smbios;

use crate::backend::{Placement, Stage};
use crate::outcome::{Act, Fault, Probe};

impl super::Proxmox {
    pub(super) async fn probe_qemu(&self, _stage: Stage, _guest: &Placement) -> Result<Probe, Fault> {
        Err(crate::outcome::Fault::new("not-built", "this part is being built"))
    }

    pub(super) async fn act_qemu(&self, _stage: Stage, _guest: &Placement) -> Act {
        Act::Refused(Fault::new("not-built", "this part is being built"))
    }

    pub(super) async fn remove_claim_of_machine(&self, _guest: &Placement) -> Result<(), Fault> {
        Err(crate::outcome::Fault::new("not-built", "this part is being built"))
    }

    pub(super) async fn read_report_of_machine(&self, _guest: &Placement) -> Result<Option<Vec<u8>>, Fault> {
        Ok(None)
    }
}

//! Machines: what is there (`probe`), how it is made (`act`).
//!
//! One restore carries name, memory, devices, UUID and claim; disks cannot be in it, and follow one by one. A restore that
//! was killed leaves a machine that looks like any other: only its task and our stamp, which is written at its very end,
//! tell them apart (see [`super::standing`]).

mod cloud;
mod disks;
mod identity;
mod net;
mod report;
mod restore;
mod size;
mod smbios;
mod start;
#[cfg(test)]
mod testing;
mod undo;

use super::client::endpoint::config::ChangeConfig;
use super::fault::{act_of, act_of_look};
use super::standing::{Ours, Standing};
use crate::backend::{Placement, Stage};
use crate::outcome::{Act, Fault, Probe};

impl super::Proxmox {
    pub(super) async fn probe_qemu(&self, stage: Stage, guest: &Placement) -> Result<Probe, Fault> {
        if stage == Stage::Restore {
            return self.probe_restored_machine(guest).await;
        }
        let ours = match self.standing(guest).await? {
            Standing::Ours(ours) => ours,
            Standing::Other(what) => return Ok(Probe::Foreign(what)),
            // Whoever acts on it is told so.
            Standing::Free | Standing::Nascent(_) | Standing::Unfinished(_) | Standing::Hidden(_) => {
                return Ok(Probe::Absent);
            }
            Standing::Making(upid) => {
                return Err(Fault::new("in-flight", format!("the machine is still being made: {upid}")));
            }
        };
        match stage {
            Stage::Restore | Stage::Mac => self.probe_identity(guest, &ours).await,
            Stage::Hostname => Ok(identity::name_seen(guest, &ours.config)),
            Stage::Size => self.probe_size(guest, &ours).await,
            Stage::Mounts => Ok(disks::seen(&guest.plan, &ours.config)),
            Stage::Start => self.probe_start(guest, &ours).await,
        }
    }

    pub(super) async fn act_qemu(&self, stage: Stage, guest: &Placement) -> Act {
        if stage == Stage::Restore {
            return self.restore_machine(guest).await;
        }
        let ours = match self.ours(guest).await {
            Ok(ours) => ours,
            Err(fault) => return act_of_look(fault),
        };
        let acted = match stage {
            Stage::Restore | Stage::Mac => self.set_identity(guest, ours).await,
            Stage::Hostname => self.set_name(guest, ours).await,
            Stage::Size => self.set_size(guest, ours).await,
            Stage::Mounts => self.add_disks(guest, ours).await,
            Stage::Start => self.start_machine(guest, ours).await,
        };
        acted.unwrap_or_else(|ended| ended)
    }

    /// Changes a machine that is as it was read; if somebody else was faster, it is read again.
    async fn change_machine(
        &self,
        ours: &Ours,
        set: Vec<(String, String)>,
        delete: Vec<String>,
    ) -> Result<(), Act> {
        if set.is_empty() && delete.is_empty() {
            return Ok(());
        }
        let digest = ours.config.digest().map(str::to_owned);
        let change = ChangeConfig { guest: ours.guest.clone(), set, delete, digest };
        self.client.send(&change).await.map_err(|error| act_of(&error))
    }
}

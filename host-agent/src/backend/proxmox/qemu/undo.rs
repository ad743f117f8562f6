//! Ensures that a machine of ours is not there: stopped first, since machines are not removed while they run.

use std::time::Duration;

use tokio::time::Instant;

use crate::backend::proxmox::Proxmox;
use crate::backend::proxmox::client::endpoint::guest::{Destroy, Guest, Stop};
use crate::backend::proxmox::client::endpoint::task::StopTask;
use crate::backend::proxmox::client::task::TaskEnd;
use crate::backend::proxmox::client::upid::Upid;
use crate::backend::proxmox::client::verdict::Class;
use crate::backend::proxmox::standing::{Ours, Standing};
use crate::backend::{Placement, Stage};
use crate::outcome::{Fault, Undo};

/// `overrule-shutdown` is there from this version on.
const OVERRULES: (u32, u32) = (8, 2);
/// A stop takes less than two seconds, and may wait ten for a lock.
const STOPPING: Duration = Duration::from_secs(60);

impl Proxmox {
    pub(in crate::backend::proxmox) async fn undo_machine(&self, stage: Stage, guest: &Placement) -> Undo {
        let undone = match stage {
            Stage::Start => self.unstart(guest).await,
            Stage::Restore => self.unrestore(guest).await,
            // What they change goes with the machine, disks with their volumes.
            Stage::Mac | Stage::Hostname | Stage::Size | Stage::Mounts => Ok(Undo::Absent),
        };
        undone.unwrap_or_else(Undo::Failed)
    }

    async fn unstart(&self, guest: &Placement) -> Result<Undo, Fault> {
        let ours = match self.standing(guest).await? {
            Standing::Ours(ours) => ours,
            Standing::Other(what) => return self.leave_to_others(guest, what).await,
            _ => return Ok(Undo::Absent),
        };
        if !self.runs(&ours.guest).await? {
            return Ok(Undo::Absent);
        }
        Ok(self.stop(&ours.guest).await?.map_or(Undo::Absent, |upid| Undo::Started(upid.to_string())))
    }

    async fn unrestore(&self, guest: &Placement) -> Result<Undo, Fault> {
        let machine = match self.settled_standing(guest).await? {
            Standing::Free => return Ok(Undo::Absent),
            Standing::Nascent(what) => return Err(Fault::new("in-flight", what)),
            // Its end shows whose it was.
            Standing::Making(upid) if !self.is_surely_ours(guest, &upid) => {
                return Ok(Undo::Started(upid.to_string()));
            }
            Standing::Other(what) => return self.leave_to_others(guest, what).await,
            Standing::Ours(Ours { guest, .. }) => guest,
            Standing::Unfinished(left) if left.removable => left.guest,
            Standing::Unfinished(left) => return Err(left.fault()),
            Standing::Hidden(fault) => return Err(fault),
            Standing::Making(upid) => {
                self.end_restore(&upid).await?;
                match self.standing(guest).await? {
                    Standing::Unfinished(left) if left.removable => left.guest,
                    Standing::Ours(Ours { guest, .. }) => guest,
                    Standing::Free => return Ok(Undo::Absent),
                    _ => return Err(Fault::new("in-flight", format!("{upid} has not ended"))),
                }
            }
        };
        if let Some(upid) = self.running_task(guest, &machine, "qmdestroy").await? {
            return Ok(Undo::Started(upid.to_string()));
        }
        // Another task than the one that is journaled: it is repeatable, and waited for here.
        if self.runs(&machine).await?
            && let Some(upid) = self.stop(&machine).await?
        {
            self.wait_a_little(&upid).await?;
        }
        // Images that no configuration names may be somebody's, left under this VMID before us.
        let unreferenced_disks = self.has_only_our_images(guest, &machine).await;
        let destroy = Destroy { guest: machine, force: false, unreferenced_disks };
        match self.client.send(&destroy).await {
            Ok(upid) => Ok(Undo::Started(upid.to_string())),
            Err(error) if error.class == Class::Gone => Ok(Undo::Absent),
            Err(error) => Err(Fault::from(&error)),
        }
    }

    async fn runs(&self, machine: &Guest) -> Result<bool, Fault> {
        match self.is_up(machine).await {
            // It went away between two questions.
            Err(fault) if fault.code == "proxmox-gone" => Ok(false),
            runs => runs,
        }
    }

    /// None: it is stopped already.
    async fn stop(&self, machine: &Guest) -> Result<Option<Upid>, Fault> {
        let overrule_shutdown = self.version().await? >= OVERRULES;
        match self.client.send(&Stop { guest: machine.clone(), overrule_shutdown }).await {
            Ok(upid) => Ok(Some(upid)),
            Err(error) if matches!(error.class, Class::AlreadySo | Class::Gone) => Ok(None),
            Err(error) => Err(Fault::from(&error)),
        }
    }

    async fn end_restore(&self, upid: &Upid) -> Result<(), Fault> {
        match self.client.send(&StopTask { upid: upid.clone() }).await {
            Ok(()) => self.wait_a_little(upid).await,
            Err(error) if error.class == Class::Gone => Ok(()),
            Err(error) => Err(Fault::from(&error)),
        }
    }

    /// However it ends: what it did is looked at afterwards.
    async fn wait_a_little(&self, upid: &Upid) -> Result<(), Fault> {
        match self.client.follow(upid, Instant::now() + STOPPING).await {
            TaskEnd::Done { .. } | TaskEnd::Failed { .. } => Ok(()),
            TaskEnd::Unknown { text } => Err(Fault::new("in-flight", text)),
        }
    }
}

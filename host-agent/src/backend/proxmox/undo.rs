//! Ensures that what was made is absent, if it is ours.
//!
//! The whole guest goes with `restore`; the stages between it and `start` leave nothing beside it. What only root can
//! clear (a written lock) ends in a fault with the commands.

mod images;

use super::client::endpoint::config::{ChangeConfig, GuestConfig, ReadConfig};
use super::client::endpoint::guest::{Destroy, Guest, Kind, Stop};
use super::client::endpoint::task::StopTask;
use super::client::upid::Upid;
use super::client::verdict::{ApiError, Class, Code};
use super::observe::first_mac;
use super::stamp;
use super::standing::{Ours, Standing, Unfinished, target};
use super::{Proxmox, kind};
use crate::backend::{Placement, Stage};
use crate::outcome::{Fault, Undo};

impl Proxmox {
    pub(super) async fn undo_stage(&self, stage: Stage, placement: &Placement) -> Undo {
        let undone = match kind(&placement.plan) {
            Kind::Lxc => self.undo_container(stage, placement).await,
            Kind::Qemu => Ok(self.undo_machine(stage, placement).await),
        };
        // No guest is left: its images, perhaps.
        let undone = match undone {
            Ok(Undo::Absent) if stage == Stage::Restore => self.remove_images(placement).await,
            undone => undone,
        };
        undone.unwrap_or_else(Undo::Failed)
    }

    async fn undo_container(&self, stage: Stage, placement: &Placement) -> Result<Undo, Fault> {
        match stage {
            Stage::Restore => self.destroy_container(placement).await,
            Stage::Start => self.stop_container(placement).await,
            Stage::Mac | Stage::Hostname | Stage::Size | Stage::Mounts => Ok(Undo::Absent),
        }
    }

    async fn destroy_container(&self, placement: &Placement) -> Result<Undo, Fault> {
        match self.settled_standing(placement).await? {
            Standing::Free => Ok(Undo::Absent),
            Standing::Nascent(what) => Err(Fault::new("in-flight", what)),
            Standing::Other(what) => self.leave_to_others(placement, what).await,
            Standing::Hidden(fault) => Err(fault),
            Standing::Making(upid) => self.interrupt_restore(placement, upid).await,
            Standing::Ours(Ours { guest, config }) => {
                // Its configuration names all its images: those that it does not name are not ours.
                self.destroy(placement, guest, &config, false).await
            }
            Standing::Unfinished(Unfinished { guest, removable: true, .. }) => {
                let unreferenced = self.has_only_our_images(placement, &guest).await;
                self.destroy(placement, guest, &GuestConfig::default(), unreferenced).await
            }
            Standing::Unfinished(unfinished) => Err(unfinished.fault()),
        }
    }

    /// Another's is not ours to touch, and with that ours is not there. But one that was made, and has lost its stamp since
    /// (somebody wrote other notes), may still be it: that is for people to say.
    pub(super) async fn leave_to_others(&self, placement: &Placement, what: String) -> Result<Undo, Fault> {
        if !placement.made {
            return Ok(Undo::Absent);
        }
        let guest = target(placement)?;
        let config = match self.client.send(&ReadConfig { guest: guest.clone(), current: false }).await {
            Ok(config) => config,
            Err(error) if error.class == Class::Gone => return Ok(Undo::Absent),
            Err(error) => return Err(Fault::from(&error)),
        };
        let stamped = stamp::job_of(config.description().unwrap_or_default()).is_some();
        let is_same = first_mac(&config) == Some(placement.allocation.mac);
        if stamped || !is_same {
            return Ok(Undo::Absent);
        }
        let mark = stamp::line(&placement.job);
        let fault =
            Fault::new("not-recognised", format!("{what}, and has the MAC of the guest that it made"));
        Err(fault.with_hint(format!(
            "if it is that guest: put the line `{mark}` into its notes and ask again; if not: `firstlight abandon {}`",
            placement.plan.name
        )))
    }

    /// Nobody wants what it makes; it tidies up after itself.
    /// One that may be another's is waited for: its end shows whose it was.
    async fn interrupt_restore(&self, placement: &Placement, upid: Upid) -> Result<Undo, Fault> {
        if !self.is_surely_ours(placement, &upid) {
            return Ok(Undo::Started(upid.to_string()));
        }
        match self.client.send(&StopTask { upid: upid.clone() }).await {
            Ok(()) => {}
            Err(error) => tracing::debug!(task = %upid, error = %error, "a restore goes on to its end"),
        }
        Ok(Undo::Started(upid.to_string()))
    }

    /// Running or not.
    async fn destroy(
        &self,
        placement: &Placement,
        guest: Guest,
        config: &GuestConfig,
        unreferenced_disks: bool,
    ) -> Result<Undo, Fault> {
        if let Some(upid) = self.running_task(placement, &guest, "vzdestroy").await? {
            return Ok(Undo::Started(upid.to_string()));
        }
        if config.flag("protection") {
            // The archive brought it along.
            let set = vec![("protection".to_owned(), "0".to_owned())];
            let digest = config.digest().map(str::to_owned);
            let call = ChangeConfig { guest: guest.clone(), set, delete: Vec::new(), digest };
            self.client.send(&call).await.map_err(|error| hinted(&guest, &error))?;
        }
        let call = Destroy { guest: guest.clone(), force: true, unreferenced_disks };
        match self.client.send(&call).await {
            Ok(upid) => Ok(Undo::Started(upid.to_string())),
            Err(error) => Err(hinted(&guest, &error)),
        }
    }

    async fn stop_container(&self, placement: &Placement) -> Result<Undo, Fault> {
        let guest = match self.standing(placement).await? {
            Standing::Ours(ours) => ours.guest,
            Standing::Free | Standing::Making(_) | Standing::Nascent(_) | Standing::Unfinished(_) => {
                return Ok(Undo::Absent);
            }
            Standing::Other(what) => return self.leave_to_others(placement, what).await,
            Standing::Hidden(fault) => return Err(fault),
        };
        if !self.is_up(&guest).await? {
            return Ok(Undo::Absent);
        }
        if let Some(upid) = self.running_task(placement, &guest, "vzstop").await? {
            return Ok(Undo::Started(upid.to_string()));
        }
        match self.client.send(&Stop { guest: guest.clone(), overrule_shutdown: false }).await {
            Ok(upid) => Ok(Undo::Started(upid.to_string())),
            Err(error) if matches!(error.class, Class::AlreadySo | Class::Gone) => Ok(Undo::Absent),
            Err(error) => Err(hinted(&guest, &error)),
        }
    }
}

/// What people can do where the token cannot.
fn hinted(guest: &Guest, error: &ApiError) -> Fault {
    let fault = Fault::from(error);
    let (vmid, node) = (guest.vmid, &guest.node);
    if error.text.contains("HA resources") {
        return fault.with_hint(format!("HA manages it: on {node}, as root: `ha-manager remove ct:{vmid}`"));
    }
    match &error.class {
        Class::Rejected { code: Code::Protected, .. } => {
            fault.with_hint(format!("on {node}, as root: `pct set {vmid} --protection 0`"))
        }
        _ => fault,
    }
}

/// The restore's type of task.
fn restore_task(placement: &Placement) -> &'static str {
    match kind(&placement.plan) {
        Kind::Lxc => "vzrestore",
        Kind::Qemu => "qmrestore",
    }
}

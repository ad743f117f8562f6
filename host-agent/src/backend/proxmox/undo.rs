//! Ensures that what was made is absent, if it is ours: for containers and machines alike.
//!
//! The whole guest goes with `restore`; the stages between it and `start` leave nothing beside it. What only root can
//! clear (a written lock) ends in a fault with the commands.

mod images;

use super::client::endpoint::config::{ChangeConfig, GuestConfig};
use super::client::endpoint::guest::{Destroy, Guest, Kind, Stop};
use super::client::endpoint::task::StopTask;
use super::client::upid::Upid;
use super::client::verdict::{ApiError, Class, Code};
use super::standing::{Ours, Standing, Unfinished, tool};
use super::{Proxmox, kind};
use crate::backend::{Placement, Stage};
use crate::outcome::{Fault, Undo};

impl Proxmox {
    pub(super) async fn undo_stage(&self, stage: Stage, placement: &Placement) -> Undo {
        let undone = match stage {
            Stage::Restore => self.undo_restore(placement).await,
            Stage::Start => self.undo_start(placement).await,
            Stage::Mac | Stage::Hostname | Stage::Size | Stage::Mounts => Ok(Undo::Absent),
        };
        undone.unwrap_or_else(Undo::Failed)
    }

    async fn undo_restore(&self, placement: &Placement) -> Result<Undo, Fault> {
        match self.standing(placement).await? {
            Standing::Free => self.remove_images(placement).await,
            // Not ours to touch, and what was ours is not there.
            Standing::Other(_) => Ok(Undo::Absent),
            Standing::Hidden(fault) => Err(fault),
            Standing::Making(upid) => self.interrupt(upid).await,
            Standing::Ours(Ours { guest, config }) => self.destroy(placement, guest, &config, false).await,
            Standing::Unfinished(Unfinished { guest, removable: true, .. }) => {
                // Nothing in its configuration names the images that it may have.
                let unreferenced = self.has_only_our_images(placement, &guest).await;
                self.destroy(placement, guest, &GuestConfig::default(), unreferenced).await
            }
            Standing::Unfinished(unfinished) => Err(unfinished.fault()),
        }
    }

    /// Nobody wants what it makes; it tidies up after itself.
    async fn interrupt(&self, upid: Upid) -> Result<Undo, Fault> {
        match self.client.send(&StopTask { upid: upid.clone() }).await {
            Ok(()) => {}
            Err(error) => tracing::debug!(task = %upid, error = %error, "a restore goes on to its end"),
        }
        Ok(Undo::Started(upid.to_string()))
    }

    async fn destroy(
        &self,
        placement: &Placement,
        guest: Guest,
        config: &GuestConfig,
        unreferenced_disks: bool,
    ) -> Result<Undo, Fault> {
        if let Some(upid) = self.running_task(placement, &guest, task(&guest, "destroy")).await? {
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
            // Machines are stopped first.
            Err(error) if matches!(error.class, Class::Rejected { code: Code::Running, .. }) => {
                let stop = Stop { guest: guest.clone(), overrule_shutdown: false };
                let upid = self.client.send(&stop).await.map_err(|error| hinted(&guest, &error))?;
                Ok(Undo::Started(upid.to_string()))
            }
            Err(error) => Err(hinted(&guest, &error)),
        }
    }

    async fn undo_start(&self, placement: &Placement) -> Result<Undo, Fault> {
        let guest = match self.standing(placement).await? {
            Standing::Ours(ours) => ours.guest,
            Standing::Free | Standing::Other(_) | Standing::Making(_) | Standing::Unfinished(_) => {
                return Ok(Undo::Absent);
            }
            Standing::Hidden(fault) => return Err(fault),
        };
        if !self.is_running(&guest).await? {
            return Ok(Undo::Absent);
        }
        if let Some(upid) = self.running_task(placement, &guest, task(&guest, "stop")).await? {
            return Ok(Undo::Started(upid.to_string()));
        }
        match self.client.send(&Stop { guest: guest.clone(), overrule_shutdown: false }).await {
            Ok(upid) => Ok(Undo::Started(upid.to_string())),
            Err(error) if matches!(error.class, Class::AlreadySo | Class::Gone) => Ok(Undo::Absent),
            Err(error) => Err(hinted(&guest, &error)),
        }
    }
}

/// The type of a task, as Proxmox calls it.
fn task(guest: &Guest, what: &str) -> &'static str {
    match (guest.kind, what) {
        (Kind::Lxc, "stop") => "vzstop",
        (Kind::Lxc, _) => "vzdestroy",
        (Kind::Qemu, "stop") => "qmstop",
        (Kind::Qemu, _) => "qmdestroy",
    }
}

/// What people can do where the token cannot.
fn hinted(guest: &Guest, error: &ApiError) -> Fault {
    let fault = Fault::from(error);
    let (tool, vmid, node) = (tool(guest), guest.vmid, &guest.node);
    if error.text.contains("HA") {
        let service = if guest.kind == Kind::Lxc { "ct" } else { "vm" };
        return fault
            .with_hint(format!("HA manages it: on {node}, as root: `ha-manager remove {service}:{vmid}`"));
    }
    match &error.class {
        Class::Rejected { code: Code::Protected, .. } => {
            fault.with_hint(format!("on {node}, as root: `{tool} set {vmid} --protection 0`"))
        }
        _ => fault,
    }
}

/// The restore's type of task.
pub(super) fn restore_task(placement: &Placement) -> &'static str {
    match kind(&placement.plan) {
        Kind::Lxc => "vzrestore",
        Kind::Qemu => "qmrestore",
    }
}

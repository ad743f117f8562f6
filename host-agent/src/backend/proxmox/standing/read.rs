//! Reads what is needed to decide, and no more: one call for a guest with our stamp.

use std::time::Duration;

use super::{Facts, Ours, Restoring, Seen, Standing, by_stamp, decide};
use crate::backend::Placement;
use crate::backend::proxmox::client::endpoint::cluster::ListGuests;
use crate::backend::proxmox::client::endpoint::config::ReadConfig;
use crate::backend::proxmox::client::endpoint::guest::{Guest, Kind};
use crate::backend::proxmox::client::endpoint::task::ReadTask;
use crate::backend::proxmox::client::verdict::Class;
use crate::backend::proxmox::{Proxmox, kind};
use crate::outcome::Fault;

/// The step whose task makes the guest, as journals name it.
pub(in crate::backend::proxmox) const RESTORE: &str = "restore";

/// A request makes its guest first, and then starts the task that fills it. The proxy before the daemon gives a request up
/// after 30 s: after that a guest without a task is not of one whose answer was lost.
const SETTLES: Duration = Duration::from_secs(30);
const AGAIN: Duration = Duration::from_millis(500);

/// The guest that a placement is about, where it was to be made.
pub(in crate::backend::proxmox) fn target(placement: &Placement) -> Result<Guest, Fault> {
    let slot =
        placement.allocation.slot.as_ref().ok_or_else(|| {
            Fault::new("no-slot", format!("no VMID was chosen for `{}`", placement.plan.name))
        })?;
    let vmid = slot.id.parse().map_err(|_| {
        Fault::new("no-slot", format!("the id chosen for `{}` is no VMID", placement.plan.name))
    })?;
    Ok(Guest { node: slot.node.clone(), kind: kind(&placement.plan), vmid })
}

impl Proxmox {
    pub(in crate::backend::proxmox) async fn standing(
        &self,
        placement: &Placement,
    ) -> Result<Standing, Fault> {
        let target = target(placement)?;
        // Before anything was asked for there is nothing to find, but somebody else's. A restore has a guest before its task
        // begins: whatever may still be under way has made nothing yet, and repeats this request.
        if !placement.tasks.contains_key(RESTORE) && self.is_free(target.vmid).await? {
            return Ok(Standing::Free);
        }
        let mut config = self.see(&target).await?;
        if let Some(decided) = by_stamp(&placement.job, &config) {
            return Ok(decided);
        }
        let doubt = self.doubt(placement, target.vmid).is_some();
        let restoring = self.restoring(placement, &target, doubt).await?;
        if let Restoring::Running(upid) = restoring {
            return Ok(Standing::Making(upid));
        }
        if restoring != Restoring::Never {
            config = self.see(&target).await?;
        }
        let mut free = false;
        if !matches!(config, Seen::Config(..)) {
            free = self.is_free(target.vmid).await?;
        }
        if !free && config == Seen::Missing {
            config = self.see_elsewhere(&target).await?;
        }
        Ok(decide(&placement.job, &target, Facts { config, restoring, free, doubt }))
    }

    /// As [`Proxmox::standing`], once it is clear whose a guest is that nobody has written anything into.
    pub(in crate::backend::proxmox) async fn settled_standing(
        &self,
        placement: &Placement,
    ) -> Result<Standing, Fault> {
        loop {
            let what = match self.standing(placement).await? {
                Standing::Nascent(what) => what,
                standing => return Ok(standing),
            };
            let since = self.doubt(placement, target(placement)?.vmid);
            if since.is_none_or(|since| since.elapsed() > SETTLES) {
                return Ok(Standing::Other(what));
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// As [`Proxmox::standing`], by a look of a moment ago where nothing of ours has changed the guest since.
    pub(in crate::backend::proxmox) async fn standing_just_seen(
        &self,
        placement: &Placement,
    ) -> Result<Standing, Fault> {
        match self.recent.get(target(placement)?.vmid, &placement.job) {
            Some(ours) => Ok(Standing::Ours(ours)),
            None => self.standing(placement).await,
        }
    }

    /// The guest, if it is ours and finished.
    ///
    /// # Errors
    /// It is not, or nobody knows.
    pub(in crate::backend::proxmox) async fn ours(&self, placement: &Placement) -> Result<Ours, Fault> {
        let vmid = target(placement)?.vmid;
        match self.standing(placement).await? {
            Standing::Ours(ours) => Ok(ours),
            Standing::Free => Err(Fault::new("guest-gone", format!("guest {vmid} is not there any more"))),
            Standing::Other(what) => Err(Fault::new("foreign", what)),
            Standing::Nascent(what) => Err(Fault::new("in-flight", what)),
            Standing::Making(upid) => {
                Err(Fault::new("in-flight", format!("guest {vmid} is still being made: {upid}")))
            }
            Standing::Hidden(fault) => Err(fault),
            Standing::Unfinished(unfinished) => Err(unfinished.fault()),
        }
    }

    async fn see(&self, guest: &Guest) -> Result<Seen, Fault> {
        match self.client.send(&ReadConfig { guest: guest.clone(), current: false }).await {
            Ok(config) => Ok(Seen::Config(guest.clone(), config)),
            Err(error) => match error.class {
                Class::Gone => Ok(Seen::Missing),
                Class::Denied { .. } => Ok(Seen::Hidden(error.text.to_string())),
                _ => Err(Fault::from(&error)),
            },
        }
    }

    /// Somebody may have moved it to another node.
    async fn see_elsewhere(&self, target: &Guest) -> Result<Seen, Fault> {
        let guests = self.ask(&ListGuests).await?;
        let moved = guests.into_iter().find(|line| line.vmid == target.vmid && line.node != target.node);
        match moved {
            Some(line) if line.kind == target.kind.as_str() => {
                self.see(&Guest { node: line.node, ..target.clone() }).await
            }
            _ => Ok(Seen::Missing),
        }
    }

    /// The restore that made the guest, or is at it: the last one that an answer or the journal names. While an answer is
    /// missing (`doubt`), the last that may be ours.
    async fn restoring(
        &self,
        placement: &Placement,
        target: &Guest,
        doubt: bool,
    ) -> Result<Restoring, Fault> {
        let kind = match target.kind {
            Kind::Lxc => "vzrestore",
            Kind::Qemu => "qmrestore",
        };
        if let Some(upid) = self.known_task(placement, target.vmid) {
            let question = ReadTask { upid };
            match self.client.send(&question).await {
                Ok(status) if status.status == "stopped" => {
                    // One that was asked for after it, and whose name was lost, may be at work.
                    let other = if doubt { self.running_task(placement, target, kind).await? } else { None };
                    return Ok(match other {
                        Some(upid) => Restoring::Running(upid),
                        None => Restoring::Ended(question.upid, status.exitstatus.unwrap_or_default()),
                    });
                }
                Ok(_) => return Ok(Restoring::Running(question.upid)),
                // The node forgot it.
                Err(error) if error.class == Class::Gone => {}
                Err(error) => return Err(Fault::from(&error)),
            }
        }
        if !doubt {
            return Ok(Restoring::Never);
        }
        let last = self.last_task(placement, target, kind).await?;
        Ok(match last {
            None => Restoring::Never,
            Some(line) => match line.ended {
                None => Restoring::Running(line.upid),
                Some(exit) => Restoring::Ended(line.upid, exit),
            },
        })
    }
}

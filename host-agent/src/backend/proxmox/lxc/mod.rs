//! Containers: what is there (`probe`), how it is made (`act`).
//!
//! | stage | the restore call carries | what is looked at, and done if it is not so |
//! |---|---|---|
//! | restore | all of it | stamp, features, unprivileged; of a guest that comes back, everything |
//! | mac | `netN` with our MACs | each interface; PUT, and others are deleted |
//! | hostname | `hostname`, `onboot`, `protection`, `tags` | PUT |
//! | size | `rootfs=STORAGE:GiB`, `cores`, `memory` | PUT, resize (23 s, with the guest's lock held) |
//! | mounts | `mpN=STORAGE:GiB,mp=...` | one PUT for each volume, resize |
//! | start | | whether it runs; start |
//!
//! A guest that comes back (intent restore) keeps its interfaces, name and volumes.

mod check;
mod claim;
mod restore;
mod secrets;
mod start;
mod steps;
mod wanted;

use firstlight_shared::wire::Intent;
use serde_json::Value;

use self::check::VolumeStep;
use self::wanted::{Ground, Wanted};
use super::archive::Archive;
use super::client::endpoint::config::GuestConfig;
use super::fault::act_of_look;
use super::standing::{Ours, Standing};
use super::tasks::output;
use super::{Proxmox, standing};
use crate::backend::after_task;
use crate::backend::{Placement, Stage};
use crate::outcome::{Act, Fault, Followed, Probe};

impl Proxmox {
    pub(super) async fn probe_lxc(&self, stage: Stage, placement: &Placement) -> Result<Probe, Fault> {
        let standing = match stage {
            Stage::Restore => self.standing(placement).await?,
            _ => self.standing_just_seen(placement).await?,
        };
        match (stage, standing) {
            (Stage::Restore, standing) => self.probe_restored_container(placement, standing).await,
            (Stage::Start, Standing::Ours(ours)) => {
                self.probe_started_container(placement, &ours.guest).await
            }
            (_, Standing::Ours(ours)) => self.probe_configured(stage, placement, &ours).await,
            (_, Standing::Other(what)) => Ok(Probe::Foreign(what)),
            // `act` says why it cannot be done.
            (
                _,
                Standing::Free
                | Standing::Making(_)
                | Standing::Nascent(_)
                | Standing::Unfinished(_)
                | Standing::Hidden(_),
            ) => Ok(Probe::Absent),
        }
    }

    pub(super) async fn act_lxc(&self, stage: Stage, placement: &Placement) -> Act {
        if stage == Stage::Restore {
            return self.restore_container(placement).await;
        }
        let vmid = match standing::target(placement) {
            Ok(guest) => guest.vmid,
            Err(fault) => return Act::Refused(fault),
        };
        let just_seen = self.recent.get(vmid, &placement.job).filter(|_| stage == Stage::Start);
        self.recent.forget(vmid);
        let ours = match just_seen {
            Some(ours) => Ok(ours),
            None => self.ours(placement).await,
        };
        let ours = match ours {
            Ok(ours) => ours,
            Err(fault) => return act_of_look(fault),
        };
        match stage {
            Stage::Start => self.start_container(placement, &ours).await,
            _ => self.configure(stage, placement, &ours).await,
        }
    }

    /// A task of this stage has ended well: whether what it should have done is so.
    pub(super) async fn verify_lxc(
        &self,
        stage: Stage,
        placement: &Placement,
        remarks: Vec<String>,
    ) -> Followed {
        if stage == Stage::Restore {
            return self.verify_restored(placement, remarks).await;
        }
        let probed = match (stage, standing::target(placement)) {
            // Its task has ended well: whose it is was looked at before.
            (Stage::Start, Ok(guest)) => self.probe_started_container(placement, &guest).await,
            _ => self.probe_lxc(stage, placement).await,
        };
        match probed {
            Ok(Probe::Present(_)) => Followed::Done(output(stage, placement, remarks)),
            other => after_task(stage, other),
        }
    }

    async fn probe_configured(
        &self,
        stage: Stage,
        placement: &Placement,
        ours: &Ours,
    ) -> Result<Probe, Fault> {
        let (wanted, _) = self.wanted(placement).await?;
        if is_so(stage, &wanted, &ours.config) {
            return Ok(Probe::Present(output(stage, placement, Vec::new())));
        }
        if matches!(stage, Stage::Size | Stage::Mounts)
            && let Some(upid) = self.running_task(placement, &ours.guest, "resize").await?
        {
            return Ok(Probe::InFlight(upid.to_string()));
        }
        Ok(Probe::Absent)
    }

    /// What the container shall be, and the archive that it is made of.
    async fn wanted(&self, placement: &Placement) -> Result<(Wanted, Archive), Fault> {
        let node = standing::target(placement)?.node;
        let plan = &placement.plan;
        let archive = self.archive(plan, &node).await?;
        let storage = plan.place.storage.as_ref().or(self.defaults.storage.as_ref());
        let ground = Ground {
            archive: &archive,
            defaults: &self.defaults,
            storage: storage.map(String::as_str),
            env: self.has_env().await?,
        };
        Ok((Wanted::of(placement, &ground)?, archive))
    }
}

/// Whether nothing is left to do in this stage.
fn is_so(stage: Stage, wanted: &Wanted, config: &GuestConfig) -> bool {
    match stage {
        Stage::Mac => check::nets(wanted, config).is_empty(),
        Stage::Hostname => check::options(wanted, config).is_empty() && check::tags(wanted, config).is_none(),
        Stage::Size => {
            check::cores_and_memory(wanted, config).is_empty() && check::root(wanted, config).is_none()
        }
        Stage::Mounts => check::mounts(wanted, config).is_empty(),
        Stage::Restore | Stage::Start => true,
    }
}

//! mac, hostname, size, mounts: what the restore call did not do, is done by calls of their own.

use super::check::{self, Change};
use super::{Act, Fault, Ours, Placement, Probe, Proxmox, Stage, VolumeStep, Wanted};
use crate::backend::proxmox::client::endpoint::config::ChangeConfig;
use crate::backend::proxmox::client::endpoint::guest::{Guest, Resize};
use crate::backend::proxmox::client::verdict::Class;
use crate::backend::proxmox::fault::{act_of, act_of_look};
use crate::backend::proxmox::tasks::output;

/// A container has at most 256 mounts; none is worked on more than three times.
const MOST_STEPS: usize = 3 * 256;

impl Proxmox {
    pub(super) async fn configure(&self, stage: Stage, placement: &Placement, ours: &Ours) -> Act {
        let wanted = match self.wanted(placement).await {
            Ok((wanted, _)) => wanted,
            Err(fault) => return act_of_look(fault),
        };
        let done = match stage {
            Stage::Mac => self.change(ours, check::nets(&wanted, &ours.config)).await,
            Stage::Hostname => return self.name(placement, ours, &wanted).await,
            Stage::Size => self.size(ours, &wanted).await,
            Stage::Mounts => self.mount(placement, ours.clone(), &wanted).await,
            Stage::Restore | Stage::Start => Ok(()),
        };
        match done {
            Ok(()) => self.look_again(stage, placement).await,
            Err(ended) => ended,
        }
    }

    /// What a call answers is no proof.
    pub(super) async fn look_again(&self, stage: Stage, placement: &Placement) -> Act {
        match self.probe_lxc(stage, placement).await {
            Ok(Probe::Present(output)) => Act::Applied(output),
            Ok(Probe::InFlight(task)) => Act::Started(task),
            Ok(Probe::Foreign(what)) => Act::Refused(Fault::new("foreign", what)),
            Ok(Probe::Absent) => Act::Unknown(Fault::new(
                "not-as-wanted",
                format!("{stage:?} of `{}`: the change was taken, and is not there", placement.plan.name),
            )),
            Err(fault) => Act::Unknown(fault),
        }
    }

    /// Only if nobody else has changed the configuration since it was read.
    async fn change(&self, ours: &Ours, change: Change) -> Result<(), Act> {
        if change.is_empty() {
            return Ok(());
        }
        let call = ChangeConfig {
            guest: ours.guest.clone(),
            set: change.set,
            delete: change.delete,
            digest: ours.config.digest().map(str::to_owned),
        };
        self.client.send(&call).await.map_err(|error| act_of(&error))
    }

    /// Tags are a courtesy: where the token may not set them, the guest has none of ours.
    async fn name(&self, placement: &Placement, ours: &Ours, wanted: &Wanted) -> Act {
        if let Err(ended) = self.change(ours, check::options(wanted, &ours.config)).await {
            return ended;
        }
        if let Some(tags) = check::tags(wanted, &ours.config) {
            let set = vec![("tags".to_owned(), tags)];
            let call = ChangeConfig { guest: ours.guest.clone(), set, delete: Vec::new(), digest: None };
            match self.client.send(&call).await {
                Ok(()) => {}
                Err(error) if matches!(error.class, Class::Denied { .. }) => {
                    let remark = format!("no tags: {error}");
                    return match self.ours(placement).await {
                        Ok(now) if check::options(wanted, &now.config).is_empty() => {
                            Act::Applied(output(Stage::Hostname, placement, vec![remark]))
                        }
                        Ok(_) => Act::Unknown(Fault::from(&error)),
                        Err(fault) => act_of_look(fault),
                    };
                }
                Err(error) => return act_of(&error),
            }
        }
        self.look_again(Stage::Hostname, placement).await
    }

    async fn size(&self, ours: &Ours, wanted: &Wanted) -> Result<(), Act> {
        self.change(ours, check::cores_and_memory(wanted, &ours.config)).await?;
        match check::root(wanted, &ours.config) {
            Some(VolumeStep::Grow(key, bytes)) => self.grow(&ours.guest, key, bytes).await,
            Some(VolumeStep::Put(..)) | None => Ok(()),
        }
    }

    /// One volume after the other, each from the configuration as it is then.
    async fn mount(&self, placement: &Placement, mut ours: Ours, wanted: &Wanted) -> Result<(), Act> {
        let mut last = None;
        for _ in 0..MOST_STEPS {
            let Some(step) = check::mounts(wanted, &ours.config).into_iter().next() else { return Ok(()) };
            if last.as_ref() == Some(&step) {
                return Ok(()); // it was taken, and is not there
            }
            match step.clone() {
                VolumeStep::Put(key, value) => {
                    let change = Change { set: vec![(key, value)], delete: Vec::new() };
                    self.change(&ours, change).await?;
                }
                VolumeStep::Grow(key, bytes) => self.grow(&ours.guest, key, bytes).await?,
            }
            last = Some(step);
            ours = self.ours(placement).await.map_err(act_of_look)?;
        }
        Ok(())
    }

    async fn grow(&self, guest: &Guest, disk: String, bytes: u64) -> Result<(), Act> {
        match self.client.send(&Resize { guest: guest.clone(), disk, bytes }).await {
            Ok(Some(upid)) => Err(Act::Started(upid.to_string())),
            Ok(None) => Ok(()),
            Err(error) if error.class == Class::AlreadySo => Ok(()),
            Err(error) => Err(act_of(&error)),
        }
    }
}

//! Images that a killed restore left: no configuration names them, and Proxmox takes them for nobody's.

use std::time::Duration;

use tokio::time::Instant;

use super::restore_task;
use crate::backend::Placement;
use crate::backend::proxmox::Proxmox;
use crate::backend::proxmox::client::endpoint::guest::{Guest, Kind};
use crate::backend::proxmox::client::endpoint::storage::{ListContent, RemoveVolume, VolumeLine};
use crate::backend::proxmox::client::task::{Exit, TaskEnd};
use crate::backend::proxmox::client::verdict::{ApiError, Class};
use crate::backend::proxmox::standing::target;
use crate::backend::proxmox::tasks::ROOM_S;
use crate::outcome::{Fault, Undo};

/// Freeing an image takes a second or two.
const REMOVAL: Duration = Duration::from_secs(120);

/// An image of a VMID, and the storage that it is on.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Image {
    storage: String,
    volid: String,
    /// Made since the VMID was chosen. None: the storage does not know when it was made.
    ours: Option<bool>,
}

impl Proxmox {
    /// What is left of restores of ours whose guest is gone. Nothing is looked for while somebody has the VMID.
    pub(super) async fn remove_images(&self, placement: &Placement) -> Result<Undo, Fault> {
        let guest = target(placement)?;
        if !self.was_asked_for(placement, guest.vmid) {
            return Ok(Undo::Absent);
        }
        let tasks = self.own_tasks(placement, &guest, restore_task(placement)).await?;
        let ended_well = |exit: &str| matches!(Exit::parse(Some(exit)), Exit::Ok | Exit::Warnings(_));
        // A whole guest takes its images along, and an ordinary failure its own.
        if tasks.iter().all(|task| task.ended.as_deref().is_some_and(ended_well)) {
            return Ok(Undo::Absent);
        }
        if !self.is_free(guest.vmid).await? {
            return Ok(Undo::Absent);
        }
        let (mut unknown, mut failed) = (Vec::new(), None);
        for image in self.images(placement, &guest).await? {
            match image.ours {
                Some(true) => failed = self.remove(&guest, &image).await.err().or(failed),
                Some(false) => {} // it was there before us
                None => unknown.push(image.volid),
            }
        }
        match failed {
            Some(fault) => Err(fault),
            None if unknown.is_empty() => Ok(Undo::Absent),
            None => Err(unknown_images(&guest, &unknown)),
        }
    }

    /// Whether all images of the VMID were made since it was chosen: then Proxmox may remove them with the guest.
    pub(in crate::backend::proxmox) async fn has_only_our_images(
        &self,
        placement: &Placement,
        guest: &Guest,
    ) -> bool {
        match self.images(placement, guest).await {
            Ok(images) => images.iter().all(|image| image.ours == Some(true)),
            Err(fault) => {
                tracing::warn!(guest = %guest, error = %fault, "it is not known which images are left");
                false
            }
        }
    }

    /// On all storages of the node that take such images and can be asked.
    async fn images(&self, placement: &Placement, guest: &Guest) -> Result<Vec<Image>, Fault> {
        let content = match guest.kind {
            Kind::Lxc => "rootdir",
            Kind::Qemu => "images",
        };
        let since = placement.allocation.slot.as_ref().map_or(0, |slot| slot.since_s);
        let mut images = Vec::new();
        for storage in self.storages(&guest.node).await?.iter() {
            let Some(name) = storage.storage.as_ref().filter(|_| storage.active && storage.takes(content))
            else {
                continue;
            };
            let list = ListContent {
                node: guest.node.clone(),
                storage: name.clone(),
                content: None,
                vmid: Some(guest.vmid),
            };
            let volumes = self.ask(&list).await?;
            images.extend(volumes.iter().filter_map(|volume| image(volume, name, guest.vmid, since)));
        }
        Ok(images)
    }

    async fn remove(&self, guest: &Guest, image: &Image) -> Result<(), Fault> {
        let call = RemoveVolume {
            node: guest.node.clone(),
            storage: image.storage.clone(),
            volid: image.volid.clone(),
        };
        let by_hand = |fault: Fault| {
            fault.with_hint(format!("on {}, as root: `pvesm free {}`", guest.node, image.volid))
        };
        let upid = match self.client.send(&call).await {
            Ok(Some(upid)) => upid,
            Ok(None) | Err(ApiError { class: Class::Gone, .. }) => return Ok(()),
            Err(error) => return Err(by_hand(Fault::from(&error))),
        };
        match self.client.follow(&upid, Instant::now() + REMOVAL).await {
            TaskEnd::Done { .. } => Ok(()),
            TaskEnd::Failed { text, .. } | TaskEnd::Unknown { text } => {
                Err(by_hand(Fault::new("image-left", format!("{} is left: {text}", image.volid))))
            }
        }
    }
}

/// None: a backup, or another guest's.
fn image(volume: &VolumeLine, storage: &str, vmid: u32, since: u64) -> Option<Image> {
    let kept = matches!(volume.content.as_deref(), Some("rootdir" | "images") | None);
    (kept && volume.vmid == Some(vmid)).then(|| Image {
        storage: storage.to_owned(),
        volid: volume.volid.clone(),
        ours: volume.ctime.map(|made| made.saturating_add(ROOM_S) >= since),
    })
}

fn unknown_images(guest: &Guest, volids: &[String]) -> Fault {
    let commands: Vec<String> = volids.iter().map(|volid| format!("`pvesm free {volid}`")).collect();
    let message = format!(
        "images of VMID {} are left, and their storage does not tell when they were made: {}",
        guest.vmid,
        volids.join(", ")
    );
    let hint = format!("if they are of this bring-up: on {}, as root: {}", guest.node, commands.join(", "));
    Fault::new("images-left", message).with_hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_images_of_this_guest_made_since_it_was_chosen_are_ours() {
        let volume = |vmid, content: Option<&str>, ctime| VolumeLine {
            volid: "local:104/vm-104-disk-0.raw".to_owned(),
            content: content.map(str::to_owned),
            vmid,
            size: None,
            ctime,
            format: None,
        };
        let since = 1000;
        for (volume, expected) in [
            (volume(Some(104), Some("rootdir"), Some(1000)), Some(Some(true))),
            (volume(Some(104), Some("images"), Some(2000)), Some(Some(true))),
            (volume(Some(104), Some("images"), Some(1000 - ROOM_S)), Some(Some(true))),
            (volume(Some(104), Some("images"), Some(900)), Some(Some(false))),
            (volume(Some(104), Some("images"), None), Some(None)),
            (volume(Some(104), Some("backup"), Some(2000)), None),
            (volume(Some(105), Some("images"), Some(2000)), None),
            (volume(None, None, Some(2000)), None),
        ] {
            let shown = format!("{volume:?}");
            let found = image(&volume, "local", 104, since).map(|image| image.ours);
            assert_eq!(found, expected, "{shown}");
        }
    }
}

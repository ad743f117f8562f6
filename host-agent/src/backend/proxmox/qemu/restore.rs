//! The restore: one request that carries all that an archive of a machine may be given.

use std::time::Duration;

use firstlight_shared::wire::Intent;
use tokio::time::Instant;

use super::{net, smbios};
use crate::backend::proxmox::archive::Archive;
use crate::backend::proxmox::client::endpoint::guest::{Destroy, Guest};
use crate::backend::proxmox::client::endpoint::qemu::RestoreQemu;
use crate::backend::proxmox::client::properties::Properties;
use crate::backend::proxmox::client::task::TaskEnd;
use crate::backend::proxmox::client::verdict::{Class, classify_exit};
use crate::backend::proxmox::fault::act_of_look;
use crate::backend::proxmox::posts::elses;
use crate::backend::proxmox::settings::Defaults;
use crate::backend::proxmox::standing::{Standing, Unfinished, target};
use crate::backend::proxmox::{Proxmox, stamp, tasks};
use crate::backend::{Placement, Stage};
use crate::outcome::{Act, Fault, Probe};

const MIB: u64 = 1 << 20;
/// A removal takes less than a second, and waits for a lock for ten.
const REMOVAL: Duration = Duration::from_secs(60);

impl Proxmox {
    pub(super) async fn probe_restored_machine(&self, guest: &Placement) -> Result<Probe, Fault> {
        Ok(match self.standing(guest).await? {
            Standing::Ours(_) => Probe::Present(tasks::output(Stage::Restore, guest, Vec::new())),
            Standing::Making(upid) => Probe::InFlight(upid.to_string()),
            Standing::Other(what) if guest.plan.place.vmid.is_some() => Probe::Foreign(what),
            // Another VMID is chosen by `act`, or it says why it cannot go on.
            Standing::Other(_)
            | Standing::Nascent(_)
            | Standing::Free
            | Standing::Unfinished(_)
            | Standing::Hidden(_) => Probe::Absent,
        })
    }

    pub(super) async fn restore_machine(&self, guest: &Placement) -> Act {
        match self.settled_standing(guest).await {
            Ok(Standing::Free) => {}
            Ok(Standing::Other(what)) => return Act::Refused(elses(what)),
            Ok(Standing::Nascent(what)) => return Act::Unknown(Fault::new("in-flight", what)),
            Ok(Standing::Ours(_)) => return Act::Applied(tasks::output(Stage::Restore, guest, Vec::new())),
            Ok(Standing::Making(upid)) => return Act::Started(upid.to_string()),
            Ok(Standing::Unfinished(left)) if is_untouched(&left) => {
                if let Err(fault) = self.clear(guest, &left).await {
                    return Act::Unknown(fault);
                }
            }
            Ok(Standing::Unfinished(left)) => return Act::Refused(left.fault()),
            Ok(Standing::Hidden(fault)) => return Act::Refused(fault),
            Err(fault) => return act_of_look(fault),
        }
        let target = match target(guest) {
            Ok(target) => target,
            Err(fault) => return Act::Refused(fault),
        };
        let archive = match self.archive(&guest.plan, &target.node).await {
            Ok(archive) => archive,
            Err(fault) => return act_of_look(fault),
        };
        let request = match request(guest, &target, &archive, &self.defaults) {
            Ok(request) => request,
            Err(fault) => return Act::Refused(fault),
        };
        self.post(guest, target.vmid, self.client.send(&request)).await
    }

    /// Removes what a restore left that did not even begin.
    async fn clear(&self, placement: &Placement, left: &Unfinished) -> Result<(), Fault> {
        let unreferenced_disks = self.has_only_our_images(placement, &left.guest).await;
        let destroy = Destroy { guest: left.guest.clone(), force: false, unreferenced_disks };
        let upid = self.ask(&destroy).await?;
        match self.client.follow(&upid, Instant::now() + REMOVAL).await {
            TaskEnd::Done { .. } => Ok(()),
            TaskEnd::Failed { .. } | TaskEnd::Unknown { .. } => Err(left.fault()),
        }
    }
}

/// The worker of a restore waits for the machine's lock for one second, which any other call may hold for longer. Then it
/// has done nothing, and it may be asked for again.
fn is_untouched(left: &Unfinished) -> bool {
    left.removable && matches!(classify_exit(&left.task.kind, &left.exit), Class::Locked(_))
}

/// A provisioned machine gets all of its own; a restored one keeps its name, devices and UUID.
fn request(
    guest: &Placement,
    target: &Guest,
    archive: &Archive,
    defaults: &Defaults,
) -> Result<RestoreQemu, Fault> {
    let (plan, place) = (&guest.plan, &guest.plan.place);
    let provision = plan.intent == Intent::Provision;
    let archived = properties(archive, "smbios1");
    let uuid = if provision { own_uuid(guest)? } else { archived.get("uuid") };
    let net = match provision {
        true => net::devices(&plan.nics, &archive.nets(), &guest.allocation, &defaults.bridge)?,
        false => Vec::new(),
    };
    let off = |key| archive.flag(key).then_some(false);
    Ok(RestoreQemu {
        node: target.node.clone(),
        vmid: target.vmid,
        archive: plan.golden.clone(),
        storage: place.storage.clone().or_else(|| defaults.storage.clone()),
        pool: place.pool.clone().or_else(|| defaults.pool.clone()),
        name: provision.then(|| plan.name.to_string()),
        net,
        smbios1: Some(smbios::handed(&archived, uuid, &guest.claim).value),
        cores: plan.size.cores,
        memory_mib: plan.size.memory_bytes.map(|bytes| bytes.div_ceil(MIB)),
        description: Some(stamp::stamped(&guest.job, plan.name.as_str())),
        tags: tags(guest, archive, defaults),
        onboot: Some(plan.onboot.unwrap_or_default()),
        protection: off("protection"),
        template: off("template"),
    })
}

/// Without one, all machines of a golden would have its machine-id.
fn own_uuid(guest: &Placement) -> Result<Option<&str>, Fault> {
    let uuid = guest.allocation.slot.as_ref().and_then(|slot| slot.uuid.as_deref());
    match uuid {
        Some(uuid) => Ok(Some(uuid)),
        None => Err(Fault::new("internal", format!("no UUID was chosen for `{}`", guest.plan.name))),
    }
}

fn properties(archive: &Archive, key: &str) -> Properties {
    let Ok(properties) = archive.get(key).unwrap_or_default().parse();
    properties
}

/// Ours and the plan's; a restored machine keeps its own beside them.
fn tags(guest: &Placement, archive: &Archive, defaults: &Defaults) -> Option<String> {
    let kept = match guest.plan.intent {
        Intent::Provision => "",
        Intent::Restore => archive.get("tags").unwrap_or_default(),
    };
    let kept = kept.split([';', ',', ' ']).filter(|tag| !tag.is_empty());
    let mut tags: Vec<String> = Vec::new();
    let asked = defaults.tags.iter().chain(&guest.plan.tags).map(String::as_str);
    for tag in kept.chain(asked).map(str::to_lowercase) {
        if !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    (!tags.is_empty()).then(|| tags.join(";"))
}

#[cfg(test)]
mod tests;

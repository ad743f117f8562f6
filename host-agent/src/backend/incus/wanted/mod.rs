//! What an instance shall be: the plan and the allocation over what it has without us. Pure.

mod disks;
mod nics;

pub(in crate::backend::incus) use disks::{Volume, pools};
pub(in crate::backend::incus) use nics::{interfaces, macs_of, nic_names};

use std::collections::BTreeMap;

use firstlight_shared::wire::Intent;

use super::settings::Defaults;
use super::stamp;
use crate::backend::{Kind, Placement};
use crate::outcome::Fault;

/// Configuration keys with their values.
pub(in crate::backend::incus) type Config = BTreeMap<String, String>;
/// Devices by name.
pub(in crate::backend::incus) type Devices = BTreeMap<String, Config>;

/// What the instance has without us: its profiles' (of an image) or its own and theirs (of an export).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::backend::incus) struct Base {
    pub(in crate::backend::incus) config: Config,
    pub(in crate::backend::incus) devices: Devices,
    /// Networks that Incus manages itself, among those that the plan names.
    pub(in crate::backend::incus) managed: Vec<String>,
}

impl Base {
    pub(in crate::backend::incus) fn has_guest_api(&self) -> bool {
        self.config.get("security.guestapi").is_none_or(|value| is_true(value))
    }
}

fn is_true(value: &str) -> bool {
    matches!(value.to_ascii_lowercase().as_str(), "true" | "1" | "yes" | "on")
}

/// By the stage that sees to it. All of it travels in the call that makes the instance.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::backend::incus) struct Wanted {
    /// Stamp, claim and the machine-id that is fixed in advance.
    pub(in crate::backend::incus) identity: Config,
    pub(in crate::backend::incus) macs: Config,
    pub(in crate::backend::incus) nics: Devices,
    pub(in crate::backend::incus) options: Config,
    pub(in crate::backend::incus) limits: Config,
    /// The root disk, where it is not as the profiles have it.
    pub(in crate::backend::incus) root: Devices,
    pub(in crate::backend::incus) volumes: Vec<Volume>,
    /// Of the volumes.
    pub(in crate::backend::incus) mounts: Devices,
}

impl Wanted {
    /// # Errors
    /// What the plan asks for does not fit what there is; with the field's name.
    pub(in crate::backend::incus) fn of(
        placement: &Placement,
        base: &Base,
        defaults: &Defaults,
    ) -> Result<Self, Fault> {
        let plan = &placement.plan;
        let nics = match plan.intent {
            // The same guest again: its interfaces and their MACs are its own.
            Intent::Restore => nics::Nics::default(),
            Intent::Provision => nics::wanted(plan, &placement.allocation, base, defaults)?,
        };
        let disks = disks::wanted(plan, &placement.job, base, defaults)?;
        Ok(Self {
            identity: identity(placement, base),
            macs: nics.macs,
            nics: nics.devices,
            options: options(placement),
            limits: limits(placement),
            root: disks.root,
            volumes: disks.volumes,
            mounts: disks.mounts,
        })
    }

    /// Everything, for the call that makes it.
    pub(in crate::backend::incus) fn config(&self) -> Config {
        let parts = [&self.identity, &self.macs, &self.options, &self.limits];
        parts.into_iter().flatten().map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    pub(in crate::backend::incus) fn devices(&self) -> Devices {
        let parts = [&self.nics, &self.root, &self.mounts];
        parts.into_iter().flatten().map(|(name, device)| (name.clone(), device.clone())).collect()
    }
}

/// Of machines and containers.
pub(in crate::backend::incus) fn kind(placement: &Placement) -> Kind {
    placement.plan.kind.unwrap_or(Kind::Lxc)
}

fn identity(placement: &Placement, base: &Base) -> Config {
    let claim = placement.claim.to_one_line().to_string();
    let channel = if base.has_guest_api() { stamp::CLAIM } else { stamp::CLAIM_IN_ENVIRONMENT };
    let mut config =
        Config::from([(stamp::JOB.to_owned(), placement.job.clone()), (channel.to_owned(), claim)]);
    if let Some(uuid) = placement.allocation.slot.as_ref().and_then(|slot| slot.uuid.clone()) {
        // Becomes a machine's DMI product UUID; systemd in a container asks its first process's environment.
        let key = if kind(placement) == Kind::Lxc { "environment.container_uuid" } else { "volatile.uuid" };
        config.insert(key.to_owned(), uuid);
    }
    config
}

fn options(placement: &Placement) -> Config {
    let plan = &placement.plan;
    let mut config = Config::from([("boot.autostart".to_owned(), plan.onboot.unwrap_or(false).to_string())]);
    if !plan.tags.is_empty() {
        config.insert(stamp::TAGS.to_owned(), plan.tags.join(","));
    }
    config
}

fn limits(placement: &Placement) -> Config {
    let size = &placement.plan.size;
    let cores = size.cores.map(|cores| ("limits.cpu".to_owned(), cores.to_string()));
    let memory = size.memory_bytes.map(|bytes| ("limits.memory".to_owned(), size_text(bytes)));
    cores.into_iter().chain(memory).collect()
}

/// As Incus reads sizes, and people like to.
pub(in crate::backend::incus) fn size_text(bytes: u64) -> String {
    const MIB: u64 = 1024 * 1024;
    if bytes > 0 && bytes.is_multiple_of(MIB) { format!("{}MiB", bytes / MIB) } else { bytes.to_string() }
}

#[cfg(test)]
pub(in crate::backend::incus) mod testing;
#[cfg(test)]
mod tests;

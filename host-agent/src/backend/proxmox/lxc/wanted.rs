//! What a container shall be, from all that was asked for and chosen: pure. The restore call is written from it, and
//! every stage is compared with it.

mod nets;
mod volumes;

use firstlight_shared::paths::SECRET_VARIABLE;
use firstlight_shared::wire::{Claim, Intent};

use super::super::archive::Archive;
use super::super::client::endpoint::lxc::{RestoreLxc, environment};
use super::super::client::properties::Properties;
use super::super::standing::target;
use super::super::{Defaults, stamp};
use crate::backend::Placement;
use crate::outcome::Fault;

pub(super) use volumes::{Volume, path_of};

/// A variable that carries the claim; the guest's agent knows it by this name.
pub(super) const CLAIM: &str = "FIRSTLIGHT_CLAIM";
/// Becomes the machine-id of a guest whose own is empty.
pub(super) const UUID: &str = "container_uuid";

/// What is known beside the placement.
#[derive(Debug)]
pub(super) struct Ground<'a> {
    pub(super) archive: &'a Archive,
    pub(super) defaults: &'a Defaults,
    /// What plan or defaults say. None: each volume goes to the storage that it came from.
    pub(super) storage: Option<&'a str>,
    /// Whether this version hands variables to containers.
    pub(super) env: bool,
}

/// A container as it shall be. Restored ones (intent restore) keep what their archive has: there nets, volumes and
/// hostname are empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) node: String,
    pub(super) vmid: u32,
    pub(super) archive: String,
    pub(super) storage: Option<String>,
    pub(super) pool: Option<String>,
    pub(super) hostname: Option<String>,
    /// With the MACs that were chosen. It has no others.
    pub(super) nets: Vec<(u32, Properties)>,
    pub(super) root: Volume,
    pub(super) mounts: Vec<Volume>,
    /// Whether the volumes are said in the restore: then Proxmox takes none of the archive's.
    pub(super) says_volumes: bool,
    pub(super) cores: Option<u32>,
    pub(super) memory_mib: Option<u64>,
    pub(super) description: String,
    pub(super) tags: Vec<String>,
    pub(super) env: Option<String>,
    pub(super) onboot: bool,
    /// None: as the archive has it.
    pub(super) protection: Option<bool>,
}

impl Wanted {
    /// # Errors
    /// The archive has what no token can restore, or something that is wanted has no size.
    pub(super) fn of(placement: &Placement, ground: &Ground<'_>) -> Result<Self, Fault> {
        let guest = target(placement)?;
        let plan = &placement.plan;
        let common = Self {
            node: guest.node,
            vmid: guest.vmid,
            archive: plan.golden.clone(),
            // Left to itself, Proxmox takes `local` for all of it.
            storage: volumes::storage(ground, &ground.archive.rootfs().unwrap_or_default()).ok(),
            pool: plan.place.pool.clone().or_else(|| ground.defaults.pool.clone()),
            cores: plan.size.cores,
            memory_mib: plan.size.memory_bytes.map(|bytes| bytes.div_ceil(1 << 20)),
            description: stamp::stamped(&placement.job, plan.name.as_str()),
            tags: tags(&ground.defaults.tags, &plan.tags),
            env: ground.env.then(|| variables(placement, ground.archive)).transpose()?,
            onboot: plan.onboot.unwrap_or_default(),
            ..Self::default()
        };
        if plan.intent == Intent::Restore {
            return Ok(common);
        }
        let (root, mounts) = volumes::of(plan, ground)?;
        Ok(Self {
            hostname: Some(plan.name.as_str().to_owned()),
            nets: nets::of(placement, ground)?,
            says_volumes: plan.size.disk_bytes.is_some() || !plan.mounts.is_empty(),
            root,
            mounts,
            protection: ground.archive.flag("protection").then_some(false),
            ..common
        })
    }

    /// Everything in one call, as far as one call can.
    pub(super) fn restore(&self) -> RestoreLxc {
        let volumes = |volumes: &[Volume]| volumes.iter().map(|one| (one.number, one.creation())).collect();
        RestoreLxc {
            node: self.node.clone(),
            vmid: self.vmid,
            archive: self.archive.clone(),
            storage: self.storage.clone(),
            pool: self.pool.clone(),
            hostname: self.hostname.clone(),
            net: self.nets.clone(),
            rootfs: self.says_volumes.then(|| self.root.creation()),
            mounts: if self.says_volumes { volumes(&self.mounts) } else { Vec::new() },
            cores: self.cores,
            memory_mib: self.memory_mib,
            description: Some(self.description.clone()),
            tags: (!self.tags.is_empty()).then(|| self.tags.join(";")),
            env: self.env.clone(),
            onboot: Some(self.onboot),
            protection: self.protection,
            unprivileged: None,
        }
    }
}

/// As Proxmox keeps them: lower case, each once.
fn tags(ours: &[String], plan: &[String]) -> Vec<String> {
    let mut tags: Vec<String> = Vec::new();
    for tag in ours.iter().chain(plan).map(|tag| tag.to_ascii_lowercase()) {
        if !tag.is_empty() && !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    tags
}

/// The claim without its secret: a container's environment is readable on the node, in snapshots and in backups. A new
/// guest gets none of its golden's variables; one that comes back keeps its own.
fn variables(placement: &Placement, archive: &Archive) -> Result<String, Fault> {
    let claim = Claim { secret: None, ..placement.claim.clone() }.to_one_line();
    let uuid = placement.allocation.slot.as_ref().and_then(|slot| slot.uuid.as_deref());
    let ours: Vec<(&str, &str)> =
        [(CLAIM, claim.as_str())].into_iter().chain(uuid.map(|uuid| (UUID, uuid))).collect();
    let mut env = environment(&ours).map_err(|error| Fault::new("environment", error.to_string()))?;
    if placement.plan.intent == Intent::Restore {
        for own in archive.environment().into_iter().filter(|line| !is_ours(line)) {
            env.push('\0');
            env.push_str(own);
        }
    }
    Ok(env)
}

/// Of a variable as `NAME=TEXT`.
pub(super) fn is_ours(line: &str) -> bool {
    let is_one = |name: &str| name == CLAIM || name == UUID || name.starts_with(SECRET_VARIABLE);
    line.split_once('=').is_some_and(|(name, _)| is_one(name))
}

#[cfg(test)]
mod tests;

//! The root disk, and volumes of the guest's own.

use super::{Base, Config, Devices, size_text};
use crate::backend::incus::settings::Defaults;
use crate::backend::incus::stamp;
use crate::backend::{GuestPlan, Mount};
use crate::outcome::Fault;

/// A custom volume that we make, with our stamp.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::backend::incus) struct Volume {
    pub(in crate::backend::incus) pool: String,
    pub(in crate::backend::incus) name: String,
    pub(in crate::backend::incus) config: Config,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Disks {
    pub(super) root: Devices,
    pub(super) volumes: Vec<Volume>,
    pub(super) mounts: Devices,
}

/// The root disk of these devices, by name.
pub(in crate::backend::incus) fn root(devices: &Devices) -> Option<(&str, &Config)> {
    let is = |device: &Config, key: &str, value: &str| device.get(key).is_some_and(|found| found == value);
    let found = devices.iter().find(|(_, device)| is(device, "type", "disk") && is(device, "path", "/"));
    found.map(|(name, device)| (name.as_str(), device))
}

/// Those that root disk and volumes are made on, where that is not the profiles' own matter.
pub(in crate::backend::incus) fn pools(
    plan: &GuestPlan,
    base: &Base,
    defaults: &Defaults,
) -> Result<Vec<String>, Fault> {
    let disks = wanted(plan, "", base, defaults)?;
    let root = disks.root.into_values().filter_map(|mut device| device.remove("pool"));
    Ok(root.chain(disks.volumes.into_iter().map(|volume| volume.pool)).collect())
}

pub(super) fn wanted(plan: &GuestPlan, job: &str, base: &Base, defaults: &Defaults) -> Result<Disks, Fault> {
    let there = root(&base.devices);
    let asked = plan.place.storage.as_ref().or(defaults.pool.as_ref());
    let pool = asked.or_else(|| there.and_then(|(_, device)| device.get("pool")));
    let Some(pool) = pool else {
        return Err(Fault::new("no-pool", "storage: no pool is named, and the profiles have no root disk")
            .with_hint("storage = \"POOL\" in the spec, or incus.pool in the configuration"));
    };
    let mut disks = Disks { root: wanted_root(plan.size.disk_bytes, pool, there), ..Disks::default() };
    for (number, mount) in plan.mounts.iter().enumerate() {
        let volume = volume(plan, job, number, mount, pool);
        let device = [
            ("type", "disk"),
            ("pool", &volume.pool),
            ("source", &volume.name),
            ("path", &mount.path.to_string_lossy()),
        ];
        let device = device.map(|(key, value)| (key.to_owned(), value.to_owned()));
        disks.mounts.insert(format!("firstlight{number}"), Config::from(device));
        disks.volumes.push(volume);
    }
    Ok(disks)
}

/// Empty: it is as the profiles have it.
fn wanted_root(size: Option<u64>, pool: &str, there: Option<(&str, &Config)>) -> Devices {
    let (name, device) = there.map_or(("root", None), |(name, device)| (name, Some(device)));
    let mut wanted = device.cloned().unwrap_or_default();
    let own = [("type", "disk"), ("path", "/"), ("pool", pool)];
    wanted.extend(own.map(|(key, value)| (key.to_owned(), value.to_owned())));
    if let Some(bytes) = size {
        wanted.insert("size".to_owned(), size_text(bytes));
    }
    if device == Some(&wanted) { Devices::new() } else { Devices::from([(name.to_owned(), wanted)]) }
}

fn volume(plan: &GuestPlan, job: &str, number: usize, mount: &Mount, pool: &str) -> Volume {
    let guest = plan.name.as_str();
    let mut config =
        Config::from([(stamp::JOB.to_owned(), job.to_owned()), (stamp::GUEST.to_owned(), guest.to_owned())]);
    if let Some(bytes) = mount.size_bytes {
        config.insert("size".to_owned(), size_text(bytes));
    }
    Volume {
        pool: mount.storage.clone().unwrap_or_else(|| pool.to_owned()),
        name: stamp::volume(guest, number),
        config,
    }
}

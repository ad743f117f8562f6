//! Interfaces, each with a MAC of our choice.
//!
//! The MAC is written as `volatile.NAME.hwaddr`, where Incus keeps one that it has chosen itself: the interface stays its
//! profile's, and Incus drops the key from copies, which shall have MACs of their own. Only a device that names a MAC
//! itself is written anew, for its word goes first. Source: FillNetworkDevice in Incus' instance drivers.

use std::collections::BTreeSet;

use firstlight_shared::ids::MacAddress;

use super::{Base, Config, Devices};
use crate::backend::incus::settings::Defaults;
use crate::backend::{Allocation, GuestPlan, Nic};
use crate::outcome::Fault;

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Nics {
    pub(super) macs: Config,
    pub(super) devices: Devices,
}

/// Of devices, in the order of their numbers: `eth2` before `eth10`.
pub(in crate::backend::incus) fn nic_names(devices: &Devices) -> Vec<&str> {
    let mut names: Vec<&str> =
        devices.iter().filter(|(_, device)| is(device, "nic")).map(|(name, _)| name.as_str()).collect();
    names.sort_by_key(|name| {
        let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
        (stem, name[stem.len()..].parse::<u64>().ok())
    });
    names
}

/// How many interfaces the guest will have; a MAC is chosen for one that comes later, too.
pub(in crate::backend::incus) fn interfaces(plan: &GuestPlan, base: &Base) -> usize {
    let count = if plan.nics.is_empty() { nic_names(&base.devices).len() } else { plan.nics.len() };
    count.max(1)
}

/// Those of an instance that is there, in the order of its interfaces.
pub(in crate::backend::incus) fn macs_of(config: &Config, devices: &Devices) -> Vec<MacAddress> {
    let of = |name: &str| {
        let own = devices.get(name).and_then(|device| device.get("hwaddr"));
        own.or_else(|| config.get(&volatile(name)))?.parse().ok()
    };
    nic_names(devices).into_iter().filter_map(of).collect()
}

pub(super) fn wanted(
    plan: &GuestPlan,
    allocation: &Allocation,
    base: &Base,
    defaults: &Defaults,
) -> Result<Nics, Fault> {
    let mut devices = if plan.nics.is_empty() { Devices::new() } else { asked(plan, base, defaults)? };
    let mut all = base.devices.clone();
    all.extend(devices.clone());
    let mut macs = Config::new();
    let chosen = std::iter::once(&allocation.mac).chain(&allocation.more_macs);
    for (name, mac) in nic_names(&all).into_iter().zip(chosen) {
        macs.insert(volatile(name), mac.to_string());
        if all[name].contains_key("hwaddr") {
            let device = devices.entry(name.to_owned()).or_insert_with(|| all[name].clone());
            device.insert("hwaddr".to_owned(), mac.to_string());
        }
    }
    Ok(Nics { macs, devices })
}

/// The plan's interfaces take the place of those that are there, which keep their names.
fn asked(plan: &GuestPlan, base: &Base, defaults: &Defaults) -> Result<Devices, Fault> {
    let there = nic_names(&base.devices);
    let taken: BTreeSet<&str> = base.devices.keys().map(String::as_str).collect();
    let free = (0..).map(|number| format!("eth{number}")).filter(|name| !taken.contains(name.as_str()));
    let names = there.iter().map(|name| (*name).to_owned()).chain(free);
    let mut devices = Devices::new();
    for (number, (nic, name)) in plan.nics.iter().zip(names).enumerate() {
        let model = there.get(number).or_else(|| there.first()).and_then(|name| base.devices.get(*name));
        let device = device(nic, &name, model, base, defaults)
            .map_err(|problem| Fault::new("no-network", format!("nics[{number}]: {problem}")))?;
        devices.insert(name, device);
    }
    for name in there.iter().skip(plan.nics.len()) {
        devices.insert((*name).to_owned(), Config::from([("type".to_owned(), "none".to_owned())]));
    }
    Ok(devices)
}

fn device(
    nic: &Nic,
    name: &str,
    model: Option<&Config>,
    base: &Base,
    defaults: &Defaults,
) -> Result<Config, String> {
    let network = nic.bridge.as_ref().or(defaults.network.as_ref());
    let mut device = match (network, model) {
        (Some(network), _) if base.managed.contains(network) => of([("network", network.as_str())]),
        (Some(bridge), _) => of([("nictype", "bridged"), ("parent", bridge.as_str())]),
        (None, Some(model)) => model.clone(),
        (None, None) => {
            return Err("no bridge is named, and the profiles have no interface to go by".to_owned());
        }
    };
    device.insert("type".to_owned(), "nic".to_owned());
    // The guest's own name for it; another's, where the device was only a model.
    let own = base.devices.get(name).and_then(|device| device.get("name")).cloned();
    device.insert("name".to_owned(), own.unwrap_or_else(|| name.to_owned()));
    if let Some(vlan) = nic.vlan {
        device.insert("vlan".to_owned(), vlan.to_string());
    }
    if let Some(address) = nic.address.as_deref().filter(|address| *address != "dhcp") {
        // What Incus' own DHCP hands out; nothing is written into the guest.
        let address = address.split('/').next().unwrap_or(address);
        device.insert("ipv4.address".to_owned(), address.to_owned());
    }
    Ok(device)
}

fn volatile(name: &str) -> String {
    format!("volatile.{name}.hwaddr")
}

fn is(device: &Config, kind: &str) -> bool {
    device.get("type").is_some_and(|found| found == kind)
}

fn of<const N: usize>(pairs: [(&str, &str); N]) -> Config {
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

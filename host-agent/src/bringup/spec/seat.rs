//! Where a guest sits: node, storages, number, interfaces, volumes, tags. Pure.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Component, PathBuf};

use serde::Deserialize;

use super::SpecError;
use super::entry::Place;
use crate::backend::{Mount, Nic, Place as Seat};
use crate::config::names::{VLANS, VMIDS, is_pool, is_tag, is_word};

const WORD: &str = "a name of letters, digits and `-_.` is wanted";

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MountEntry {
    path: PathBuf,
    size: Option<String>,
    storage: Option<String>,
    backup: Option<bool>,
}

/// Numbers wider than they may be, so that what is wrong is said in our words.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NicEntry {
    bridge: Option<String>,
    vlan: Option<i64>,
    address: Option<String>,
    gateway: Option<String>,
    firewall: Option<bool>,
}

pub(super) fn resolve_seat(seat: Seat, guests: usize, place: &Place<'_>) -> Result<Seat, SpecError> {
    let words = [
        ("node", &seat.node),
        ("storage", &seat.storage),
        ("remote", &seat.remote),
        ("project", &seat.project),
    ];
    for (field, value) in words {
        if let Some(value) = value.as_ref().filter(|value| !is_word(value)) {
            return Err(place.wrong(field, value, WORD));
        }
    }
    if let Some(pool) = seat.pool.as_ref().filter(|pool| !is_pool(pool)) {
        return Err(place.wrong("pool", pool, "a pool's name is wanted, `lab` or `lab/web` for one"));
    }
    match seat.vmid {
        Some(vmid) if !VMIDS.contains(&vmid) => Err(place.wrong("vmid", vmid, "100 to 999999999 is wanted")),
        Some(vmid) if guests > 1 => {
            Err(place.wrong("vmid", vmid, "several guests cannot have one number: leave it out"))
        }
        _ => Ok(seat),
    }
}

pub(super) fn resolve_nics(
    entries: &[NicEntry],
    guests: usize,
    place: &Place<'_>,
) -> Result<Vec<Nic>, SpecError> {
    let nics = entries.iter().map(|entry| entry.resolve(place)).collect::<Result<Vec<_>, _>>()?;
    let fixed = |nic: &&Nic| nic.address.as_ref().is_some_and(|address| address != DHCP);
    match nics.iter().find(fixed) {
        Some(nic) if guests > 1 => {
            let problem = "several guests cannot have one address: use \"dhcp\", or a [[guest]] for each";
            Err(place.wrong("nics.address", nic.address.as_deref().unwrap_or_default(), problem))
        }
        _ => Ok(nics),
    }
}

const DHCP: &str = "dhcp";

impl NicEntry {
    fn resolve(&self, place: &Place<'_>) -> Result<Nic, SpecError> {
        if let Some(bridge) = self.bridge.as_ref().filter(|bridge| !is_word(bridge)) {
            return Err(place.wrong("nics.bridge", bridge, WORD));
        }
        let vlan = match self.vlan.map(|vlan| (vlan, u16::try_from(vlan))) {
            None => None,
            Some((_, Ok(vlan))) if VLANS.contains(&vlan) => Some(vlan),
            Some((vlan, _)) => return Err(place.wrong("nics.vlan", vlan, "1 to 4094 is wanted")),
        };
        let network = match self.address.as_deref() {
            None | Some(DHCP) => None,
            Some(address) => Some(parse_network(address).ok_or_else(|| {
                let problem = "\"dhcp\", or an IPv4 address with the length of its network, \"10.0.0.5/24\" for one, is wanted";
                place.wrong("nics.address", address, problem)
            })?),
        };
        let gateway = self.gateway.as_deref().map(|gateway| resolve_gateway(gateway, network, place));
        let nic = Nic {
            bridge: self.bridge.clone(),
            vlan,
            address: self.address.clone(),
            gateway: gateway.transpose()?,
            firewall: self.firewall,
        };
        if nic.gateway_is_beyond() {
            let given = self.gateway.as_deref().unwrap_or_default();
            let network = self.address.as_deref().unwrap_or_default();
            let problem = format!(
                "it is no host of the network of {network}; an address of its own, with /32, may have any gateway"
            );
            return Err(place.wrong("nics.gateway", given, &problem));
        }
        Ok(nic)
    }
}

/// `10.0.0.5/24`: an address that a host of that network may have.
fn parse_network(text: &str) -> Option<(Ipv4Addr, u8)> {
    let (address, length) = text.split_once('/')?;
    let address: Ipv4Addr = address.parse().ok()?;
    let digits = !length.is_empty() && length.bytes().all(|b| b.is_ascii_digit());
    let length: u8 = length.parse().ok().filter(|length| digits && (1..=32).contains(length))?;
    let unfit =
        address.is_unspecified() || address.is_multicast() || address.is_broadcast() || address.is_loopback();
    let host_bits = u32::MAX.checked_shr(length.into()).unwrap_or(0);
    let host = address.to_bits() & host_bits;
    // A network of two hosts, or of one, has no addresses of its own.
    let whole = length < 31 && (host == 0 || host == host_bits);
    (!unfit && !whole).then_some((address, length))
}

fn resolve_gateway(
    text: &str,
    network: Option<(Ipv4Addr, u8)>,
    place: &Place<'_>,
) -> Result<IpAddr, SpecError> {
    let wrong = |problem| place.wrong("nics.gateway", text, problem);
    let gateway: Ipv4Addr = text.parse().map_err(|_| wrong("an IPv4 address is wanted"))?;
    match network {
        None => Err(wrong("it goes with an address of its own: DHCP tells the guest its gateway")),
        Some((address, _)) if address == gateway => Err(wrong("it is the guest's own address")),
        Some(_) => Ok(gateway.into()),
    }
}

pub(super) fn check_tags(tags: &[String], place: &Place<'_>) -> Result<Vec<String>, SpecError> {
    let mut found: Vec<String> = Vec::new();
    for tag in tags {
        if !is_tag(tag) {
            let problem = "small letters, digits and `_` are wanted, then also `+.-`";
            return Err(place.wrong("tags", tag, problem));
        }
        if !found.contains(tag) {
            found.push(tag.clone());
        }
    }
    Ok(found)
}

pub(super) fn resolve_mounts(entries: &[MountEntry], place: &Place<'_>) -> Result<Vec<Mount>, SpecError> {
    let mut mounts: Vec<Mount> = Vec::new();
    for entry in entries {
        let shown = entry.path.display().to_string();
        let plain = entry.path.components().skip(1).all(|part| matches!(part, Component::Normal(_)));
        if !entry.path.is_absolute() || !plain || has_unfit(&shown) || shown.len() < 2 {
            let problem =
                "an absolute path below `/` without `..`, `:`, `,` and control characters is wanted";
            return Err(place.wrong("mounts.path", shown, problem));
        }
        if mounts.iter().any(|other| other.path == entry.path) {
            return Err(place.wrong("mounts.path", shown, "two volumes cannot be mounted at one place"));
        }
        if let Some(storage) = entry.storage.as_ref().filter(|storage| !is_word(storage)) {
            return Err(place.wrong("mounts.storage", storage, WORD));
        }
        mounts.push(Mount {
            path: entry.path.clone(),
            size_bytes: place.size("mounts.size", entry.size.as_ref())?,
            storage: entry.storage.clone(),
            backup: entry.backup,
        });
    }
    Ok(mounts)
}

/// What ends a value in nspawn's or in Proxmox's lists.
fn has_unfit(path: &str) -> bool {
    path.contains(|letter: char| letter == ':' || letter == ',' || letter.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_one_that_a_host_may_have() {
        for good in ["10.0.0.5/24", "192.168.1.254/24", "10.0.0.0/31", "10.0.0.1/32", "172.16.0.1/1"] {
            assert!(parse_network(good).is_some(), "{good}");
        }
        for wrong in [
            "",
            "10.0.0.5",
            "10.0.0.5/",
            "10.0.0.5/0",
            "10.0.0.5/33",
            "10.0.0.5/+8",
            "10.0.0.0/24",
            "10.0.0.255/24",
            "0.0.0.0/8",
            "224.0.0.1/8",
            "127.0.0.1/8",
            "255.255.255.255/32",
            "fd00::1/64",
            "10.0.0.5/24,gw=1",
            "dhcp ",
        ] {
            assert_eq!(parse_network(wrong), None, "{wrong}");
        }
    }
}

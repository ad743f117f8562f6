//! Chooses MACs and the machine-id. Touches nothing: the guest's name is its id.

use std::net::IpAddr;

use firstlight_shared::ids::MacAddress;
use firstlight_shared::wire::Intent;

use super::Incus;
use super::client::Client;
use super::export;
use super::golden::{Golden, golden};
use super::wanted::interfaces;
use crate::backend::{Allocation, GuestPlan, Nic, Slot, Taken};
use crate::clock::now_ms;
use crate::outcome::Fault;

/// Incus' own. A network refuses a MAC that another instance on it has.
const PREFIX: [u8; 3] = [0x10, 0x66, 0x6a];

impl Incus {
    /// # Errors
    /// An address that is asked for is another guest's, or the guest that is to come back has no MAC, or a taken one.
    pub(super) async fn choose(&self, plan: &GuestPlan, taken: &Taken) -> Result<Allocation, Fault> {
        let client = self.site(&plan.place)?;
        let addresses = static_addresses(&plan.nics);
        if let Some(address) = addresses.iter().find(|address| taken.addresses.contains(address)) {
            return Err(Fault::new("address-taken", format!("nics: another guest has {address} already")));
        }
        let (mac, more_macs) = match (plan.intent, golden(plan)) {
            (Intent::Restore, Golden::Export(file)) => kept(&export::macs(&file).await?, &taken.macs)?,
            _ => new(interfaces(plan, &self.base(&client, plan).await?), &taken.macs, rand::random),
        };
        let uuid = (plan.intent == Intent::Provision).then(|| uuid_v4(rand::random()));
        let slot =
            Slot { id: plan.name.to_string(), node: node(&client, plan), uuid, since_s: now_ms() / 1000 };
        Ok(Allocation { mac, more_macs, addresses, slot: Some(slot) })
    }

    /// What a bring-up works on, for limits.
    pub(super) fn resources_of(&self, plan: &GuestPlan) -> Vec<String> {
        let Ok(client) = self.site(&plan.place) else { return Vec::new() };
        let pool = plan.place.storage.as_deref().or(self.defaults.pool.as_deref()).unwrap_or("default");
        vec![format!("node:{}", node(&client, plan)), format!("storage:{}/{pool}", client.remote())]
    }
}

/// The remote, or one member of a cluster.
fn node(client: &Client, plan: &GuestPlan) -> String {
    match &plan.place.node {
        Some(member) => format!("{}/{member}", client.remote()),
        None => client.remote().to_owned(),
    }
}

fn new(count: usize, used: &[MacAddress], random: impl Fn() -> [u8; 3]) -> (MacAddress, Vec<MacAddress>) {
    let [a, b, c] = PREFIX;
    let mut used = used.to_vec();
    let mut free = || loop {
        let [d, e, f] = random();
        let mac = MacAddress([a, b, c, d, e, f]);
        if !used.contains(&mac) {
            used.push(mac);
            return mac;
        }
    };
    let first = free();
    (first, (1..count).map(|_| free()).collect())
}

/// Those of the guest that is to come back.
fn kept(own: &[MacAddress], taken: &[MacAddress]) -> Result<(MacAddress, Vec<MacAddress>), Fault> {
    let Some((first, others)) = own.split_first() else {
        return Err(Fault::new("no-mac", "golden: no interface in it has a MAC that could come back")
            .with_hint("restore it by hand, or make a new guest of it: intent = \"provision\""));
    };
    if let Some(mac) = own.iter().find(|mac| taken.contains(mac)) {
        return Err(Fault::new("mac-taken", format!("golden: a guest that is there has its MAC {mac}"))
            .with_hint("destroy the guest that is to come back, then restore it"));
    }
    Ok((*first, others.to_vec()))
}

/// Of interfaces in their order; those that ask a server for theirs have none.
fn static_addresses(nics: &[Nic]) -> Vec<IpAddr> {
    nics.iter().filter_map(|nic| nic.address.as_deref()?.split('/').next()?.parse().ok()).collect()
}

fn uuid_v4(mut bytes: [u8; 16]) -> String {
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let digits = hex::encode(bytes);
    [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn mac(last: u8) -> MacAddress {
        MacAddress([0x10, 0x66, 0x6a, 0, 0, last])
    }

    #[test]
    fn new_macs_are_neither_known_ones_nor_each_other() {
        let count = Cell::new(0_u8);
        // Each number twice.
        let random = || {
            count.set(count.get() + 1);
            [0, 0, count.get() / 2]
        };
        assert_eq!(new(3, &[mac(0), mac(2)], random), (mac(1), vec![mac(3), mac(4)]));
    }

    #[test]
    fn a_guest_that_comes_back_has_its_own_and_nobody_else_has() {
        assert_eq!(kept(&[mac(1), mac(2)], &[mac(3)]), Ok((mac(1), vec![mac(2)])));
        assert_eq!(kept(&[mac(1), mac(2)], &[mac(2)]).unwrap_err().code, "mac-taken");
        assert_eq!(kept(&[], &[]).unwrap_err().code, "no-mac");
    }

    #[test]
    fn a_uuid_is_random_and_of_version_4() {
        assert_eq!(uuid_v4([0xff; 16]), "ffffffff-ffff-4fff-bfff-ffffffffffff");
    }

    #[test]
    fn addresses_that_are_said_are_held() {
        let nic = |address: &str| Nic { address: Some(address.to_owned()), ..Nic::default() };
        let found = static_addresses(&[nic("dhcp"), nic("10.0.0.5/24"), Nic::default()]);
        assert_eq!(found, ["10.0.0.5".parse::<IpAddr>().unwrap()]);
    }
}

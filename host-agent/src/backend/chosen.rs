//! What is chosen for a new guest, whatever the hypervisor: MACs, addresses and a UUID. Pure, but for the random bits that
//! it is given.

use std::net::IpAddr;

use firstlight_shared::ids::MacAddress;

use super::{Nic, Taken};
use crate::outcome::Fault;

/// New ones: the first, and those of further interfaces.
pub(super) fn new_macs(
    prefix: [u8; 3],
    count: usize,
    used: &[MacAddress],
    random: impl Fn() -> [u8; 3],
) -> (MacAddress, Vec<MacAddress>) {
    let [a, b, c] = prefix;
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
pub(super) fn kept_macs(
    golden: &[MacAddress],
    taken: &[MacAddress],
) -> Result<(MacAddress, Vec<MacAddress>), Fault> {
    let Some((first, others)) = golden.split_first() else {
        return Err(Fault::new("no-mac", "golden: no interface in it has a MAC that could come back")
            .with_hint("restore it by hand, or make a new guest of it: intent = \"provision\""));
    };
    if let Some(mac) = golden.iter().find(|mac| taken.contains(mac)) {
        return Err(Fault::new("mac-taken", format!("golden: a guest that is there has its MAC {mac}"))
            .with_hint("destroy the guest that is to come back, then restore it"));
    }
    Ok((*first, others.to_vec()))
}

/// Addresses that the plan names for its interfaces.
///
/// # Errors
/// Another guest has one of them.
pub(super) fn addresses(nics: &[Nic], taken: &Taken) -> Result<Vec<IpAddr>, Fault> {
    let addresses = static_addresses(nics);
    match addresses.iter().find(|address| taken.addresses.contains(address)) {
        Some(address) => {
            Err(Fault::new("address-taken", format!("nics: another guest has {address} already")))
        }
        None => Ok(addresses),
    }
}

/// Of interfaces in their order; those that ask a server for theirs have none.
fn static_addresses(nics: &[Nic]) -> Vec<IpAddr> {
    nics.iter().filter_map(|nic| nic.address.as_deref()?.split('/').next()?.parse().ok()).collect()
}

pub(super) fn uuid_v4(mut bytes: [u8; 16]) -> String {
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
        MacAddress([0xbc, 0x24, 0x11, 0, 0, last])
    }

    #[test]
    fn new_macs_are_neither_known_ones_nor_each_other() {
        let count = Cell::new(0_u8);
        // Each number twice.
        let random = || {
            count.set(count.get() + 1);
            [0, 0, count.get() / 2]
        };
        let (first, others) = new_macs([0xbc, 0x24, 0x11], 3, &[mac(0), mac(2)], random);
        assert_eq!((first, others), (mac(1), vec![mac(3), mac(4)]));
        let (_, others) = new_macs([0xbc, 0x24, 0x11], 1, &[], rand::random);
        assert!(others.is_empty());
    }

    #[test]
    fn a_guest_that_comes_back_has_its_own_and_nobody_else_has() {
        assert_eq!(kept_macs(&[mac(1), mac(2)], &[mac(3)]), Ok((mac(1), vec![mac(2)])));
        assert_eq!(kept_macs(&[mac(1), mac(2)], &[mac(2)]).unwrap_err().code, "mac-taken");
        assert_eq!(kept_macs(&[], &[]).unwrap_err().code, "no-mac");
    }

    #[test]
    fn a_uuid_is_random_and_of_version_4() {
        assert_eq!(uuid_v4([0xff; 16]), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(uuid_v4([0; 16]), "00000000-0000-4000-8000-000000000000");
    }

    #[test]
    fn addresses_that_are_said_are_held() {
        let nic = |address: &str| Nic { address: Some(address.to_owned()), ..Nic::default() };
        let nics = [nic("dhcp"), nic("10.0.0.5/24"), Nic::default(), nic("10.1.0.5/16")];
        let found: Vec<String> = static_addresses(&nics).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["10.0.0.5", "10.1.0.5"]);
    }
}

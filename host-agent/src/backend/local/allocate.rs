//! Chooses MACs and addresses that nobody has.

use std::collections::HashMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use firstlight_shared::ids::{GuestName, MacAddress};
use rand::TryRng;
use rand::rngs::SysRng;

use super::names::{GATEWAY, GUEST_OCTETS, Names};
use super::stamp;
use crate::backend::{Allocation, Taken};
use crate::outcome::Fault;

/// First three bytes of our MACs: locally administered.
const PREFIX: [u8; 3] = [0x02, 0xf1, 0x57];
/// How long a choice is held for a caller that has not written it down yet.
const HOLD: Duration = Duration::from_secs(60);

/// Choices made lately, so that two bring-ups at the same moment do not get the same.
#[derive(Debug, Default)]
pub(super) struct Allocator {
    held: HashMap<GuestName, (Instant, Allocation)>,
}

impl Allocator {
    pub(super) fn choose(
        &mut self,
        names: &Names,
        name: &GuestName,
        taken: &Taken,
    ) -> Result<Allocation, Fault> {
        self.held.retain(|holder, (since, _)| since.elapsed() < HOLD && holder != name);
        let mut used = taken.clone();
        for allocation in present(names).into_iter().chain(self.held.values().map(|held| held.1.clone())) {
            used.macs.push(allocation.mac);
            used.addresses.extend(allocation.addresses);
        }
        let address = free_address(&used.addresses).ok_or_else(|| {
            Fault::new(
                "no-free-address",
                format!("all {} addresses of guests are taken", GUEST_OCTETS.count()),
            )
            .with_hint("destroy guests that are not needed: `firstlight destroy GUEST`")
        })?;
        let allocation = Allocation {
            mac: free_mac(&used.macs)?,
            more_macs: Vec::new(),
            addresses: vec![address],
            slot: None,
        };
        self.held.insert(name.clone(), (Instant::now(), allocation.clone()));
        Ok(allocation)
    }
}

/// What guests have whose folders are there, whatever their caller remembers of them.
fn present(names: &Names) -> Vec<Allocation> {
    let folders = fs::read_dir(names.guests_folder()).into_iter().flatten().flatten();
    let stamps = folders.filter_map(|entry| stamp::read(&entry.path().join("stamp.json")));
    stamps
        .map(|stamp| Allocation {
            mac: stamp.mac,
            more_macs: Vec::new(),
            addresses: stamp.addresses,
            slot: None,
        })
        .collect()
}

fn free_address(used: &[IpAddr]) -> Option<IpAddr> {
    let [a, b, c, _] = GATEWAY.octets();
    GUEST_OCTETS.map(|last| IpAddr::V4(Ipv4Addr::new(a, b, c, last))).find(|address| !used.contains(address))
}

fn free_mac(used: &[MacAddress]) -> Result<MacAddress, Fault> {
    loop {
        let mut random = [0; 3];
        SysRng.try_fill_bytes(&mut random).map_err(|error| {
            Fault::new("no-randomness", format!("the kernel gives no random bytes: {error}"))
        })?;
        let mac = MacAddress::local(PREFIX, random);
        if !used.contains(&mac) {
            return Ok(mac);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::placement;
    use super::*;

    #[test]
    fn never_what_is_taken_held_or_present() {
        let state = tempfile::tempdir().unwrap();
        let names = Names::new(state.path().into());
        let guest = placement("web-01", "job-1"); // has 10.77.0.10
        stamp::ensure_stamped(&names, &guest).unwrap();
        let taken = Taken { addresses: vec!["10.77.0.11".parse().unwrap()], ..Taken::default() };
        let mut allocator = Allocator::default();
        let mut choose = |name: &str| allocator.choose(&names, &name.parse().unwrap(), &taken).unwrap();
        let (first, second, again) = (choose("a"), choose("b"), choose("a"));
        assert_eq!(first.addresses, ["10.77.0.12".parse::<IpAddr>().unwrap()]);
        assert_eq!(second.addresses, ["10.77.0.13".parse::<IpAddr>().unwrap()]);
        assert_eq!(again.addresses, first.addresses);
        assert_ne!(first.mac, second.mac);
        assert_eq!(first.mac.0[..3], PREFIX);
    }

    #[test]
    fn a_full_network_is_said() {
        let all: Vec<IpAddr> = GUEST_OCTETS.map(|last| IpAddr::from([10, 77, 0, last])).collect();
        assert_eq!(free_address(&all), None);
        assert_eq!(free_address(&all[1..]), Some("10.77.0.10".parse().unwrap()));
    }
}

//! MACs: 24 random bits behind the cluster's prefix, apart from those that we know of. What other guests of the cluster
//! have is not read: that would be a call for each of them, and a token sees only some. With a thousand others, the
//! chance to meet one of theirs is 1 in 16,000.

use firstlight_shared::ids::MacAddress;

use super::super::archive::Archive;
use crate::outcome::Fault;

/// Of the archive's interfaces, in their order.
pub(super) fn of(archive: &Archive) -> Vec<MacAddress> {
    archive.nets().iter().filter_map(|(_, net)| net.mac()?.parse().ok()).collect()
}

/// New ones: the first, and those of further interfaces.
pub(super) fn new(
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
pub(super) fn kept(
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
        let (first, others) = new([0xbc, 0x24, 0x11], 3, &[mac(0), mac(2)], random);
        assert_eq!((first, others), (mac(1), vec![mac(3), mac(4)]));
        let (_, others) = new([0xbc, 0x24, 0x11], 1, &[], rand::random);
        assert!(others.is_empty());
    }

    #[test]
    fn a_guest_that_comes_back_has_its_own_and_nobody_else_has() {
        assert_eq!(kept(&[mac(1), mac(2)], &[mac(3)]), Ok((mac(1), vec![mac(2)])));
        assert_eq!(kept(&[mac(1), mac(2)], &[mac(2)]).unwrap_err().code, "mac-taken");
        assert_eq!(kept(&[], &[]).unwrap_err().code, "no-mac");
    }
}

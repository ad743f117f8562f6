//! Interfaces and addresses as the kernel lists them, and the routing table as text.

use std::collections::BTreeMap;
use std::net::IpAddr;

use firstlight_shared::ids::MacAddress;
use firstlight_shared::wire::{Address, Interface};
use nix::net::if_::InterfaceFlags;
use nix::sys::socket::SockaddrStorage;

/// All interfaces but loopback ones, by name. An error of the kernel shows as no interfaces.
pub(super) fn interfaces() -> Vec<Interface> {
    let mut found: BTreeMap<String, Interface> = BTreeMap::new();
    for entry in nix::ifaddrs::getifaddrs().into_iter().flatten() {
        if entry.flags.contains(InterfaceFlags::IFF_LOOPBACK) {
            continue;
        }
        let interface = found.entry(entry.interface_name.clone()).or_insert_with(|| Interface {
            name: entry.interface_name.clone(),
            mac: None,
            up: entry.flags.contains(InterfaceFlags::IFF_UP),
            addresses: Vec::new(),
        });
        if let Some(mac) = entry.address.as_ref().and_then(|a| a.as_link_addr()).and_then(|link| link.addr())
        {
            interface.mac = Some(MacAddress(mac)).filter(|mac| mac.0 != [0; 6]);
        } else if let Some(address) = entry.address.as_ref().and_then(ip_of) {
            let prefix = entry.netmask.as_ref().and_then(ip_of).map_or(0, prefix_of);
            interface.addresses.push(Address { address, prefix });
        }
    }
    found.into_values().collect()
}

fn ip_of(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
}

fn prefix_of(mask: IpAddr) -> u8 {
    let ones = match mask {
        IpAddr::V4(mask) => u32::from(mask).count_ones(),
        IpAddr::V6(mask) => u128::from(mask).count_ones(),
    };
    u8::try_from(ones).unwrap_or(0)
}

/// Whether one of the two tables (/proc/net/route, /proc/net/ipv6_route) has a default route that is not the
/// kernel's own reject entry on `lo`.
pub(crate) fn has_default_route(v4: &str, v6: &str) -> bool {
    let v4_default = v4.lines().skip(1).any(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        matches!(fields.as_slice(), [name, "00000000", _, _, _, _, _, "00000000", ..] if *name != "lo")
    });
    let nowhere = "0".repeat(32);
    let v6_default = v6.lines().any(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        matches!(fields.as_slice(), [to, "00", .., name] if *to == nowhere && *name != "lo")
    });
    v4_default || v6_default
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n";

    #[test]
    fn default_routes_are_told_from_others() {
        let through_gateway = format!("{HEAD}eth0\t00000000\t01004D0A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n");
        let link = format!("{HEAD}eth0\t00004D0A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n");
        assert!(has_default_route(&through_gateway, ""));
        assert!(!has_default_route(&link, ""));
        let zero = "0".repeat(32);
        let route = |name: &str| format!("{zero} 00 {zero} 00 fe80 00000400 1 0 00000003 {name}\n");
        assert!(has_default_route("", &route("eth0")));
        assert!(!has_default_route("", &route("lo")));
        assert!(!has_default_route("garbage", "garbage\n\n"));
    }
}

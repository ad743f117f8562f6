//! `network`: an address of global scope, a default route, and a MAC address that is not the golden's.

use std::net::IpAddr;

use firstlight_shared::check::Verdict;
use firstlight_shared::wire::Interface;

use super::{Context, Look};
use crate::golden::Golden;
use crate::paths;
use crate::sys::has_default_route;

pub(super) fn look(context: &Context<'_>) -> Look {
    let text = |path| context.machine.root.read_text(path).ok().flatten().unwrap_or_default();
    let routed = has_default_route(&text(paths::ROUTES_V4), &text(paths::ROUTES_V6));
    judge(&context.machine.interfaces(), routed, context.golden)
}

fn judge(interfaces: &[Interface], routed: bool, golden: Option<&Golden>) -> Look {
    let goldens = |interface: &&Interface| {
        interface.mac.zip(golden).is_some_and(|(mac, golden)| golden.macs.contains(&mac))
    };
    if let Some(interface) = interfaces.iter().find(goldens) {
        return Look::Final(Verdict::Fail, format!("{} has the golden's MAC address", interface.name));
    }
    if interfaces.is_empty() {
        return Look::not_yet("there is no network interface");
    }
    let addresses: Vec<String> = interfaces
        .iter()
        .filter(|interface| interface.up)
        .flat_map(|interface| interface.addresses.iter().map(move |address| (interface, address)))
        .filter(|(_, address)| is_global(address.address))
        .map(|(interface, address)| format!("{} {}/{}", interface.name, address.address, address.prefix))
        .collect();
    match (addresses.is_empty(), routed) {
        (false, true) => Look::pass(addresses.join(", ")),
        (false, false) => Look::not_yet("there is no default route"),
        (true, _) => Look::not_yet("there is no address of global scope"),
    }
}

/// Reaches beyond the link: no loopback, link-local, multicast or unspecified address.
pub(super) fn is_global(address: IpAddr) -> bool {
    let local = match address {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    !(local || address.is_loopback() || address.is_unspecified() || address.is_multicast())
}

#[cfg(test)]
mod tests {
    use firstlight_shared::wire::Address;

    use super::*;

    fn interface(up: bool, address: &str) -> Interface {
        let address = Address { address: address.parse().unwrap(), prefix: 24 };
        let mac = Some("02:00:00:00:00:01".parse().unwrap());
        Interface { name: "eth0".into(), mac, up, addresses: vec![address] }
    }

    #[test]
    fn the_network_is_judged_by_address_route_and_mac() {
        let golden = Golden { macs: vec!["02:00:00:00:00:01".parse().unwrap()], ..Golden::default() };
        for (interfaces, routed, golden, expected) in [
            (vec![interface(true, "10.0.0.2")], true, None, "pass"),
            (vec![interface(true, "2001:db8::1")], true, None, "pass"),
            (vec![interface(true, "10.0.0.2")], false, None, "no default route"),
            (vec![interface(true, "fe80:5e11::1")], true, None, "no address"),
            (vec![interface(true, "169.254.1.1")], true, None, "no address"),
            (vec![interface(false, "10.0.0.2")], true, None, "no address"),
            (vec![], true, None, "no network interface"),
            (vec![interface(true, "10.0.0.2")], true, Some(&golden), "golden's MAC"),
        ] {
            let found = judge(&interfaces, routed, golden);
            let found = match found {
                Look::Final(Verdict::Pass, _) => "pass".to_owned(),
                Look::Final(_, reason) | Look::NotYet(_, reason) => reason,
            };
            assert!(found.contains(expected), "{found}, expected {expected}");
        }
    }
}

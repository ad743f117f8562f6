//! `network`: an address of global scope, a default route, and a MAC address that is not the golden's.

use std::net::IpAddr;

use firstlight_shared::check::Verdict;
use firstlight_shared::error::Chain;
use firstlight_shared::wire::Interface;
use serde::Deserialize;

use super::{Context, Look};
use crate::golden::Golden;
use crate::paths;
use crate::sys::has_default_route;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Network {
    /// Where the address must be; any interface but `lo` if absent.
    interface: Option<String>,
    /// Whether a default route is wanted too.
    default_route: bool,
}

impl Default for Network {
    fn default() -> Self {
        Self { interface: None, default_route: true }
    }
}

pub(super) fn look(keys: &Network, context: &Context<'_>) -> Look {
    let mut tables = [String::new(), String::new()];
    for (table, path) in tables.iter_mut().zip([paths::ROUTES_V4, paths::ROUTES_V6]) {
        match context.machine.root.read_text(path) {
            // Without IPv6 there is no such file.
            Ok(text) => *table = text.unwrap_or_default(),
            Err(error) => return Look::cannot_tell(Chain(&error).to_string()),
        }
    }
    let routed = !keys.default_route || has_default_route(&tables[0], &tables[1]);
    judge(keys, &context.machine.interfaces(), routed, context.golden)
}

fn judge(keys: &Network, interfaces: &[Interface], routed: bool, golden: Option<&Golden>) -> Look {
    let goldens = |interface: &&Interface| {
        interface.mac.zip(golden).is_some_and(|(mac, golden)| golden.macs.contains(&mac))
    };
    if let Some(interface) = interfaces.iter().find(goldens) {
        return Look::Final(Verdict::Fail, format!("{} has the golden's MAC address", interface.name));
    }
    let wanted = |interface: &&Interface| keys.interface.as_ref().is_none_or(|name| *name == interface.name);
    if !interfaces.iter().any(|interface| wanted(&interface)) {
        let name = keys.interface.as_ref().map(|name| format!(" `{name}`")).unwrap_or_default();
        return Look::not_yet(format!("there is no network interface{name}"));
    }
    let addresses: Vec<String> = interfaces
        .iter()
        .filter(wanted)
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
            let found = judge(&Network::default(), &interfaces, routed, golden);
            let found = match found {
                Look::Final(Verdict::Pass, _) => "pass".to_owned(),
                Look::Final(_, reason) | Look::NotYet(_, reason) | Look::Of(_, reason) => reason,
            };
            assert!(found.contains(expected), "{found}, expected {expected}");
        }
    }

    #[test]
    fn an_address_on_another_interface_does_not_count() {
        let interfaces = [interface(true, "10.0.0.2")];
        for (name, passes) in [("eth0", true), ("eth1", false)] {
            let keys = Network { interface: Some(name.into()), default_route: true };
            let found = judge(&keys, &interfaces, true, None);
            assert_eq!(matches!(found, Look::Final(Verdict::Pass, _)), passes, "{name}: {found:?}");
        }
    }
}

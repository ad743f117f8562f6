//! Interfaces: as the plan has them, or the archive's; always with MACs of their own.

use super::Ground;
use crate::backend::proxmox::client::properties::Properties;
use crate::backend::{Nic, Placement};
use crate::outcome::Fault;

pub(super) fn of(placement: &Placement, ground: &Ground<'_>) -> Result<Vec<(u32, Properties)>, Fault> {
    let (plan, allocation) = (&placement.plan, &placement.allocation);
    let golden = ground.archive.nets();
    let bridge = &ground.defaults.bridge;
    let nets: Vec<(u32, Properties)> = if plan.nics.is_empty() {
        let only = || vec![(0, usual(0, bridge))];
        if golden.is_empty() { only() } else { golden }
    } else {
        (0..)
            .zip(&plan.nics)
            .map(|(number, nic)| {
                let base = golden.iter().find(|(known, _)| *known == number).map(|(_, net)| net.clone());
                (number, interface(nic, base.unwrap_or_else(|| usual(number, bridge))))
            })
            .collect()
    };
    let mut macs = std::iter::once(&allocation.mac).chain(&allocation.more_macs);
    nets.into_iter()
        .map(|(number, net)| {
            let mac = macs.next().ok_or_else(|| {
                Fault::new("no-mac", format!("no MAC was chosen for net{number} of `{}`", plan.name))
            })?;
            Ok((number, net.with("hwaddr", mac.to_string().to_ascii_uppercase())))
        })
        .collect()
}

fn usual(number: u32, bridge: &str) -> Properties {
    let net = Properties::default().with("name", format_args!("eth{number}"));
    net.with("bridge", bridge).with("ip", "dhcp")
}

/// What the plan says over what the archive has. An address takes the archive's gateway with it, another bridge its VLAN.
fn interface(nic: &Nic, base: Properties) -> Properties {
    let mut net = base;
    if let Some(bridge) = &nic.bridge {
        if net.get("bridge") != Some(bridge) {
            net = net.without("tag").without("trunks");
        }
        net = net.with("bridge", bridge);
    }
    if let Some(vlan) = nic.vlan {
        net = net.with("tag", vlan);
    }
    if let Some(address) = &nic.address {
        net = net.with("ip", address).without("gw");
    }
    if let Some(gateway) = nic.gateway {
        net = net.with(if gateway.is_ipv4() { "gw" } else { "gw6" }, gateway);
    }
    match nic.firewall {
        Some(on) => net.with("firewall", u8::from(on)),
        None => net,
    }
}

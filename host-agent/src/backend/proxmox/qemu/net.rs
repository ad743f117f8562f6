//! Network devices of machines: `virtio=BC:24:11:00:00:01,bridge=vmbr0`.

use firstlight_shared::ids::MacAddress;

use crate::backend::proxmox::client::properties::{MODELS, Properties};
use crate::backend::{Allocation, Nic};
use crate::outcome::Fault;

/// What a device is that nobody described.
const USUAL: &str = "virtio";
/// The devices that a new machine gets, by their numbers: those that are asked for, over the archive's of the same
/// number; where none is asked for, the archive's. All of them with the MACs that were chosen.
///
/// # Errors
/// There are more devices than MACs.
pub(super) fn devices(
    asked: &[Nic],
    archived: &[(u32, Properties)],
    allocation: &Allocation,
    bridge: &str,
) -> Result<Vec<(u32, Properties)>, Fault> {
    let of_archive = |number: u32| archived.iter().find(|(known, _)| *known == number).map(|(_, net)| net);
    let first = archived.first().map(|(_, net)| net);
    let wanted: Vec<(u32, Properties)> = if asked.is_empty() {
        archived.to_vec()
    } else {
        let over = |(number, nic)| (number, over(of_archive(number), first, nic, bridge));
        (0..).zip(asked).map(over).collect()
    };
    let macs = std::iter::once(allocation.mac).chain(allocation.more_macs.iter().copied());
    let mut macs = macs.map(Some).chain(std::iter::repeat(None));
    let mut devices = Vec::with_capacity(wanted.len());
    for (number, net) in wanted {
        let mac = macs
            .next()
            .flatten()
            .ok_or_else(|| Fault::new("internal", format!("no MAC was chosen for net{number}")))?;
        devices.push((number, with_mac(&net, mac)));
    }
    Ok(devices)
}

/// Devices of the archive that the machine shall not have.
pub(super) fn superfluous(wanted: &[(u32, Properties)], there: &[(u32, Properties)]) -> Vec<u32> {
    let is_wanted = |number: u32| wanted.iter().any(|(known, _)| *known == number);
    there.iter().map(|(number, _)| *number).filter(|number| !is_wanted(*number)).collect()
}

fn over(archived: Option<&Properties>, first: Option<&Properties>, nic: &Nic, bridge: &str) -> Properties {
    let mut net = archived.cloned().unwrap_or_else(|| {
        let Ok(model) = first.map_or(USUAL, model).parse();
        model
    });
    if let Some(bridge) = &nic.bridge {
        // VLANs are the bridge's.
        net = net.without("tag").without("trunks").with("bridge", bridge);
    } else if net.get("bridge").is_none() {
        net = net.with("bridge", bridge);
    }
    if let Some(vlan) = nic.vlan {
        net = net.with("tag", vlan);
    }
    match nic.firewall {
        Some(firewall) => net.with("firewall", u8::from(firewall)),
        None => net,
    }
}

fn with_mac(net: &Properties, mac: MacAddress) -> Properties {
    let model = model(net).to_owned();
    let mut rest = net.clone().without("model").without("macaddr").without(&model);
    if let Some(unnamed) = net.unnamed() {
        let text = rest.to_string();
        let Ok(named) = text.strip_prefix(unnamed).unwrap_or(&text).parse();
        rest = named;
    }
    let mac = mac.to_string().to_uppercase();
    let Ok(device) = format!("{model}={mac},{rest}").parse();
    device
}

fn model(net: &Properties) -> &str {
    let by_key = || MODELS.into_iter().find(|model| net.get(model).is_some());
    net.get("model").or_else(|| net.unnamed()).or_else(by_key).unwrap_or(USUAL)
}

/// As the configuration has it, however it is written.
pub(super) fn mac(net: &Properties) -> Option<MacAddress> {
    net.get("macaddr").or_else(|| net.get(model(net)))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nets(text: &str) -> Vec<(u32, Properties)> {
        let lines = text.split(' ').filter(|line| !line.is_empty());
        lines
            .map(|line| {
                let (number, net) = line.split_once(':').unwrap();
                let Ok(net) = net.parse();
                (number.parse().unwrap(), net)
            })
            .collect()
    }

    fn allocation(macs: usize) -> Allocation {
        let mac = |last: usize| format!("bc:24:11:00:00:0{last}").parse().unwrap();
        Allocation {
            mac: mac(1),
            more_macs: (2..=macs).map(mac).collect(),
            addresses: Vec::new(),
            slot: None,
        }
    }

    #[test]
    fn devices_are_the_archives_or_those_asked_for_with_macs_of_their_own() {
        const GOLDEN: &str = "0:virtio=AA:AA:AA:AA:AA:AA,bridge=vmbr0,firewall=1,queues=2,tag=7";
        let nic = |bridge: Option<&str>, vlan, firewall| Nic {
            bridge: bridge.map(str::to_owned),
            vlan,
            firewall,
            ..Nic::default()
        };
        let (one, two) = ("BC:24:11:00:00:01", "BC:24:11:00:00:02");
        for (asked, archived, expected) in [
            (vec![], GOLDEN, format!("0:virtio={one},bridge=vmbr0,firewall=1,queues=2,tag=7")),
            (vec![], "", String::new()),
            (
                vec![],
                "0:e1000=AA:AA:AA:AA:AA:AA,bridge=a 3:model=vmxnet3,macaddr=AA:AA:AA:AA:AA:AB,bridge=b",
                format!("0:e1000={one},bridge=a 3:vmxnet3={two},bridge=b"),
            ),
            (vec![], "0:virtio,bridge=a", format!("0:virtio={one},bridge=a")),
            (
                vec![nic(None, None, None)],
                GOLDEN,
                format!("0:virtio={one},bridge=vmbr0,firewall=1,queues=2,tag=7"),
            ),
            (
                vec![nic(Some("vmbr1"), None, Some(false))],
                GOLDEN,
                format!("0:virtio={one},bridge=vmbr1,firewall=0,queues=2"),
            ),
            (
                vec![nic(Some("vmbr1"), Some(5), None)],
                "0:virtio=AA:AA:AA:AA:AA:AA,bridge=vmbr0,trunks=1;2",
                format!("0:virtio={one},bridge=vmbr1,tag=5"),
            ),
            (
                vec![nic(None, Some(9), None), nic(None, None, Some(true))],
                "0:e1000e=AA:AA:AA:AA:AA:AA,bridge=a",
                format!("0:e1000e={one},bridge=a,tag=9 1:e1000e={two},bridge=usual,firewall=1"),
            ),
            (vec![nic(None, None, None)], "", format!("0:virtio={one},bridge=usual")),
        ] {
            let found = devices(&asked, &nets(archived), &allocation(2), "usual").unwrap();
            assert_eq!(found, nets(&expected), "{archived}");
            let expected: Vec<_> = [one, two].iter().map(|mac| mac.to_lowercase().parse().ok()).collect();
            let macs: Vec<_> = found.iter().map(|(_, net)| mac(net)).collect();
            assert_eq!(macs, expected[..macs.len()], "{archived}");
        }
    }

    #[test]
    fn a_device_without_a_mac_of_its_own_is_refused() {
        let two = nets("0:virtio=AA:AA:AA:AA:AA:AA,bridge=a 1:virtio=AA:AA:AA:AA:AA:AB,bridge=a");
        let fault = devices(&[], &two, &allocation(1), "usual").unwrap_err();
        assert!(fault.message.contains("net1"), "{fault}");
    }

    #[test]
    fn what_the_archive_has_beyond_the_wish_is_superfluous() {
        assert_eq!(superfluous(&nets("0:virtio"), &nets("0:virtio 1:virtio 4:virtio")), [1, 4]);
        assert_eq!(superfluous(&nets("0:virtio"), &nets("0:virtio")), [0; 0]);
    }
}

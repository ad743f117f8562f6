//! What `ip --json address` tells, as pve-container reads it.

use std::net::IpAddr;

use serde_json::Value;

use super::super::guests::Interface;

/// In the kernel's order. Names and addresses are the guest's word.
pub(super) fn interfaces(json: &str) -> Option<Vec<Interface>> {
    let links: Value = serde_json::from_str(json).ok()?;
    links.as_array()?.iter().map(interface).collect()
}

fn interface(link: &Value) -> Option<Interface> {
    let addresses = link["addr_info"].as_array().into_iter().flatten();
    let address = |info: &Value| {
        let prefix = u8::try_from(info["prefixlen"].as_u64()?).ok()?;
        Some((info["local"].as_str()?.parse::<IpAddr>().ok()?, prefix))
    };
    Some(Interface {
        name: link["ifname"].as_str()?.to_owned(),
        mac: link["address"].as_str().unwrap_or_default().to_owned(),
        addresses: addresses.filter_map(address).collect(),
    })
}

/// As a guest shows itself before anything in it has begun.
pub(super) fn blank(mac: Option<&str>) -> Vec<Interface> {
    let lo = vec![(IpAddr::from([127, 0, 0, 1]), 8), (IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]), 128)];
    let mut all = vec![Interface { name: "lo".into(), mac: "00:00:00:00:00:00".into(), addresses: lo }];
    all.extend(mac.map(|mac| Interface {
        name: "eth0".into(),
        mac: mac.to_lowercase(),
        addresses: Vec::new(),
    }));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As iproute2 6.1 prints it.
    const SHOWN: &str = r#"[{"ifindex":1,"ifname":"lo","flags":["LOOPBACK","UP","LOWER_UP"],"mtu":65536,"qdisc":"noqueue",
        "operstate":"UNKNOWN","group":"default","txqlen":1000,"link_type":"loopback","address":"00:00:00:00:00:00",
        "broadcast":"00:00:00:00:00:00","addr_info":[
          {"family":"inet","local":"127.0.0.1","prefixlen":8,"scope":"host","label":"lo","valid_life_time":4294967295},
          {"family":"inet6","local":"fe80:5e11:100::1","prefixlen":128,"scope":"link","deprecated":true}]},
        {"ifindex":2,"link_index":5,"ifname":"eth0","flags":["BROADCAST","UP"],"address":"bc:24:11:00:00:01",
        "link_netnsid":0,"addr_info":[{"family":"inet","local":"10.79.1.24","prefixlen":24},{}]}]"#;

    #[test]
    fn every_address_of_every_link_is_read() {
        let seen = interfaces(SHOWN).unwrap();
        let text: Vec<String> = seen.iter().map(|link| format!("{} {}", link.name, link.mac)).collect();
        assert_eq!(text, ["lo 00:00:00:00:00:00", "eth0 bc:24:11:00:00:01"]);
        assert_eq!(seen[0].addresses[1], ("fe80:5e11:100::1".parse().unwrap(), 128));
        assert_eq!(seen[1].addresses, [("10.79.1.24".parse().unwrap(), 24)]);
        assert_eq!(interfaces("oops"), None);
        assert_eq!(blank(Some("BC:24:11:00:00:01"))[1].mac, seen[1].mac);
    }
}

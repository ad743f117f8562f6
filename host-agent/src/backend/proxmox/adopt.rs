//! Guests that somebody else made.

use std::net::IpAddr;

use firstlight_shared::ids::{GuestName, MacAddress};
use firstlight_shared::text::escape;

use super::client::endpoint::config::{GuestConfig, ReadConfig};
use super::client::endpoint::guest::{Guest, Kind, NodeGuestLine};
use crate::backend::{Adopted, Allocation, Slot};
use crate::outcome::Fault;

/// A guest of a node's list.
type Line = (String, Kind, NodeGuestLine);

/// The guest with this VMID or, where none has it, the only one of this name.
fn find<'a>(lines: &'a [Line], name_or_id: &str) -> Result<&'a Line, Fault> {
    let shown = escape(name_or_id, 80);
    if let Some(line) = lines.iter().find(|(_, _, line)| name_or_id.parse() == Ok(line.vmid)) {
        return Ok(line);
    }
    let called =
        |line: &NodeGuestLine| line.name.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(name_or_id));
    let found: Vec<&Line> = lines.iter().filter(|(_, _, line)| called(line)).collect();
    match found.as_slice() {
        [one] => Ok(one),
        [] => Err(Fault::new("no-such-guest", format!("no guest has the name or the number `{shown}`"))
            .with_hint("a token sees guests on which it has VM.Audit, and those on nodes that are online")),
        several => {
            let all: Vec<String> = several.iter().map(|line| words(line)).collect();
            Err(Fault::new(
                "ambiguous-guest",
                format!("{} guests are called `{shown}`: {}", several.len(), all.join(", ")),
            )
            .with_hint("say which by its number"))
        }
    }
}

/// `container 101 on pve1`
fn words((node, kind, line): &Line) -> String {
    let kind = if *kind == Kind::Lxc { "container" } else { "machine" };
    format!("{kind} {} on {node}", line.vmid)
}

/// What its configuration says of it; `since_s` is for its slot.
fn adopted(guest: &Guest, config: &GuestConfig, since_s: u64) -> Result<Adopted, Fault> {
    let mut nets: Vec<_> = config.family("net").collect();
    nets.sort_by_key(|(number, _)| *number);
    let macs: Vec<MacAddress> = nets.iter().filter_map(|(_, net)| net.mac()?.parse().ok()).collect();
    let Some((mac, more_macs)) = macs.split_first() else {
        return Err(Fault::new("no-mac", format!("{guest} has no network interface with a MAC")));
    };
    let (kind, uuid) = match guest.kind {
        Kind::Lxc => (crate::backend::Kind::Lxc, container_uuid(config)),
        Kind::Qemu => (crate::backend::Kind::Vm, machine_uuid(config)),
    };
    let address = |text: &str| text.split('/').next()?.parse::<IpAddr>().ok();
    let addresses = nets.iter().filter_map(|(_, net)| address(net.get("ip")?)).collect();
    let slot = Slot { id: guest.vmid.to_string(), node: guest.node.clone(), uuid, since_s };
    Ok(Adopted {
        name: name(guest, config)?,
        kind: Some(kind),
        allocation: Allocation { mac: *mac, more_macs: more_macs.to_vec(), addresses, slot: Some(slot) },
    })
}

/// The first label: that is what Proxmox gives the guest for a host name.
fn name(guest: &Guest, config: &GuestConfig) -> Result<GuestName, Fault> {
    let full = config.get("hostname").or_else(|| config.get("name")).unwrap_or_default();
    let label = full.split('.').next().unwrap_or_default().to_ascii_lowercase();
    label.parse().map_err(|_| {
        Fault::new("no-name", format!("the name of {guest} is no host name: `{}`", escape(full, 80)))
            .with_hint("give it one: small letters, digits and `-`")
    })
}

fn machine_uuid(config: &GuestConfig) -> Option<String> {
    config.properties("smbios1")?.get("uuid").and_then(uuid)
}

/// Variables are separated by NUL.
fn container_uuid(config: &GuestConfig) -> Option<String> {
    config.get("env")?.split('\0').find_map(|line| line.strip_prefix("container_uuid=")).and_then(uuid)
}

fn uuid(text: &str) -> Option<String> {
    let lengths: Vec<usize> = text.split('-').map(str::len).collect();
    let fits = lengths == [8, 4, 4, 4, 12] && text.chars().all(|c| c == '-' || c.is_ascii_hexdigit());
    fits.then(|| text.to_ascii_lowercase())
}

impl super::Proxmox {
    /// By VMID, or by a name that no other guest has.
    ///
    /// # Errors
    /// There is no such guest, or several; it is a template, or still being made; or the token may not look.
    pub(super) async fn adopt_guest(&self, name_or_id: &str) -> Result<Adopted, Fault> {
        let online = self.online_nodes().await?.into_iter().map(|node| node.node).collect();
        let lines = self.list_live(&online).await?;
        let line = find(&lines, name_or_id)?;
        let (node, kind, found) = line;
        if found.template {
            return Err(Fault::new("template", format!("{} is a template: it never runs", words(line))));
        }
        if found.lock.as_deref() == Some("create") {
            return Err(Fault::new("in-flight", format!("{} is still being made", words(line)))
                .with_hint("try again in a moment"));
        }
        let guest = Guest { node: node.clone(), kind: *kind, vmid: found.vmid };
        let config = self.ask(&ReadConfig { guest: guest.clone(), current: true }).await?;
        adopted(&guest, &config, self.node_time(node).await?)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::client::endpoint::Endpoint as _;
    use super::*;

    fn line(vmid: u32, name: &str) -> Line {
        let line = NodeGuestLine {
            vmid,
            name: Some(name.to_owned()),
            status: "running".to_owned(),
            lock: None,
            tags: None,
            template: false,
        };
        ("pve1".to_owned(), Kind::Lxc, line)
    }

    #[test]
    fn a_guest_is_found_by_its_number_or_by_a_name_of_its_own() {
        let lines = [line(101, "web"), line(102, "db"), line(103, "db"), line(104, "101"), line(105, "900")];
        for (text, expected) in [
            ("101", Ok(101)),
            ("web", Ok(101)),
            ("WEB", Ok(101)),
            ("103", Ok(103)),
            ("900", Ok(105)),
            ("db", Err("2 guests are called `db`: container 102 on pve1, container 103 on pve1")),
            ("x", Err("no guest has the name or the number `x`")),
            ("", Err("no guest has the name or the number ``")),
        ] {
            let found = find(&lines, text).map(|(_, _, line)| line.vmid).map_err(|fault| fault.message);
            assert_eq!(found, expected.map_err(str::to_owned), "{text}");
        }
    }

    fn adopt(kind: Kind, config: Value) -> Result<Adopted, String> {
        let guest = Guest { node: "pve1".to_owned(), kind, vmid: 101 };
        adopted(&guest, &ReadConfig::read(config).unwrap(), 7).map_err(|fault| fault.code)
    }

    #[test]
    fn a_configuration_says_who_the_guest_is() {
        const UUID: &str = "77250a18-41e2-4b60-9abe-b03dd3b3e545";
        let container = adopt(
            Kind::Lxc,
            json!({
                "hostname": "Web-01.example.org", "net10": "hwaddr=BC:24:11:00:00:03",
                "net2": "name=eth2,hwaddr=BC:24:11:00:00:02,ip=10.0.0.5/24",
                "net0": "name=eth0,hwaddr=BC:24:11:00:00:01,ip=dhcp", "env": format!("A=1\0container_uuid={UUID}"),
            }),
        )
        .unwrap();
        assert_eq!(container.name.as_str(), "web-01");
        assert_eq!(container.kind, Some(crate::backend::Kind::Lxc));
        let slot = container.allocation.slot.unwrap();
        assert_eq!((slot.id.as_str(), slot.node.as_str(), slot.since_s), ("101", "pve1", 7));
        assert_eq!(slot.uuid.as_deref(), Some(UUID));
        assert_eq!(container.allocation.mac.to_string(), "bc:24:11:00:00:01");
        let more: Vec<String> = container.allocation.more_macs.iter().map(ToString::to_string).collect();
        assert_eq!(more, ["bc:24:11:00:00:02", "bc:24:11:00:00:03"]);
        assert_eq!(container.allocation.addresses, ["10.0.0.5".parse::<IpAddr>().unwrap()]);
        let machine = adopt(
            Kind::Qemu,
            json!({"name": "vm", "net0": "virtio=BC:24:11:00:00:01,bridge=vmbr0", "smbios1": format!("uuid={UUID}")}),
        )
        .unwrap();
        assert_eq!(machine.allocation.slot.unwrap().uuid.as_deref(), Some(UUID));
        let net = "name=eth0,hwaddr=BC:24:11:00:00:01";
        assert_eq!(adopt(Kind::Lxc, json!({"hostname": "a"})).unwrap_err(), "no-mac");
        assert_eq!(adopt(Kind::Lxc, json!({"net0": net})).unwrap_err(), "no-name");
        assert_eq!(adopt(Kind::Lxc, json!({"net0": net, "hostname": "a_b"})).unwrap_err(), "no-name");
        let odd = adopt(Kind::Lxc, json!({"net0": net, "hostname": "a", "env": "container_uuid=x"})).unwrap();
        assert_eq!(odd.allocation.slot.unwrap().uuid, None);
    }
}

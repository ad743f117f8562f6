//! Containers, as the API shows and changes them.

mod config;
mod restore;
mod rights;
mod template;

pub(super) use config::Change;

use serde_json::{Map, Value, json};

use super::access::Need;
use super::answer::{Answer, Refusal};
use super::call::Call;
use super::guest::{Guest, Kind, Power};
use super::guests::Interface;
use super::property::{Properties, parse_size};
use super::world::World;

/// What a folder of the API lists.
const PARTS: [&str; 15] = [
    "config",
    "pending",
    "status",
    "vncproxy",
    "termproxy",
    "vncwebsocket",
    "spiceproxy",
    "migrate",
    "clone",
    "rrd",
    "rrddata",
    "firewall",
    "snapshot",
    "resize",
    "interfaces",
];

impl World {
    pub(super) fn list_lxc_parts(&self) -> Answer {
        Answer::data(PARTS.iter().map(|part| json!({ "subdir": part })).collect())
    }

    /// With `env` set, VM.Audit is not enough.
    pub(super) fn get_lxc_config(&self, call: &Call, node: &str, id: u32) -> Result<Answer, Refusal> {
        self.check(&call.who, &format!("/vms/{id}"), &["VM.Audit"], Need::All)?;
        let guest = self.guest(Kind::Lxc, node, id).map_err(Refusal::died)?;
        let current = call.parameters.flag("current");
        if guest.shown(current).get("env").is_some() {
            self.check(&call.who, &format!("/vms/{id}"), &["VM.Config.Options"], Need::All)?;
        }
        Ok(self.get_config(guest, current))
    }

    pub(super) fn get_lxc_status(&self, call: &Call, node: &str, id: u32) -> Result<Answer, Refusal> {
        self.check(&call.who, &format!("/vms/{id}"), &["VM.Audit"], Need::All)?;
        let guest = self.guest(Kind::Lxc, node, id).map_err(Refusal::died)?;
        let mut status = self.lxc_line(id, guest);
        status["ha"] = json!({ "managed": 0 });
        if let Some(lock) = guest.get("lock") {
            status["lock"] = json!(lock);
        }
        Ok(Answer::data(status).after(self.profile.read))
    }

    /// A line of the list of containers.
    pub(super) fn lxc_line(&self, id: u32, guest: &Guest) -> Value {
        let mebibytes = |key: &str, otherwise: u64| {
            guest.get(key).and_then(|text| text.parse::<u64>().ok()).unwrap_or(otherwise) << 20
        };
        let size = guest.get("rootfs").map(|rootfs| Properties::parse(rootfs, "volume"));
        let size = size.and_then(|rootfs| rootfs.get("size").and_then(parse_size)).unwrap_or(4 << 30);
        let mut line = json!({
            "vmid": id, "type": "lxc", "name": guest.get("hostname").map_or(format!("CT{id}"), str::to_owned),
            "status": "stopped", "cpus": guest.get("cores").and_then(|text| text.parse().ok()).unwrap_or(2),
            "maxmem": mebibytes("memory", 512), "maxswap": mebibytes("swap", 0), "maxdisk": size, "uptime": 0,
        });
        for counter in ["cpu", "mem", "swap", "disk", "diskread", "diskwrite", "netin", "netout"] {
            line[counter] = json!(0);
        }
        for key in ["tags", "lock"] {
            if let Some(text) = guest.get(key) {
                line[key] = json!(text);
            }
        }
        if guest.has("template") {
            line["template"] = json!(1);
        }
        if let Power::Running { since, pid } | Power::Paused { since, pid } = guest.power {
            line["status"] = json!("running");
            line["pid"] = json!(pid);
            line["uptime"] = json!(self.now.saturating_sub(since).as_secs());
            for pressure in ["cpufull", "cpusome", "iofull", "iosome", "memoryfull", "memorysome"] {
                line[format!("pressure{pressure}")] = json!("0.00");
            }
        }
        line
    }

    /// Null when it does not run, and while it shuts down.
    pub(super) fn get_lxc_interfaces(&self, call: &Call, node: &str, id: u32) -> Result<Answer, Refusal> {
        self.check(&call.who, &format!("/vms/{id}"), &["VM.Audit"], Need::All)?;
        let guest = self.guest(Kind::Lxc, node, id).map_err(Refusal::died)?;
        let seen = if guest.is_running() { self.machines.interfaces(id, self.now) } else { Vec::new() };
        let shown = match seen.is_empty() {
            true => Value::Null,
            false => seen.iter().map(interface).collect(),
        };
        Ok(Answer::data(shown).after(self.profile.interfaces))
    }
}

/// The flat fields have only the last address of their family.
fn interface(seen: &Interface) -> Value {
    let mut shown = Map::new();
    shown.insert("name".into(), json!(seen.name));
    shown.insert("hwaddr".into(), json!(seen.mac));
    shown.insert("hardware-address".into(), json!(seen.mac));
    let mut addresses = Vec::new();
    for (address, prefix) in &seen.addresses {
        let family = if address.is_ipv4() { "inet" } else { "inet6" };
        shown.insert(family.into(), json!(format!("{address}/{prefix}")));
        addresses.push(json!({
            "ip-address": address.to_string(), "ip-address-type": family, "prefix": prefix.to_string(),
        }));
    }
    if !addresses.is_empty() {
        shown.insert("ip-addresses".into(), addresses.into());
    }
    Value::Object(shown)
}

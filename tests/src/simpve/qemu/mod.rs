//! Machines, as the API shows and changes them.

mod agent;
mod config;
mod create;
mod resize;
mod restore;
mod rights;

use serde_json::{Value, json};

use super::access::Need;
use super::answer::{Answer, Refusal};
use super::call::Call;
use super::guest::{Guest, Kind, Power};
use super::property::{Properties, parse_size};
use super::world::World;

/// Keys of drives.
pub(super) fn is_drive(key: &str) -> bool {
    let bare = key.trim_end_matches(|letter: char| letter.is_ascii_digit());
    bare != key && ["ide", "sata", "scsi", "virtio", "efidisk", "tpmstate"].contains(&bare)
}

fn is_net(key: &str) -> bool {
    key.strip_prefix("net").is_some_and(|rest| rest.parse::<u16>().is_ok())
}

impl World {
    pub(super) fn get_qemu_config(&self, call: &Call, node: &str, id: u32) -> Result<Answer, Refusal> {
        self.check(&call.who, &format!("/vms/{id}"), &["VM.Audit"], Need::All)?;
        let guest = self.guest(Kind::Qemu, node, id).map_err(Refusal::died)?;
        Ok(self.get_config(guest, call.parameters.flag("current")))
    }

    pub(super) fn get_qemu_status(&self, call: &Call, node: &str, id: u32) -> Result<Answer, Refusal> {
        self.check(&call.who, &format!("/vms/{id}"), &["VM.Audit"], Need::All)?;
        let guest = self.guest(Kind::Qemu, node, id).map_err(Refusal::died)?;
        let mut status = self.qemu_line(id, guest);
        status["ha"] = json!({ "managed": 0 });
        status["qmpstatus"] = json!(match guest.power {
            Power::Stopped => "stopped",
            Power::Running { .. } => "running",
            Power::Paused { .. } => "paused",
        });
        if guest.get("agent").is_some_and(|agent| agent.starts_with('1')) {
            status["agent"] = json!(1);
        }
        if guest.is_running() {
            let taps = guest.config.keys().filter(|key| is_net(key));
            let counters = json!({ "netin": 0, "netout": 0 });
            let nics = taps.map(|key| (format!("tap{id}i{}", &key[3..]), counters.clone()));
            status["nics"] = Value::Object(nics.collect());
        }
        if let Some(lock) = guest.get("lock") {
            status["lock"] = json!(lock);
        }
        Ok(Answer::data(status).after(self.profile.read))
    }

    /// A line of the list of machines.
    pub(super) fn qemu_line(&self, id: u32, guest: &Guest) -> Value {
        let memory: u64 = guest.get("memory").and_then(|text| text.parse().ok()).unwrap_or(512);
        let boot = Properties::parse(guest.get("boot").unwrap_or_default(), "order");
        let drive = boot.get("order").and_then(|order| order.split(';').next()).unwrap_or_default();
        let drive = guest.get(drive).map(|drive| Properties::parse(drive, "volume"));
        let size = drive.and_then(|drive| drive.get("size").and_then(parse_size)).unwrap_or(0);
        let mut line = json!({
            "vmid": id, "name": guest.get("name").map_or(format!("VM {id}"), str::to_owned), "status": "stopped",
            "cpus": guest.get("cores").and_then(|text| text.parse().ok()).unwrap_or(1), "maxmem": memory << 20,
            "maxdisk": size, "uptime": 0,
        });
        for counter in ["cpu", "mem", "memhost", "disk", "netin", "netout"] {
            line[counter] = json!(0);
        }
        if guest.config.contains_key("serial0") {
            line["serial"] = json!(1);
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
                line[format!("pressure{pressure}")] = json!(0);
            }
        }
        line
    }

    /// The text with a MAC in it: `virtio,bridge=vmbr0` gets one.
    fn qemu_net(&mut self, net: &str) -> String {
        let (model, rest) = net.split_once(',').map_or((net, None), |(model, rest)| (model, Some(rest)));
        let model = if model.contains('=') { model.to_owned() } else { format!("{model}={}", self.mac()) };
        let sorted = rest.map(|rest| Properties::parse(rest, "").print(&[], false));
        sorted.map_or(model.clone(), |rest| format!("{model},{rest}"))
    }
}

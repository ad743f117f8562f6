//! The cluster as a whole: nodes, numbers of guests, resources, pools.

use std::ops::Range;

use serde_json::{Value, json};

use super::access::Need;
use super::answer::{Answer, Refusal};
use super::call::{Call, Moment};
use super::guest::{Guest, Kind};
use super::world::{Certificate, Node, World};

/// Statistics know a guest once they have been gathered.
const GATHERED: Moment = Moment::from_secs(10);

impl World {
    /// Refuses what a relay to that node ends with.
    pub(super) fn check_node(&self, name: &str) -> Result<(), Refusal> {
        match self.nodes.get(name) {
            Some(Node { online: true, .. }) => Ok(()),
            Some(_) => Err(Refusal::relay(595, "No route to host").after(self.profile.no_route)),
            None => Err(Refusal::died(format!(
                "hostname lookup '{name}' failed - failed to get address info for: {name}: Name or service not known"
            ))),
        }
    }

    pub(super) fn get_version(&self) -> Answer {
        let release = self.version.rsplit_once('.').map_or(self.version.as_str(), |(release, _)| release);
        let version = json!({ "release": release, "version": self.version, "repoid": "14a22df359f5e7b2" });
        Answer::data(version).after(self.profile.read)
    }

    pub(super) fn list_nodes(&self, call: &Call) -> Answer {
        let lines = self.nodes.iter().map(|(name, node)| {
            let mut line = json!({
                "id": format!("node/{name}"), "node": name, "type": "node", "ssl_fingerprint": node.certificate.fingerprint,
                "status": if node.online { "online" } else { "offline" },
            });
            if node.online && self.may(&call.who, &format!("/nodes/{name}"), "Sys.Audit") {
                for (key, value) in self.node_figures() {
                    line[key] = value;
                }
                line["level"] = json!("");
            }
            line
        });
        Answer::data(lines.collect()).after(self.profile.read)
    }

    fn node_figures(&self) -> [(&'static str, Value); 7] {
        [
            ("cpu", json!(0.01)),
            ("maxcpu", json!(2)),
            ("mem", json!(1_254_801_408_u64)),
            ("maxmem", json!(25_276_510_208_u64)),
            ("disk", json!(29_440_249_856_u64)),
            ("maxdisk", json!(270_553_174_016_u64)),
            ("uptime", json!(3149 + self.now.as_secs())),
        ]
    }

    pub(super) fn get_node(&self, call: &Call, name: &str, what: &str) -> Result<Answer, Refusal> {
        let data = match what {
            "version" => return Ok(self.get_version()),
            "status" => {
                self.check(&call.who, &format!("/nodes/{name}"), &["Sys.Audit"], Need::All)?;
                self.node_status()
            }
            "time" => {
                self.check(&call.who, &format!("/nodes/{name}"), &["Sys.Audit"], Need::All)?;
                json!({ "timezone": "Etc/UTC", "time": self.epoch(), "localtime": self.epoch() })
            }
            "network" => self.bridges.iter().map(|bridge| bridge_line(bridge)).collect(),
            _ => return Err(Refusal::not_implemented("GET", &format!("/nodes/{name}/{what}"))),
        };
        Ok(Answer::data(data).after(self.profile.read))
    }

    fn node_status(&self) -> Value {
        json!({
            "pveversion": "pve-manager/9.2.11/14a22df359f5e7b2", "uptime": 3149 + self.now.as_secs(), "cpu": 0,
            "wait": 0, "idle": 0, "loadavg": ["0.10", "0.12", "0.11"], "kversion": "Linux 6.18.44",
            "memory": { "total": 25_276_510_208_u64, "used": 1_254_801_408, "free": 24_021_708_800_u64 },
            "rootfs": { "total": 270_553_174_016_u64, "used": 31_965_212_672_u64, "avail": 65_607_536_640_u64,
                "free": 238_587_961_344_u64 },
            "swap": { "total": 0, "used": 0, "free": 0 }, "ksm": { "shared": 0 },
            "cpuinfo": { "cpus": 2, "cores": 2, "sockets": 1, "model": "simulated" },
            "current-kernel": { "sysname": "Linux", "release": "6.18.44", "machine": "x86_64" },
            "boot-info": { "mode": "legacy-bios" },
        })
    }

    /// The cluster's authority, then the node's own certificate.
    pub(super) fn get_certificates(&self, name: &str) -> Answer {
        let authority = "/CN=Proxmox Virtual Environment/OU=PVE Cluster Manager CA";
        let leaf = format!("/OU=PVE Cluster Node/CN={name}");
        let line = |file: &str, subject: &str, shown: &Certificate| {
            json!({
                "filename": file, "fingerprint": shown.fingerprint, "pem": shown.pem, "subject": subject,
                "issuer": authority, "notbefore": self.began - 86_400, "notafter": self.began + 63_072_000,
                "public-key-type": "id-ecPublicKey", "public-key-bits": 256, "san": [name, "localhost", "127.0.0.1"],
            })
        };
        let own = self.nodes.get(name).map(|node| line("pve-ssl.pem", &leaf, &node.certificate));
        let lines = [line("pve-root-ca.pem", authority, &self.authority)].into_iter().chain(own);
        Answer::data(lines.collect()).after(self.profile.read)
    }

    pub(super) fn get_nextid(&self, call: &Call) -> Result<Answer, Refusal> {
        let Some(asked) = call.parameters.get("vmid") else {
            let Range { start, end } = self.numbers;
            let free = self.numbers.clone().find(|id| !self.guests.contains_key(id));
            let none = || Refusal::died(format!("unable to get any free VMID in range [{start}, {end}]"));
            return Ok(Answer::data(json!(free.ok_or_else(none)?.to_string())).after(self.profile.read));
        };
        match asked.parse::<u32>() {
            Ok(id) if self.guests.contains_key(&id) => {
                Err(Refusal::parameter("vmid", format!("VM {id} already exists")))
            }
            Ok(id) => Ok(Answer::data(json!(id.to_string())).after(self.profile.read)),
            Err(_) => {
                Err(Refusal::parameter("vmid", format!("type check ('integer') failed - got '{asked}'")))
            }
        }
    }

    /// Only the part that matters here. Not recorded: the shape is the schema's.
    pub(super) fn get_options(&self, call: &Call) -> Answer {
        let all = self.may(&call.who, "/", "Sys.Audit");
        let options =
            if all { json!({ "mac_prefix": self.mac_prefix, "keyboard": "en-us" }) } else { json!({}) };
        Answer::data(options).after(self.profile.read)
    }

    /// A line for each node, and one for the cluster where there are several (which is not recorded).
    pub(super) fn get_cluster_status(&self, here: &str) -> Answer {
        let mut lines: Vec<Value> = Vec::new();
        if self.nodes.len() > 1 {
            lines.push(json!({
                "id": "cluster", "type": "cluster", "name": "simulated", "version": self.nodes.len(),
                "nodes": self.nodes.len(), "quorate": u8::from(self.quorate),
            }));
        }
        lines.extend(self.nodes.iter().enumerate().map(|(place, (name, node))| {
            json!({
                "id": format!("node/{name}"), "type": "node", "name": name, "ip": node.address, "level": "",
                "nodeid": place, "online": u8::from(node.online), "local": u8::from(name == here),
            })
        }));
        Answer::data(lines.into()).after(self.profile.read)
    }

    /// From statistics: up to ten seconds old.
    pub(super) fn get_resources(&self, call: &Call) -> Answer {
        let wanted = call.parameters.get("type");
        let mut lines: Vec<Value> = Vec::new();
        if wanted.is_none_or(|kind| kind == "vm") {
            let seen =
                self.guests.iter().filter(|(id, _)| self.may(&call.who, &format!("/vms/{id}"), "VM.Audit"));
            lines.extend(seen.map(|(id, guest)| {
                let mut line = self.resource(*id, guest);
                if let Some((pool, _)) = self.pools.iter().find(|(_, members)| members.contains(id)) {
                    line["pool"] = json!(pool);
                }
                line
            }));
        }
        if wanted.is_none_or(|kind| kind == "node") {
            lines.extend(self.nodes.iter().map(|(name, node)| {
                let mut line = json!({
                    "id": format!("node/{name}"), "type": "node", "node": name, "level": "", "cgroup-mode": 2,
                    "status": if node.online { "online" } else { "offline" },
                });
                for (key, value) in self.node_figures() {
                    line[key] = value;
                }
                line
            }));
        }
        if wanted.is_none_or(|kind| kind == "storage") {
            for node in self.nodes.keys() {
                lines.extend(self.storages.iter().map(|(name, storage)| {
                    json!({
                        "id": format!("storage/{node}/{name}"), "type": "storage", "node": node, "storage": name,
                        "plugintype": storage.keeping.as_str(), "content": storage.content.join(","),
                        "shared": u8::from(storage.shared), "maxdisk": storage.total, "disk": 0,
                        "status": if storage.enabled { "available" } else { "unknown" },
                    })
                }));
            }
        }
        Answer::data(lines.into()).after(self.profile.read)
    }

    pub(super) fn resource(&self, id: u32, guest: &Guest) -> Value {
        let kind = guest.kind.as_str();
        let mut line = match guest.kind {
            Kind::Lxc => self.lxc_line(id, guest),
            Kind::Qemu => self.qemu_line(id, guest),
        };
        let known = guest.born.is_zero() || self.now >= guest.born + GATHERED;
        if guest.kind == Kind::Qemu && !known {
            line = json!({ "vmid": id, "status": "unknown", "tags": guest.get("tags") });
        } else if let Some(fields) = line.as_object_mut() {
            let cpus = fields.remove("cpus").unwrap_or_default();
            fields.retain(|key, _| !["swap", "maxswap", "serial", "pid"].contains(&key.as_str()));
            fields.retain(|key, _| !key.starts_with("pressure"));
            fields.insert("maxcpu".into(), cpus);
            for key in ["diskread", "diskwrite", "memhost"] {
                fields.entry(key).or_insert(json!(0));
            }
            fields.insert("template".into(), json!(u8::from(guest.has("template"))));
        }
        if let Some(lock) = guest.get("lock") {
            line["lock"] = json!(lock);
        }
        (line["id"], line["type"], line["node"]) =
            (json!(format!("{kind}/{id}")), json!(kind), json!(guest.node));
        line
    }

    pub(super) fn list_guests(&self, call: &Call, kind: Kind, node: &str) -> Answer {
        let here = self.guests.iter().filter(|(id, guest)| {
            guest.kind == kind && guest.node == node && self.may(&call.who, &format!("/vms/{id}"), "VM.Audit")
        });
        let lines = here.map(|(id, guest)| match kind {
            Kind::Lxc => self.lxc_line(*id, guest),
            Kind::Qemu => self.qemu_line(*id, guest),
        });
        Answer::data(lines.collect()).after(self.profile.read)
    }

    pub(super) fn list_pools(&self, call: &Call) -> Answer {
        let seen =
            self.pools.keys().filter(|pool| self.may(&call.who, &format!("/pool/{pool}"), "Pool.Audit"));
        Answer::data(seen.map(|pool| json!({ "poolid": pool })).collect()).after(self.profile.read)
    }

    pub(super) fn list_pool(&self, call: &Call, pool: &str) -> Result<Answer, Refusal> {
        Ok(Answer::data(json!([self.pool_with_members(call, pool)?])).after(self.profile.read))
    }

    pub(super) fn get_pool(&self, call: &Call, pool: &str) -> Result<Answer, Refusal> {
        Ok(Answer::data(self.pool_with_members(call, pool)?).after(self.profile.read))
    }

    fn pool_with_members(&self, call: &Call, pool: &str) -> Result<Value, Refusal> {
        self.check(&call.who, &format!("/pool/{pool}"), &["Pool.Audit"], Need::All)?;
        let Some(members) = self.pools.get(pool) else {
            return Err(Refusal::died(format!("no such pool '{pool}'")));
        };
        let members = members.iter().filter_map(|id| Some(self.resource(*id, self.guests.get(id)?)));
        Ok(json!({ "poolid": pool, "members": members.collect::<Vec<_>>() }))
    }

    /// Changes that wait, of either kind.
    pub(super) fn get_pending(
        &self,
        call: &Call,
        kind: Kind,
        node: &str,
        id: u32,
    ) -> Result<Answer, Refusal> {
        self.check(&call.who, &format!("/vms/{id}"), &["VM.Audit"], Need::All)?;
        let guest = self.guest(kind, node, id).map_err(Refusal::died)?;
        Ok(Answer::data(guest.shown_pending().into()).after(self.profile.read))
    }
}

fn bridge_line(bridge: &str) -> Value {
    json!({
        "iface": bridge, "type": "bridge", "active": 1, "autostart": 1, "method": "static", "method6": "manual",
        "address": "10.78.0.1", "netmask": "24", "cidr": "10.78.0.1/24", "families": ["inet"], "priority": 3,
        "bridge_ports": "", "bridge_stp": "off", "bridge_fd": "0",
    })
}

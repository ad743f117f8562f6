//! A small Incus in memory: instances, volumes, files and operations that take a moment, and guests that have a report.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use firstlight_shared::beacon::{Beacon, Form, Reason, encode};
use firstlight_shared::ids::MachineId;
use firstlight_shared::paths::REPORT;
use firstlight_shared::wire::{Claim, Envelope, SecretOutcome, secret_prefix};
use serde_json::{Map, Value, json};

use super::report::Guest;
use crate::fake::{Reaction, Seen, Telling, error, ok, operation_as, started_as};

pub(crate) const GOLDEN: &str = "golden";
/// So long an operation takes.
const MOMENT: Duration = Duration::from_millis(80);

/// Handle on the world; clones share it. Its operations go on in the runtime of the test.
#[derive(Clone)]
pub(crate) struct World {
    kept: Arc<Mutex<Kept>>,
    telling: Telling,
}

#[derive(Default)]
struct Kept {
    instances: BTreeMap<String, Instance>,
    /// By name: their configuration.
    volumes: BTreeMap<String, Value>,
    /// In the order of their beginnings.
    operations: Vec<Value>,
}

struct Instance {
    status: &'static str,
    config: Map<String, Value>,
    devices: Map<String, Value>,
    ephemeral: bool,
    files: BTreeMap<String, Vec<u8>>,
    report: Option<(Guest, Envelope)>,
}

/// What an operation does at its end; else why it failed.
type Effect = fn(&mut Kept, &str) -> Result<(), String>;

impl World {
    pub(crate) fn new() -> Self {
        Self { kept: Arc::default(), telling: Telling::default() }
    }

    pub(crate) fn telling(&self) -> Telling {
        self.telling.clone()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Names and states of instances, and names of volumes.
    pub(crate) fn inventory(&self) -> (Vec<(String, &'static str)>, Vec<String>) {
        let kept = self.kept();
        let instances = kept.instances.iter().map(|(name, one)| (name.clone(), one.status)).collect();
        (instances, kept.volumes.keys().cloned().collect())
    }

    pub(crate) fn answer(&self, seen: &Seen) -> Reaction {
        let (method, target) = seen.line.split_once(' ').unwrap();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let parts: Vec<&str> = path.trim_start_matches("/1.0").trim_matches('/').split('/').collect();
        match (method, &parts[..]) {
            ("GET", ["events"]) => Reaction::Events,
            ("GET", ["operations", ..]) => self.operations(parts.get(1).copied()),
            ("POST", ["instances"]) => self.create(&seen.json()),
            ("DELETE", ["instances", name]) => self.delete(name),
            ("PUT", ["instances", name, "state"]) => self.change(name, &seen.json()),
            (_, ["instances", ..]) => self.kept().of_instances(method, &parts[1..], query, seen),
            (_, ["storage-pools", _, "volumes", "custom", ..]) => {
                self.kept().of_volumes(method, parts.get(4).copied(), seen)
            }
            ("GET", _) => constant(&parts),
            _ => error(404, "not found"),
        }
    }

    fn operations(&self, id: Option<&str>) -> Reaction {
        let kept = self.kept();
        let Some(id) = id else {
            let running: Vec<&Value> =
                kept.operations.iter().filter(|one| one["status_code"] == 103).collect();
            return ok(json!({ "running": running }));
        };
        let found = kept.operations.iter().find(|one| one["id"] == id);
        found.map_or_else(|| error(404, "Operation not found"), |one| ok(one.clone()))
    }

    /// It goes on however long its sender is gone.
    fn begin(&self, description: &str, instance: &str, effect: Effect) -> Reaction {
        let id = MachineId::from_random(rand::random()).expose();
        let id = [&id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..]].join("-");
        let begun = operation_as(&id, description, instance, 103, "");
        self.kept().operations.push(begun.clone());
        let (world, instance) = (self.clone(), instance.to_owned());
        tokio::spawn(async move {
            tokio::time::sleep(MOMENT).await;
            let ended = {
                let mut kept = world.kept();
                let failed = effect(&mut kept, &instance).err();
                let one = kept.operations.iter_mut().find(|one| one["id"] == *id).unwrap();
                let (code, status) = if failed.is_some() { (400, "Failure") } else { (200, "Success") };
                one["status_code"] = code.into();
                one["status"] = status.into();
                one["err"] = failed.unwrap_or_default().into();
                one.clone()
            };
            world.telling.tell(&json!({ "type": "operation", "timestamp": "2026-11-22T02:56:37.3Z",
                "metadata": ended, "location": "none", "project": "default" }));
        });
        started_as(&begun)
    }

    fn create(&self, body: &Value) -> Reaction {
        let name = body["name"].as_str().unwrap().to_owned();
        let mut kept = self.kept();
        if kept.instances.contains_key(&name) {
            drop(kept);
            return self.begin("Creating instance", &name, |_, _| {
                Err("Failed creating instance record: Add instance info to the database: Failed to create \"instances\" entry: UNIQUE constraint failed: instances.project_id, instances.name".to_owned())
            });
        }
        let object = |key: &str| body[key].as_object().cloned().unwrap_or_default();
        let instance = Instance {
            status: "Stopped",
            config: object("config"),
            devices: object("devices"),
            ephemeral: body["ephemeral"] == true,
            files: BTreeMap::new(),
            report: None,
        };
        kept.instances.insert(name.clone(), instance);
        drop(kept);
        self.begin("Creating instance", &name, |kept, name| {
            kept.mut_instance(name)?.config.insert("volatile.apply_template".to_owned(), "create".into());
            Ok(())
        })
    }

    fn delete(&self, name: &str) -> Reaction {
        match self.kept().instances.get(name).map(|one| one.status) {
            None => return no_instance(name),
            Some("Stopped") => {}
            Some(_) => return error(400, "Instance is running"),
        }
        self.begin("Deleting instance", name, |kept, name| {
            kept.instances.remove(name).map(drop).ok_or_else(|| "Instance not found".to_owned())
        })
    }

    fn change(&self, name: &str, body: &Value) -> Reaction {
        if !self.kept().instances.contains_key(name) {
            return no_instance(name);
        }
        match body["action"].as_str() {
            Some("start") => self.begin("Starting instance", name, Kept::start),
            Some("stop") => self.begin("Stopping instance", name, Kept::stop),
            _ => error(400, "Unknown action"),
        }
    }
}

impl Kept {
    fn mut_instance(&mut self, name: &str) -> Result<&mut Instance, String> {
        self.instances.get_mut(name).ok_or_else(|| "Instance not found".to_owned())
    }

    fn start(&mut self, name: &str) -> Result<(), String> {
        let number = u8::try_from(name.len() % 200).unwrap_or_default();
        let instance = self.mut_instance(name)?;
        if instance.status == "Running" {
            return Err("The instance is already running".to_owned());
        }
        instance.status = "Running";
        instance.config.remove("volatile.apply_template");
        instance.config.insert("volatile.last_state.power".to_owned(), "RUNNING".into());
        instance.report = instance.boot(name, number);
        Ok(())
    }

    fn stop(&mut self, name: &str) -> Result<(), String> {
        let instance = self.mut_instance(name)?;
        if instance.status == "Stopped" {
            return Err("The instance is already stopped".to_owned());
        }
        instance.status = "Stopped";
        if instance.ephemeral {
            self.instances.remove(name);
        }
        Ok(())
    }

    fn of_instances(&mut self, method: &str, parts: &[&str], query: &str, seen: &Seen) -> Reaction {
        let Some(name) = parts.first().copied() else {
            return ok(self.instances.iter().map(|(name, one)| one.shown(name)).collect());
        };
        let Some(instance) = self.instances.get_mut(name) else { return no_instance(name) };
        let path = percent_encoding::percent_decode_str(query).decode_utf8_lossy().into_owned();
        let path = path.split('&').find_map(|pair| pair.strip_prefix("path=")).unwrap_or_default();
        match (method, &parts[1..]) {
            ("GET", []) => ok(instance.shown(name)),
            ("PATCH", []) => {
                instance.patch(&seen.json());
                ok(Value::Null)
            }
            ("GET", ["state"]) => ok(instance.state()),
            ("GET", ["files"]) => match instance.file(path) {
                Some(content) => Reaction::Say(200, vec![("X-Incus-type", "file")], content),
                None => error(404, "Not Found"),
            },
            ("POST", ["files"]) => {
                instance.files.insert(path.to_owned(), seen.body.clone());
                ok(Value::Null)
            }
            ("GET", ["console"]) => Reaction::Say(200, Vec::new(), b"a console\n".to_vec()),
            _ => error(404, "not found"),
        }
    }

    fn of_volumes(&mut self, method: &str, name: Option<&str>, seen: &Seen) -> Reaction {
        let missing = || error(404, "Storage volume not found");
        match (method, name) {
            ("POST", None) => {
                let body = seen.json();
                let name = body["name"].as_str().unwrap().to_owned();
                if self.volumes.contains_key(&name) {
                    return error(409, "Volume by that name already exists");
                }
                self.volumes.insert(name, body["config"].clone());
                ok(Value::Null)
            }
            ("GET", Some(name)) => match self.volumes.get(name) {
                Some(config) => ok(json!({ "name": name, "content_type": "filesystem", "config": config })),
                None => missing(),
            },
            ("DELETE", Some(name)) => {
                let uses = |one: &Instance| one.devices.values().any(|device| device["source"] == name);
                if self.instances.values().any(uses) {
                    return error(400, "The storage volume is still in use");
                }
                self.volumes.remove(name).map_or_else(missing, |_| ok(Value::Null))
            }
            _ => error(404, "not found"),
        }
    }
}

impl Instance {
    fn shown(&self, name: &str) -> Value {
        let mut devices = usual_devices();
        devices.extend(self.devices.clone());
        json!({ "name": name, "status": self.status, "type": "container", "project": "default",
            "location": "none", "architecture": "x86_64", "ephemeral": self.ephemeral, "profiles": ["default"],
            "config": self.config, "devices": self.devices,
            "expanded_config": self.config, "expanded_devices": devices })
    }

    /// A key without a value goes.
    fn patch(&mut self, body: &Value) {
        for (key, value) in body["config"].as_object().into_iter().flatten() {
            match value.as_str() {
                Some("") | None => self.config.remove(key),
                Some(_) => self.config.insert(key.clone(), value.clone()),
            };
        }
        self.devices.extend(body["devices"].as_object().cloned().unwrap_or_default());
        self.ephemeral = body["ephemeral"].as_bool().unwrap_or(self.ephemeral);
    }

    /// What a real guest does, as far as a companion sees it. None: nobody told it who it is.
    fn boot(&self, name: &str, number: u8) -> Option<(Guest, Envelope)> {
        let text = |key: &str| self.config.get(key).and_then(Value::as_str);
        let claim = Claim::parse(text("user.firstlight.claim")?.as_bytes()).ok()?;
        let mac = text("volatile.eth0.hwaddr")?.parse().ok()?;
        let id = text("environment.container_uuid")?.replace('-', "").to_ascii_lowercase();
        let secrets = claim.secrets.iter().map(|expected| SecretOutcome {
            path: expected.path.clone(),
            sha256_prefix: self.files.get(&*expected.path).map(|content| secret_prefix(content)),
            mode: Some(expected.mode.clone()),
            owner: Some(expected.owner.clone()),
            problem: None,
        });
        let address = IpAddr::from(Ipv4Addr::new(10, 79, 0, number));
        let guest = Guest { name: name.to_owned(), mac, address };
        let envelope = guest.envelope_with(Some(&claim), &id.parse().ok()?, secrets.collect());
        Some((guest, envelope))
    }

    fn state(&self) -> Value {
        let shown = self.report.as_ref().filter(|_| self.status == "Running").map(|(guest, envelope)| {
            let beacon = Beacon::of_report(envelope, Reason::None).unwrap();
            let pieces = encode(&beacon, Form::Ipv6, 0);
            let lo: Vec<Value> = pieces.iter().map(|one| json!({ "address": one.to_string() })).collect();
            let address = json!([{ "address": guest.address.to_string(), "scope": "global" }]);
            json!({ "lo": { "addresses": lo }, "eth0": { "addresses": address, "hwaddr": guest.mac.to_string() } })
        });
        json!({ "status": self.status, "network": shown })
    }

    fn file(&self, path: &str) -> Option<Vec<u8>> {
        match &self.report {
            Some((_, envelope)) if path == REPORT && self.status == "Running" => {
                serde_json::to_vec(envelope).ok()
            }
            _ => self.files.get(path).cloned(),
        }
    }
}

fn usual_devices() -> Map<String, Value> {
    let devices = json!({ "root": { "type": "disk", "path": "/", "pool": "default" },
        "eth0": { "type": "nic", "network": "br0", "name": "eth0" } });
    devices.as_object().cloned().unwrap_or_default()
}

fn no_instance(name: &str) -> Reaction {
    error(404, &format!("Failed to fetch instance \"{name}\" in project \"default\": Instance not found"))
}

/// What never changes.
fn constant(parts: &[&str]) -> Reaction {
    let fingerprint = "ab".repeat(32);
    match parts {
        [""] => ok(
            json!({ "auth": "trusted", "environment": { "driver": "lxc | qemu", "architectures": ["x86_64"] } }),
        ),
        ["projects", name] => ok(json!({ "name": name, "config": {} })),
        ["profiles", name] => ok(json!({ "name": name, "config": {}, "devices": usual_devices() })),
        ["networks", name] => ok(json!({ "name": name, "type": "bridge", "managed": true, "config": {} })),
        ["storage-pools", name] => {
            ok(json!({ "name": name, "driver": "dir", "status": "Created", "config": {} }))
        }
        ["images", "aliases", name] if *name == GOLDEN => {
            ok(json!({ "name": name, "target": fingerprint, "type": "container" }))
        }
        ["images", one] if *one == fingerprint => {
            ok(json!({ "fingerprint": fingerprint, "type": "container", "architecture": "x86_64" }))
        }
        ["resources"] => ok(json!({ "memory": { "used": 0, "total": 1_u64 << 34 }, "cpu": { "total": 2 } })),
        _ => error(404, "not found"),
    }
}

//! What a container and a machine have in common: a configuration file, changes that wait, and a state.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use sha1::{Digest as _, Sha1};

use super::answer::{Answer, Refusal};
use super::call::Moment;
use super::world::World;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Lxc,
    Qemu,
}

impl Kind {
    /// Its part of API paths.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lxc => "lxc",
            Self::Qemu => "qemu",
        }
    }

    /// How messages call it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Lxc => "CT",
            Self::Qemu => "VM",
        }
    }

    pub fn lock_file(self, id: u32) -> String {
        match self {
            Self::Lxc => format!("/run/lock/lxc/pve-config-{id}.lock"),
            Self::Qemu => format!("/var/lock/qemu-server/lock-{id}.conf"),
        }
    }

    fn config_file(self, node: &str, id: u32) -> String {
        let folder = if self == Self::Lxc { "lxc" } else { "qemu-server" };
        format!("nodes/{node}/{folder}/{id}.conf")
    }

    /// Options that are numbers in JSON. Memory is text for machines, as it may have parts.
    fn is_number(self, key: &str) -> bool {
        let common = ["cores", "onboot", "protection", "template", "cpuunits", "cpulimit", "tty", "debug"];
        let own: &[&str] = match self {
            Self::Lxc => &["memory", "swap", "unprivileged", "console"],
            Self::Qemu => &["kvm", "sockets", "acpi", "numa", "tablet", "balloon", "vcpus", "ciupgrade"],
        };
        common.contains(&key) || own.contains(&key)
    }

    pub(super) fn value(self, key: &str, text: &str) -> Value {
        match text.parse::<u64>() {
            Ok(number) if self.is_number(key) => json!(number),
            _ if key == "cipassword" => json!("**********"),
            _ => json!(text),
        }
    }
}

pub fn missing(kind: Kind, node: &str, id: u32) -> String {
    format!("Configuration file '{}' does not exist", kind.config_file(node, id))
}

pub fn already_exists(kind: Kind, id: u32, node: &str) -> String {
    format!("{} {id} already exists on node '{node}'", kind.word())
}

pub fn lock_timeout(kind: Kind, id: u32) -> String {
    format!("can't lock file '{}' - got timeout", kind.lock_file(id))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Power {
    Stopped,
    Running { since: Moment, pid: u32 },
    Paused { since: Moment, pid: u32 },
}

#[derive(Debug, Clone)]
pub struct Guest {
    pub kind: Kind,
    pub node: String,
    pub config: BTreeMap<String, String>,
    /// Changes that wait for the next start; none is a removal.
    pub pending: BTreeMap<String, Option<String>>,
    pub power: Power,
    /// The archive that it was restored from.
    pub origin: Option<String>,
    /// By name.
    pub snapshots: BTreeMap<String, super::snapshot::Snapshot>,
    /// When its configuration was first written: statistics know it a moment later.
    pub born: Moment,
}

impl Guest {
    pub fn new(kind: Kind, node: &str, born: Moment) -> Self {
        let (config, pending) = (BTreeMap::new(), BTreeMap::new());
        Self {
            kind,
            node: node.into(),
            config,
            pending,
            power: Power::Stopped,
            origin: None,
            snapshots: BTreeMap::new(),
            born,
        }
    }

    pub fn is_running(&self) -> bool {
        self.power != Power::Stopped
    }

    pub fn get(&self, key: &str) -> Option<&str> {
        self.config.get(key).map(String::as_str)
    }

    pub fn set(&mut self, key: &str, value: impl Into<String>) {
        self.config.insert(key.into(), value.into());
    }

    /// A value that counts as true.
    pub fn has(&self, key: &str) -> bool {
        self.get(key) == Some("1")
    }

    /// `CT is locked (backup)`.
    pub fn check_lock(&self) -> Result<(), String> {
        match self.get("lock") {
            Some(lock) => Err(format!("{} is locked ({lock})", self.kind.word())),
            None => Ok(()),
        }
    }

    pub fn check_protection(&self, id: u32) -> Result<(), Refusal> {
        if self.has("protection") {
            let word = self.kind.word();
            return Err(Refusal::died(format!("can't remove {word} {id} - protection mode enabled")));
        }
        Ok(())
    }

    /// SHA-1 of the configuration file.
    pub fn digest(&self) -> String {
        let mut file = String::new();
        for (key, value) in &self.config {
            file += &format!("{key}: {value}\n");
        }
        if !self.pending.is_empty() {
            file += "[pve:pending]\n";
            for (key, value) in &self.pending {
                file +=
                    &value.as_ref().map_or(format!("delete: {key}\n"), |value| format!("{key}: {value}\n"));
            }
        }
        Sha1::digest(file.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// As GET config shows it: with the changes that wait, or as it is now.
    pub fn shown(&self, current: bool) -> Value {
        let mut shown: BTreeMap<String, String> = self.config.clone();
        if !current {
            for (key, value) in &self.pending {
                match value {
                    Some(value) => shown.insert(key.clone(), value.clone()),
                    None => shown.remove(key),
                };
            }
        }
        let mut shown: Map<String, Value> =
            shown.into_iter().map(|(key, text)| (key.clone(), self.kind.value(&key, &text))).collect();
        shown.insert("digest".into(), json!(self.digest()));
        Value::Object(shown)
    }

    /// As GET pending shows it.
    pub fn shown_pending(&self) -> Vec<Value> {
        let value = |key: &str, text: &str| self.kind.value(key, text);
        let mut shown: Vec<Value> = Vec::new();
        for (key, text) in &self.config {
            let mut line = json!({ "key": key, "value": value(key, text) });
            match self.pending.get(key) {
                Some(Some(new)) => line["pending"] = value(key, new),
                Some(None) => line["delete"] = json!(1),
                None => {}
            }
            shown.push(line);
        }
        let new = self.pending.iter().filter(|(key, _)| !self.config.contains_key(*key));
        shown.extend(
            new.filter_map(|(key, text)| Some(json!({ "key": key, "pending": value(key, text.as_ref()?) }))),
        );
        shown.push(json!({ "key": "digest", "value": self.digest() }));
        shown
    }

    /// Makes what waits true, as a start does for containers and a stop for machines.
    pub fn apply_pending(&mut self) {
        for (key, value) in std::mem::take(&mut self.pending) {
            match value {
                Some(value) => self.config.insert(key, value),
                None => self.config.remove(&key),
            };
        }
    }
}

impl World {
    /// The guest of this kind on this node, or the words of a missing configuration.
    pub(super) fn guest(&self, kind: Kind, node: &str, id: u32) -> Result<&Guest, String> {
        match self.guests.get(&id) {
            Some(guest) if guest.kind == kind && guest.node == node => Ok(guest),
            _ => Err(missing(kind, node, id)),
        }
    }

    pub(super) fn guest_mut(&mut self, kind: Kind, node: &str, id: u32) -> Result<&mut Guest, String> {
        match self.guests.get_mut(&id) {
            Some(guest) if guest.kind == kind && guest.node == node => Ok(guest),
            _ => Err(missing(kind, node, id)),
        }
    }

    /// Whose the number is already, in the words of the real check.
    pub(super) fn taken(&self, id: u32) -> Option<String> {
        self.guests.get(&id).map(|guest| already_exists(guest.kind, id, &guest.node))
    }

    pub(super) fn get_config(&self, guest: &Guest, current: bool) -> Answer {
        Answer::data(guest.shown(current)).after(self.profile.read)
    }
}

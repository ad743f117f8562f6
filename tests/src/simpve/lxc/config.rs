//! PUT of a container's configuration, and of the size of its disks.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::access::Need;
use super::super::answer::{Answer, Refusal};
use super::super::call::Call;
use super::super::guest::{Guest, Kind, lock_timeout};
use super::super::property::{Properties, gibibytes, parse_size, print_size};
use super::super::schema;
use super::super::storage::{Keeping, storage_of};
use super::super::task::{Job, Stage};
use super::super::world::{Halt, World};
use super::rights::Applicant;

/// Options that a running container takes at once.
const AT_ONCE: [&str; 12] = [
    "description",
    "onboot",
    "startup",
    "protection",
    "hostname",
    "hookscript",
    "cores",
    "tags",
    "memory",
    "swap",
    "net",
    "mp",
];
const CHANGED: &str = "detected modified configuration - file changed by other user? Try again.";

impl World {
    pub(in super::super) fn put_lxc_config(
        &mut self,
        call: &Call,
        node: &str,
        id: u32,
    ) -> Result<Answer, Halt> {
        let wanted =
            ["VM.Config.Disk", "VM.Config.CPU", "VM.Config.Memory", "VM.Config.Network", "VM.Config.Options"];
        self.check(&call.who, &format!("/vms/{id}"), &wanted, Need::Any)?;
        schema::LXC_CONFIG.check(&call.parameters)?;
        self.refuse_unknown(call)?;
        let change = Change::of(call)?;
        let guest = self.guest(Kind::Lxc, node, id).map_err(Refusal::died)?;
        let unprivileged = guest.has("unprivileged");
        let applicant = Applicant { who: &call.who, id, pool: None, unprivileged };
        let keys = change.set.keys().chain(&change.delete).map(String::as_str);
        self.check_lxc_options(applicant, keys, &guest.config, &change.set)?;
        self.wait_for_guest(call, id, self.profile.locks.guest, || lock_timeout(Kind::Lxc, id))?;

        let guest = self.guest(Kind::Lxc, node, id).map_err(Refusal::died)?;
        guest.check_lock().map_err(Refusal::died)?;
        if call.parameters.get("digest").is_some_and(|digest| digest != guest.digest()) {
            return Err(Refusal::died(CHANGED).into());
        }
        self.check_lxc_change(&change).map_err(Refusal::died)?;
        for (key, value) in &change.set {
            self.set_lxc_option(node, id, key, value)?;
        }
        for key in &change.delete {
            self.delete_lxc_option(id, key);
        }
        // Written before the bridge is looked for: the change stays, whatever is said.
        for value in change.set.iter().filter(|(key, _)| key.starts_with("net")).map(|(_, value)| value) {
            self.require_bridge(value).map_err(Refusal::died)?;
        }
        Ok(Answer::data(Value::Null).after(self.profile.write))
    }

    /// What this version does not know yet. Read from the code, not recorded.
    pub(super) fn refuse_unknown(&self, call: &Call) -> Result<(), Refusal> {
        let mut numbers = self.version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
        let numbers = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        if numbers < (9, 1) && call.parameters.get("env").is_some() {
            let text =
                "property is not defined in schema and the schema does not allow additional properties";
            return Err(Refusal::parameter("env", text));
        }
        Ok(())
    }

    fn check_lxc_change(&self, change: &Change) -> Result<(), String> {
        if change.delete.iter().any(|key| key == "unprivileged") {
            return Err("unable to delete read-only option: 'unprivileged'".into());
        }
        if change.set.contains_key("unprivileged") {
            return Err("unable to modify read-only option: 'unprivileged'".into());
        }
        for (_, disk) in change.set.iter().filter(|(key, _)| *key == "rootfs" || key.starts_with("mp")) {
            let name = storage_of(disk);
            if !self.storage(name)?.holds("rootdir") {
                return Err(format!("storage '{name}' does not allow content type 'rootdir' (Container)"));
            }
        }
        Ok(())
    }

    pub(in super::super) fn require_bridge(&self, net: &str) -> Result<(), String> {
        match Properties::parse(net, "name").get("bridge") {
            Some(bridge) if !self.bridges.contains(bridge) => {
                Err(format!("bridge '{bridge}' does not exist"))
            }
            _ => Ok(()),
        }
    }

    fn set_lxc_option(&mut self, node: &str, id: u32, key: &str, value: &str) -> Result<(), Refusal> {
        let value = self.lxc_value(node, id, key, value).map_err(Refusal::died)?;
        let Some(guest) = self.guests.get_mut(&id) else { return Ok(()) };
        if !guest.is_running() || takes_at_once(key) {
            guest.pending.remove(key);
            guest.set(key, value);
        } else {
            guest.pending.insert(key.into(), Some(value));
        }
        Ok(())
    }

    fn delete_lxc_option(&mut self, id: u32, key: &str) {
        let Some(guest) = self.guests.get_mut(&id) else { return };
        if guest.is_running() && !takes_at_once(key) {
            if guest.config.contains_key(key) {
                guest.pending.insert(key.into(), None);
            }
            return;
        }
        let Some(value) = guest.config.remove(key) else { return };
        match Properties::parse(&value, "volume").get("volume").map(str::to_owned) {
            Some(volume) if key.starts_with("mp") => keep_unused(guest, &volume),
            Some(volume) if key.starts_with("unused") => drop(self.volumes.remove(&volume)),
            _ => {}
        }
    }

    /// The value as it stands in the file: new disks are made, missing MACs chosen.
    pub(super) fn lxc_value(
        &mut self,
        node: &str,
        id: u32,
        key: &str,
        value: &str,
    ) -> Result<String, String> {
        if key.starts_with("net") {
            return Ok(self.lxc_net(value));
        }
        if key == "rootfs" || key.starts_with("mp") {
            return self.lxc_disk(node, id, value);
        }
        Ok(if key == "description" {
            format!("{}\n", value.trim_end_matches('\n'))
        } else {
            value.to_owned()
        })
    }

    pub(super) fn lxc_net(&mut self, value: &str) -> String {
        let mut net = Properties::parse(value, "name");
        if net.get("hwaddr").is_none() {
            net.set("hwaddr", &self.mac());
        }
        if net.get("type").is_none() {
            net.set("type", "veth");
        }
        net.print(&["name"], false)
    }

    /// `local:10` and `local:1,mp=/x` make a disk; what names a volume stays as it is.
    pub(super) fn lxc_disk(&mut self, node: &str, id: u32, value: &str) -> Result<String, String> {
        let mut disk = Properties::parse(value, "volume");
        let volume = disk.get("volume").unwrap_or_default().to_owned();
        if let Some((storage, size)) = new_disk(&volume) {
            let made = self.allocate(node, id, storage, size)?;
            disk.set("volume", &made);
            disk.set("size", &print_size(size));
        }
        Ok(disk.print(&["volume", "mp"], true))
    }

    pub(in super::super) fn put_lxc_resize(
        &mut self,
        call: &Call,
        node: &str,
        id: u32,
    ) -> Result<Answer, Halt> {
        self.check(&call.who, &format!("/vms/{id}"), &["VM.Config.Disk"], Need::Any)?;
        schema::RESIZE.check(&call.parameters)?;
        self.check(&call.who, &format!("/vms/{id}"), &["VM.Config.Options"], Need::All)?;
        self.guest(Kind::Lxc, node, id).map_err(Refusal::died)?;
        self.wait_for_guest(call, id, self.profile.locks.guest, || lock_timeout(Kind::Lxc, id))?;
        let job = self.plan_resize(call, node, id)?;
        let upid = self.fork(node, "resize", &id.to_string(), &call.who, Box::new(job));
        Ok(Answer::data(json!(upid)).after(self.profile.fork))
    }

    fn plan_resize(&self, call: &Call, node: &str, id: u32) -> Result<Resize, Refusal> {
        let (key, wanted) = (call.parameters.get("disk"), call.parameters.get("size"));
        let (key, wanted) = (key.unwrap_or_default(), wanted.unwrap_or_default());
        let guest = self.guest(Kind::Lxc, node, id).map_err(Refusal::died)?;
        guest.check_lock().map_err(Refusal::died)?;
        let lacks = "property is missing and it is not optional";
        let disk = guest.get(key).map(|disk| Properties::parse(disk, "volume"));
        let volume = disk.as_ref().and_then(|disk| disk.get("volume")).map(str::to_owned);
        let (Some(disk), Some(volume)) = (disk, volume) else {
            return Err(Refusal::died_with("format error", &[("mp", lacks), ("volume", lacks)]));
        };
        let old = disk.get("size").and_then(parse_size).unwrap_or(0);
        let size = match wanted.strip_prefix('+') {
            Some(more) => old.saturating_add(parse_size(more).unwrap_or(0)),
            None => parse_size(wanted).unwrap_or(0),
        };
        let path = format!("/storage/{}", storage_of(&volume));
        self.check(&call.who, &path, &["Datastore.AllocateSpace"], Need::All)?;
        match size.cmp(&old) {
            std::cmp::Ordering::Less => Err(Refusal::died("unable to shrink disk size")),
            std::cmp::Ordering::Equal => Err(Refusal::died("disk is already at specified size")),
            std::cmp::Ordering::Greater => Ok(Resize { node: node.into(), id, key: key.into(), size }),
        }
    }
}

fn takes_at_once(key: &str) -> bool {
    AT_ONCE.contains(&key.trim_end_matches(|letter: char| letter.is_ascii_digit()))
}

fn keep_unused(guest: &mut Guest, volume: &str) {
    let free = (0..).map(|number| format!("unused{number}")).find(|key| !guest.config.contains_key(key));
    guest.set(&free.unwrap_or_default(), volume);
}

/// Storage and bytes of `storage:GiB`.
pub(super) fn new_disk(volume: &str) -> Option<(&str, u64)> {
    let (storage, size) = volume.split_once(':')?;
    Some((storage, gibibytes(size)?))
}

/// What a PUT sets and deletes.
#[derive(Debug)]
pub(in super::super) struct Change {
    pub(in super::super) set: BTreeMap<String, String>,
    pub(in super::super) delete: Vec<String>,
}

impl Change {
    pub(in super::super) fn of(call: &Call) -> Result<Self, Refusal> {
        let own = ["delete", "revert", "digest", "force", "background_delay", "skiplock"];
        let set: BTreeMap<String, String> = call
            .parameters
            .iter()
            .filter(|(key, _)| !own.contains(key))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        let listed = call.parameters.get("delete").unwrap_or_default();
        let delete: Vec<String> =
            listed.split([',', ';', ' ']).filter(|key| !key.is_empty()).map(str::to_owned).collect();
        match delete.iter().find(|key| set.contains_key(*key)) {
            Some(key) => Err(Refusal::parameter(
                "delete",
                format!("you can't use '-{key}' and -delete {key}' at the same time"),
            )),
            None => Ok(Self { set, delete }),
        }
    }
}

#[derive(Debug)]
struct Resize {
    node: String,
    id: u32,
    key: String,
    size: u64,
}

impl Job for Resize {
    fn flock(&self, world: &World) -> Option<(Kind, u32, std::time::Duration)> {
        Some((Kind::Lxc, self.id, world.profile.locks.guest))
    }

    fn begin(&mut self, world: &mut World, log: &mut Vec<String>) -> Result<Vec<Stage>, String> {
        let guest = world.guest(Kind::Lxc, &self.node, self.id)?;
        let volume = guest.get(&self.key).unwrap_or_default();
        let btrfs = world.storages.get(storage_of(volume)).is_some_and(|one| one.keeping == Keeping::Btrfs);
        log.push("Image resized.".into());
        let slow = !guest.is_running() && !btrfs;
        Ok(vec![Stage::of(if slow { world.profile.resize_stopped_container } else { world.profile.resize })])
    }

    fn finish(&mut self, world: &mut World, log: &mut Vec<String>) -> Result<usize, String> {
        let guest = world.guest_mut(Kind::Lxc, &self.node, self.id)?;
        let mut disk = Properties::parse(guest.get(&self.key).unwrap_or_default(), "volume");
        disk.set("size", &print_size(self.size));
        let volume = disk.get("volume").unwrap_or_default().to_owned();
        guest.set(&self.key, disk.print(&["volume", "mp"], true));
        if let Some(kept) = world.volumes.get_mut(&volume) {
            kept.size = self.size;
        }
        let path = world.path_of(&volume);
        log.push("resize2fs 1.47.2 (1-Jan-2025)".into());
        log.push(format!("The filesystem on {path} is now {} (4k) blocks long.", self.size / 4096));
        Ok(0)
    }
}

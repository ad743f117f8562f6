//! The worker of a machine's restore, which cleans up little when it fails.

use std::collections::BTreeMap;

use super::super::guest::Kind;
use super::super::power::Start;
use super::super::property::{Properties, parse_size, print_size};
use super::super::storage::Archive;
use super::super::task::{Job, Stage, Stop};
use super::super::world::World;
use super::{is_drive, is_net};

const NOT_CLEANED: &str =
    "error before or during data restore, some or all disks were not completely restored.";

#[derive(Debug, Default)]
pub(super) struct Restore {
    pub(super) node: String,
    pub(super) id: u32,
    pub(super) who: String,
    /// Where all disks go; else where the archive had them.
    pub(super) storage: Option<String>,
    /// The request's options: they beat the archive's, and `unique`.
    pub(super) given: BTreeMap<String, String>,
    pub(super) pool: Option<String>,
    pub(super) start: bool,
    pub(super) unique: bool,
    /// KiB per second.
    pub(super) limit: Option<u64>,
    pub(super) archive: String,
    /// Volumes, by key.
    pub(super) made: BTreeMap<String, String>,
    /// The number in the names of its temporary files.
    pub(super) number: u64,
    pub(super) begun: bool,
}

impl Restore {
    fn source(&self, world: &World) -> Result<Archive, String> {
        world.archive(&self.archive, &self.node).cloned()
    }

    /// Reads, unpacks and writes: the worker's pipe, as logs and errors have it.
    fn pipe(&self, world: &World) -> String {
        let path = world.path_of(&self.archive);
        let read = match self.limit {
            Some(limit) => format!("cstream -t {} -- {path} | zstd -q -d -c -", limit.saturating_mul(1024)),
            None => format!("zstd -q -d -c {path}"),
        };
        let number = self.number;
        format!("{read} | vma extract -v -r /var/tmp/vzdumptmp{number}.fifo - /var/tmp/vzdumptmp{number}")
    }

    fn broken_pipe(&self, world: &World, end: &str) -> String {
        format!("command 'set -o pipefail && {}' failed: {end}", self.pipe(world))
    }

    /// What is only looked at by the worker.
    fn check(&self, world: &World, source: &Archive) -> Result<(), String> {
        if source.kind == Kind::Lxc {
            let path = world.path_of(&self.archive);
            return Err(format!("ERROR: file '{path}' does not look like a QemuServer vzdump backup"));
        }
        for (key, value) in &source.config {
            if is_net(key) && !self.given.contains_key(key) {
                world.check_bridge(&self.who, value).map_err(|refusal| refusal.in_task())?;
            }
            if key.starts_with("usb") && value.contains("host=") {
                return Err(format!("only root can set '{key}' config for real devices"));
            }
        }
        Ok(())
    }

    fn merged(&self, world: &mut World, source: &Archive) -> BTreeMap<String, String> {
        let mut merged = source.config.clone();
        for key in ["lock", "parent"] {
            merged.remove(key);
        }
        if merged.get("vmgenid").is_some_and(|generation| generation != "0") {
            merged.insert("vmgenid".into(), world.random.uuid());
        }
        if self.unique {
            let nets: Vec<String> = merged.keys().filter(|key| is_net(key)).cloned().collect();
            for key in nets {
                let fresh = fresh_net(world, &merged[&key]);
                merged.insert(key, fresh);
            }
            let mut smbios = Properties::parse(merged.get("smbios1").map_or("", String::as_str), "");
            smbios.set("uuid", &world.random.uuid());
            merged.insert("smbios1".into(), smbios.print(&[], false));
        }
        for (key, volume) in &self.made {
            let mut drive = Properties::parse(&merged[key], "volume");
            drive.set("volume", volume);
            merged.insert(key.clone(), drive.print(&["volume"], true));
        }
        for (key, value) in &self.given {
            let value = if is_net(key) { world.qemu_net(value) } else { value.clone() };
            merged.insert(key.clone(), value);
        }
        merged
    }
}

fn fresh_net(world: &mut World, net: &str) -> String {
    let (model, rest) = net.split_once(',').unwrap_or((net, ""));
    let model = model.split('=').next().unwrap_or_default();
    world.qemu_net(&format!("{model},{rest}"))
}

impl Job for Restore {
    fn flock(&self, world: &World) -> Option<(Kind, u32, std::time::Duration)> {
        Some((Kind::Qemu, self.id, world.profile.locks.qemu_restore))
    }

    fn begin(&mut self, world: &mut World, log: &mut Vec<String>) -> Result<Vec<Stage>, String> {
        if world.guest(Kind::Qemu, &self.node, self.id)?.is_running() {
            return Err(format!("unable to restore VM {} - vm is running", self.id));
        }
        let source = self.source(world)?;
        self.check(world, &source)?;
        self.begun = true;
        self.number = world.random.between(1000, 9999);
        world.destroy_volumes(self.id, false);
        world.guest_mut(Kind::Qemu, &self.node, self.id)?.config.clear();
        world.guest_mut(Kind::Qemu, &self.node, self.id)?.set("memory", "128");
        if let Some(limit) = self.limit {
            log.push(format!("applying read rate limit: {limit}"));
        }
        log.push(format!("restore vma archive: {}", self.pipe(world)));
        let storage = self.storage.clone().unwrap_or_else(|| "local".into());
        // More than twice what the limit alone would make of it: so it was measured.
        let slowed = self.limit.map_or(0, |limit| source.size * 5 / 2 / limit.saturating_mul(1024).max(1));
        let extract = world.profile.extract / 2 + std::time::Duration::from_secs(slowed);
        Ok(vec![Stage::under(&storage, world.profile.allocate / 2), Stage::of(extract)])
    }

    fn advance(&mut self, world: &mut World, stage: usize, log: &mut Vec<String>) -> Result<(), String> {
        let source = self.source(world)?;
        if stage > 0 {
            return match source.broken {
                true => Err(self.broken_pipe(world, "exit code 133")),
                false => Ok(()),
            };
        }
        for (key, drive) in source.config.iter().filter(|(key, _)| is_drive(key)) {
            let drive = Properties::parse(drive, "volume");
            let Some(size) = drive.get("size").and_then(parse_size) else { continue };
            let own = drive.get("volume").map(super::super::storage::storage_of).unwrap_or("local");
            let storage = self.storage.as_deref().unwrap_or(own).to_owned();
            let made = world.allocate(&self.node, self.id, &storage, size);
            let mut volume = made.map_err(|text| self.broken_pipe(world, &text))?;
            if source.config.get("template").is_some_and(|template| template == "1") {
                volume = as_base(world, &volume);
            }
            log.push(format!(
                "Formatting '{}', fmt=raw size={size} preallocation=off",
                world.path_of(&volume)
            ));
            log.push(format!("new volume ID is '{volume}'"));
            self.made.insert(key.clone(), volume);
        }
        Ok(())
    }

    fn finish(&mut self, world: &mut World, log: &mut Vec<String>) -> Result<usize, String> {
        let source = self.source(world)?;
        let config = self.merged(world, &source);
        let guest = world.guest_mut(Kind::Qemu, &self.node, self.id)?;
        (guest.config, guest.origin) = (config, Some(self.archive.clone()));
        log.push(format!("rescan volumes... {}", print_size(source.data)));
        world.join_pool_and_start(&self.node, self.id, &self.who, self.pool.as_deref(), self.start);
        Ok(0)
    }

    fn stop(&mut self, world: &mut World, how: &Stop, log: &mut Vec<String>) -> String {
        let id = self.id;
        let text = match how {
            Stop::Failed(text) => text.clone(),
            Stop::Interrupted => self.broken_pipe(world, "interrupted by signal"),
        };
        if self.begun {
            world.volumes.retain(|_, volume| volume.id != id);
        }
        log.push(format!("{NOT_CLEANED} VM {id} state is NOT cleaned up."));
        text
    }
}

/// The disks of templates have another name.
fn as_base(world: &mut World, volume: &str) -> String {
    let base = volume.replace("/vm-", "/base-");
    if let Some(kept) = world.volumes.remove(volume) {
        world.volumes.insert(base.clone(), kept);
    }
    base
}

impl World {
    /// The end of every restore and creation of a machine.
    pub(super) fn join_pool_and_start(
        &mut self,
        node: &str,
        id: u32,
        who: &str,
        pool: Option<&str>,
        start: bool,
    ) {
        if let Some(pool) = pool {
            self.pools.entry(pool.to_owned()).or_default().insert(id);
        }
        if start {
            let job = Start { kind: Kind::Qemu, node: node.to_owned(), id };
            self.fork_nested(node, "qmstart", &id.to_string(), who, Box::new(job));
        }
    }
}

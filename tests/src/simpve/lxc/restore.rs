//! POST of a container: from a template, or from a backup with everything that the request changes.

use std::collections::BTreeMap;

use serde_json::json;

use super::super::access::Need;
use super::super::answer::{Answer, Refusal};
use super::super::call::{Call, Parameters, is_true};
use super::super::guest::{Guest, Kind, already_exists, lock_timeout};
use super::super::power::Start;
use super::super::property::{Properties, parse_size};
use super::super::schema;
use super::super::storage::{Archive, storage_of};
use super::super::task::{Job, Stage, Stop};
use super::super::world::{Halt, World};
use super::config::new_disk;
use super::rights::Applicant;
use super::template;

/// Parameters of the call that are no options of the container.
const OWN: [&str; 13] = [
    "vmid",
    "ostemplate",
    "restore",
    "storage",
    "unique",
    "force",
    "pool",
    "start",
    "bwlimit",
    "ignore-unpack-errors",
    "password",
    "ssh-public-keys",
    "ha-managed",
];

impl World {
    pub(in super::super) fn post_lxc(&mut self, call: &Call, node: &str) -> Result<Answer, Halt> {
        schema::LXC_CREATE.check(&call.parameters)?;
        self.refuse_unknown(call)?;
        let mut job = self.plan_lxc(call, node)?;
        let (id, word, task) = (job.id, job.word(), job.task());
        let prefix = move |text: String| format!("unable to {word} CT {id} - {text}");
        self.wait_for_guest(call, id, self.profile.locks.create, || prefix(lock_timeout(Kind::Lxc, id)))?;
        if std::mem::take(&mut self.lose_race) {
            self.put_guest(id, Kind::Lxc, node, &[("hostname", "faster")]);
            return Err(Refusal::died(prefix(already_exists(Kind::Lxc, id, node))).into());
        }
        if let Some(guest) = self.guests.get(&id) {
            guest.check_lock().map_err(|text| Refusal::died(prefix(text)))?;
            job.replaced = self.disks(id).into_iter().map(|(_, volume)| volume).collect();
        }
        let mut guest = Guest::new(Kind::Lxc, node, self.now);
        guest.set("lock", "create");
        guest.origin = self.archives.contains_key(&job.archive).then(|| job.archive.clone());
        self.guests.insert(id, guest);
        let upid = self.fork(node, task, &id.to_string(), &call.who, Box::new(job));
        Ok(Answer::data(json!(upid)).after(self.profile.fork))
    }

    /// All that is refused before a worker is started.
    fn plan_lxc(&self, call: &Call, node: &str) -> Result<Restore, Refusal> {
        let parameters = &call.parameters;
        let id = parameters.number("vmid").and_then(|id| u32::try_from(id).ok()).unwrap_or(0);
        let restore = parameters.flag("restore");
        let (who, pool) = (call.who.as_str(), parameters.get("pool"));
        let unprivileged = parameters.get("unprivileged").map_or(!restore, is_true);
        if !restore && !unprivileged {
            self.check(who, "/", &["Sys.Modify"], Need::All)?;
        }
        self.check_lxc_target(id, restore && parameters.flag("force"))?;
        if let Some(pool) = pool.filter(|pool| !self.pools.contains_key(*pool)) {
            return Err(Refusal::died(format!("pool '{pool}' does not exist")));
        }
        self.check_guest_or_pool(who, id, pool, "VM.Allocate")
            .map_err(|_| Refusal::forbidden_without_words())?;
        let storage = parameters.get("storage").unwrap_or("local").to_owned();
        let given = given_options(parameters, &storage);
        let applicant = Applicant { who, id, pool, unprivileged };
        let keys = given.keys().map(String::as_str).filter(|key| *key != "unprivileged");
        self.check_lxc_options(applicant, keys, &BTreeMap::new(), &given)?;
        let archive = parameters.get("ostemplate").unwrap_or_default().to_owned();
        self.check_source(who, &archive, id, restore)?;
        self.check_lxc_storages(who, &given, &storage)?;
        Ok(Restore {
            node: node.into(),
            id,
            who: who.into(),
            restore,
            archive,
            storage,
            given,
            unique: parameters.flag("unique"),
            pool: pool.map(str::to_owned),
            start: parameters.flag("start"),
            made: BTreeMap::new(),
            replaced: Vec::new(),
            begun: false,
        })
    }

    /// The number is free, or its container may be overwritten.
    fn check_lxc_target(&self, id: u32, force: bool) -> Result<(), Refusal> {
        match (self.guests.get(&id), self.taken(id)) {
            (Some(guest), _) if force && guest.kind == Kind::Lxc => {
                if guest.is_running() {
                    return Err(Refusal::died("can't overwrite running container"));
                }
                if guest.has("protection") {
                    return Err(Refusal::died(format!(
                        "unable to restore CT {id} - protection mode enabled"
                    )));
                }
                Ok(())
            }
            (_, Some(text)) => Err(Refusal::died(text)),
            (_, None) => Ok(()),
        }
    }

    /// The storages of the disks that are asked for, or else the one where the archive's will go.
    fn check_lxc_storages(
        &self,
        who: &str,
        given: &BTreeMap<String, String>,
        otherwise: &str,
    ) -> Result<(), Refusal> {
        let disks: Vec<&str> =
            given.iter().filter(|(key, _)| is_disk(key)).map(|(_, disk)| storage_of(disk)).collect();
        if !given.contains_key("rootfs") {
            return match disks.is_empty() {
                true => self.check_target(who, otherwise),
                false => Err(Refusal::died("mount points configured, but 'rootfs' not set - aborting")),
            };
        }
        disks.into_iter().try_for_each(|storage| self.check_target(who, storage))
    }

    fn check_target(&self, who: &str, name: &str) -> Result<(), Refusal> {
        let storage = self.active_storage(name).map_err(Refusal::died)?;
        if !storage.holds("rootdir") {
            let text = format!("storage '{name}' does not support container directories");
            return Err(Refusal::parameter("storage", text));
        }
        self.check(who, &format!("/storage/{name}"), &["Datastore.AllocateSpace"], Need::All)
    }
}

/// The container's options of a POST; a disk that is only a number goes to the default storage.
fn given_options(parameters: &Parameters, storage: &str) -> BTreeMap<String, String> {
    let options = parameters.iter().filter(|(key, _)| !OWN.contains(key));
    options
        .map(|(key, value)| match is_disk(key) && value.parse::<f64>().is_ok() {
            true => (key.to_owned(), format!("{storage}:{value}")),
            false => (key.to_owned(), value.to_owned()),
        })
        .collect()
}

fn is_disk(key: &str) -> bool {
    key == "rootfs" || key.strip_prefix("mp").is_some_and(|rest| rest.parse::<u16>().is_ok())
}

fn is_net(key: &str) -> bool {
    key.strip_prefix("net").is_some_and(|rest| rest.parse::<u16>().is_ok())
}

#[derive(Debug)]
struct Restore {
    node: String,
    id: u32,
    who: String,
    restore: bool,
    archive: String,
    storage: String,
    given: BTreeMap<String, String>,
    unique: bool,
    pool: Option<String>,
    start: bool,
    /// Disks, by key.
    made: BTreeMap<String, String>,
    /// Disks of the container that it takes the place of: freed once the new ones are there.
    replaced: Vec<String>,
    begun: bool,
}

impl Restore {
    fn word(&self) -> &'static str {
        if self.restore { "restore" } else { "create" }
    }

    fn task(&self) -> &'static str {
        if self.restore { "vzrestore" } else { "vzcreate" }
    }

    /// What it is made of: an archive, or a bare template, which has only an operating system.
    fn source(&self, world: &World) -> Result<Archive, String> {
        world.archive(&self.archive, &self.node).cloned()
    }

    /// The rights that are only looked at by the worker.
    fn check(&self, world: &World, source: &Archive) -> Result<(), String> {
        let nets = source.config.iter().filter(|(key, _)| is_net(key) && !self.given.contains_key(*key));
        for (_, net) in nets {
            world.check_bridge(&self.who, net).map_err(|refusal| refusal.in_task())?;
        }
        let unprivileged = self.given.get("unprivileged").or(source.config.get("unprivileged"));
        if self.restore && unprivileged.is_none_or(|text| text != "1") {
            world.check(&self.who, "/", &["Sys.Modify"], Need::All).map_err(|refusal| refusal.in_task())?;
        }
        Ok(())
    }

    /// Keys and wishes of the disks: the request's, or else all of the archive's on one storage.
    fn wishes(&self, source: &Archive) -> Vec<(String, String)> {
        let own = |config: &BTreeMap<String, String>| {
            let disks = config.iter().filter(|(key, _)| is_disk(key));
            disks.map(|(key, disk)| (key.clone(), disk.clone())).collect::<Vec<_>>()
        };
        let mut wishes =
            if self.given.contains_key("rootfs") { own(&self.given) } else { own(&source.config) };
        if wishes.is_empty() {
            wishes.push(("rootfs".into(), format!("{}:4", self.storage)));
        }
        // The root file system is made first, and gets the first number.
        wishes.sort_by_key(|(key, _)| (key != "rootfs", key.clone()));
        wishes
    }

    fn make_disk(&self, world: &mut World, wish: &str, log: &mut Vec<String>) -> Result<String, String> {
        let mut disk = Properties::parse(wish, "volume");
        let volume = disk.get("volume").unwrap_or_default().to_owned();
        let text = match new_disk(if volume.contains(':') { &volume } else { "" }) {
            Some(_) => world.lxc_disk(&self.node, self.id, wish)?,
            None => {
                let size = disk.get("size").and_then(parse_size).unwrap_or(4 << 30);
                let made = world.allocate(&self.node, self.id, &self.storage, size)?;
                disk.set("volume", &made);
                disk.print(&["volume", "mp"], true)
            }
        };
        let made = Properties::parse(&text, "volume");
        let size = made.get("size").and_then(parse_size).unwrap_or(0);
        let path = world.path_of(made.get("volume").unwrap_or_default());
        log.push(format!("Formatting '{path}', fmt=raw size={size} preallocation=off"));
        log.push(format!("Creating filesystem with {} 4k blocks and {} inodes", size / 4096, size / 16384));
        log.push(format!("Filesystem UUID: {}", world.random.uuid()));
        Ok(text)
    }

    /// The request's options first; the archive fills the gaps.
    fn merged(&self, world: &mut World, source: &Archive) -> BTreeMap<String, String> {
        let mut merged = BTreeMap::new();
        for (key, value) in &source.config {
            if is_disk(key) || key.starts_with("unused") {
                continue;
            }
            let mut value = value.clone();
            if is_net(key) && self.unique {
                let mut net = Properties::parse(&value, "name");
                net.remove("hwaddr");
                value = world.lxc_net(&net.print_as_given());
            }
            merged.insert(key.clone(), value);
        }
        for (key, value) in self.given.iter().filter(|(key, _)| !is_disk(key)) {
            if is_net(key) && self.unique {
                continue;
            }
            let value = world.lxc_value(&self.node, self.id, key, value).unwrap_or_default();
            merged.insert(key.clone(), value);
        }
        if !self.restore {
            template::fill_gaps(&mut merged);
        }
        merged.extend(self.made.clone());
        merged
    }

    /// The command that unpacks, as it stands in errors.
    fn unpacking(&self, end: &str) -> String {
        let id = self.id;
        format!(
            "command 'lxc-usernsexec -m u:0:100000:65536 -m g:0:100000:65536 -- tar xpf - --zstd --totals \
             --one-file-system -p --sparse --numeric-owner --acls --xattrs '--xattrs-include=user.*' \
             '--xattrs-include=security.capability' '--warning=no-file-ignored' '--warning=no-xattr-write' \
             -C /var/lib/lxc/{id}/rootfs --skip-old-files --anchored --exclude './dev/*'' failed: {end}"
        )
    }
}

impl Job for Restore {
    fn flock(&self, world: &World) -> Option<(Kind, u32, std::time::Duration)> {
        Some((Kind::Lxc, self.id, world.profile.locks.guest))
    }

    fn begin(&mut self, world: &mut World, log: &mut Vec<String>) -> Result<Vec<Stage>, String> {
        self.begun = true;
        if self.restore {
            log.push(format!("recovering backed-up configuration from '{}'", self.archive));
        }
        let source = self.source(world)?;
        self.check(world, &source)?;
        let rootfs =
            self.given.get("rootfs").map_or(self.storage.as_str(), |disk| storage_of(disk)).to_owned();
        Ok(vec![Stage::under(&rootfs, world.profile.allocate), Stage::of(world.profile.extract)])
    }

    fn advance(&mut self, world: &mut World, stage: usize, log: &mut Vec<String>) -> Result<(), String> {
        let source = self.source(world)?;
        if stage == 0 {
            for (key, wish) in self.wishes(&source) {
                let disk = self.make_disk(world, &wish, log)?;
                self.made.insert(key, disk);
            }
            for volume in std::mem::take(&mut self.replaced) {
                world.volumes.remove(&volume);
            }
            if self.restore {
                log.push(format!("restoring '{}' now..", self.archive));
            }
            log.push(format!("extracting archive '{}'", world.path_of(&self.archive)));
            world.machines.restore(self.id, &self.archive);
            return Ok(());
        }
        let rootfs = self.made.get("rootfs").map(|disk| Properties::parse(disk, "volume"));
        let room = rootfs.and_then(|disk| disk.get("size").and_then(parse_size)).unwrap_or(0);
        if source.broken || source.data > room {
            return Err(self.unpacking("exit code 2"));
        }
        log.push(format!("Total bytes read: {} ({}MiB, 94MiB/s)", source.data, source.data >> 20));
        Ok(())
    }

    fn finish(&mut self, world: &mut World, log: &mut Vec<String>) -> Result<usize, String> {
        let source = self.source(world)?;
        match self.restore {
            true => log.push("merging backed-up and given configuration..".into()),
            false => template::say_set_up(log),
        }
        if !source.raw_lines.is_empty() {
            log.push("WARN: skipping custom lxc options, restore manually as root:".into());
            log.push("-".repeat(32));
            log.extend(source.raw_lines.clone());
            log.push("-".repeat(32));
        }
        let config = self.merged(world, &source);
        if let Some(guest) = self.given_guest(world) {
            guest.config = config;
        }
        if let Some(pool) = &self.pool {
            world.pools.entry(pool.clone()).or_default().insert(self.id);
        }
        if self.start {
            let job = Start { kind: Kind::Lxc, node: self.node.clone(), id: self.id };
            world.fork_nested(&self.node, "vzstart", &self.id.to_string(), &self.who, Box::new(job));
        }
        Ok(usize::from(!source.raw_lines.is_empty()))
    }

    fn stop(&mut self, world: &mut World, how: &Stop, _log: &mut Vec<String>) -> String {
        let text = match how {
            Stop::Failed(text) if !self.begun => return text.clone(),
            Stop::Failed(text) => text.clone(),
            Stop::Interrupted => self.unpacking("received interrupt"),
        };
        world.destroy_volumes(self.id, true);
        world.machines.remove(self.id);
        world.guests.remove(&self.id);
        format!("unable to {} CT {} - {text}", self.word(), self.id)
    }
}

impl Restore {
    fn given_guest<'a>(&self, world: &'a mut World) -> Option<&'a mut Guest> {
        world.guests.get_mut(&self.id)
    }
}

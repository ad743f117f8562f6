//! POST of a machine: which of the two it is, and making one from nothing.

use std::collections::BTreeMap;

use serde_json::json;

use super::super::access::Need;
use super::super::answer::{Answer, Refusal};
use super::super::call::Call;
use super::super::guest::{Guest, Kind, already_exists, lock_timeout};
use super::super::schema;
use super::super::task::{Job, Stage, Stop};
use super::super::world::{Halt, World};
use super::restore::Restore;
use super::rights::Applicant;
use super::{is_drive, is_net};

/// Parameters of the call that are no options of the machine.
const OWN: [&str; 9] =
    ["vmid", "archive", "storage", "unique", "force", "pool", "start", "bwlimit", "live-restore"];

impl World {
    pub(in super::super) fn post_qemu(&mut self, call: &Call, node: &str) -> Result<Answer, Halt> {
        schema::QEMU_CREATE.check(&call.parameters)?;
        let parameters = &call.parameters;
        let id = parameters.number("vmid").and_then(|id| u32::try_from(id).ok()).unwrap_or(0);
        let restores = parameters.get("archive").is_some();
        let given = self.check_qemu_post(call, id)?;
        let word = if restores { "restore" } else { "create" };
        let prefix = |text: String| format!("unable to {word} VM {id} - {text}");
        self.wait_for_guest(call, id, self.profile.locks.create, || prefix(lock_timeout(Kind::Qemu, id)))?;
        if std::mem::take(&mut self.lose_race) {
            self.put_guest(id, Kind::Qemu, node, &[("name", "faster")]);
            return Err(Refusal::died(prefix(already_exists(Kind::Qemu, id, node))).into());
        }
        let force = restores && parameters.flag("force");
        match (self.guests.get(&id), self.taken(id)) {
            (Some(guest), _) if force && guest.kind == Kind::Qemu => {
                guest.check_lock().map_err(|text| Refusal::died(prefix(text)))?;
            }
            (_, Some(text)) => return Err(Refusal::died(prefix(text)).into()),
            (_, None) => {}
        }
        let (task, job) = self.qemu_job(call, node, id, given);
        let upid = self.fork(node, task, &id.to_string(), &call.who, job);
        Ok(Answer::data(json!(upid)).after(self.profile.fork))
    }

    /// What the worker will do. A restore's configuration is there before it, and empty.
    fn qemu_job(
        &mut self,
        call: &Call,
        node: &str,
        id: u32,
        given: BTreeMap<String, String>,
    ) -> (&'static str, Box<dyn Job>) {
        let parameters = &call.parameters;
        let start = parameters.flag("start");
        let pool = parameters.get("pool").map(str::to_owned);
        let (node, who) = (node.to_owned(), call.who.clone());
        let Some(archive) = parameters.get("archive") else {
            return ("qmcreate", Box::new(Create { node, id, who, given, pool, start }));
        };
        self.guests.entry(id).or_insert_with(|| Guest::new(Kind::Qemu, &node, self.now));
        let job = Restore {
            node,
            id,
            who,
            storage: parameters.get("storage").map(str::to_owned),
            given,
            pool,
            start,
            unique: parameters.flag("unique"),
            limit: parameters.number("bwlimit"),
            archive: archive.to_owned(),
            ..Restore::default()
        };
        ("qmrestore", Box::new(job))
    }

    /// All rights that are looked at before there is a worker; the options given.
    fn check_qemu_post(&self, call: &Call, id: u32) -> Result<BTreeMap<String, String>, Refusal> {
        let parameters = &call.parameters;
        let (who, pool, archive) = (call.who.as_str(), parameters.get("pool"), parameters.get("archive"));
        if let Some(storage) = parameters.get("storage") {
            self.check(who, &format!("/storage/{storage}"), &["Datastore.AllocateSpace"], Need::All)?;
        }
        if let Some(pool) = pool.filter(|pool| !self.pools.contains_key(*pool)) {
            return Err(Refusal::died(format!("pool '{pool}' does not exist")));
        }
        self.check_guest_or_pool(who, id, pool, "VM.Allocate")
            .map_err(|_| Refusal::forbidden_without_words())?;
        if parameters.flag("start") {
            self.check_guest_or_pool(who, id, pool, "VM.PowerMgmt")?;
        }
        let mut given: BTreeMap<String, String> = parameters
            .iter()
            .filter(|(key, _)| !OWN.contains(key))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        if let Some(tags) = given.get_mut("tags") {
            *tags = super::config::tidy_tags(tags);
        }
        if archive.is_some()
            && let Some(key) = given.keys().find(|key| is_drive(key))
        {
            return Err(Refusal::parameter(key, "option conflicts with option 'archive'"));
        }
        let applicant = Applicant { who, id, pool, creates: true };
        for (key, value) in &given {
            super::config::check_import(key, value)?;
            self.check_qemu_option(applicant, key, value)?;
        }
        if let Some(archive) = archive {
            self.check_archive_access(who, archive, id)?;
            if !self.archives.contains_key(archive) {
                return Err(Refusal::died(format!("volume '{archive}' does not exist")));
            }
        }
        Ok(given)
    }
}

#[derive(Debug)]
struct Create {
    node: String,
    id: u32,
    who: String,
    given: BTreeMap<String, String>,
    pool: Option<String>,
    start: bool,
}

impl Job for Create {
    fn flock(&self, world: &World) -> Option<(Kind, u32, std::time::Duration)> {
        Some((Kind::Qemu, self.id, world.profile.locks.qemu_restore))
    }

    fn begin(&mut self, world: &mut World, log: &mut Vec<String>) -> Result<Vec<Stage>, String> {
        if let Some(text) = world.taken(self.id) {
            return Err(text);
        }
        if self.given.contains_key("tags") {
            let path = format!("/vms/{}", self.id);
            world
                .check(&self.who, &path, &["VM.Config.Options"], Need::All)
                .map_err(|refusal| refusal.in_task())?;
        }
        let mut guest = Guest::new(Kind::Qemu, &self.node, world.now);
        guest.set("lock", "create");
        world.guests.insert(self.id, guest);
        for (key, value) in self.given.clone() {
            let value = world.qemu_value(&self.node, self.id, &key, &value, log)?;
            self.given.insert(key, value);
        }
        Ok(vec![Stage::of(world.profile.resize)])
    }

    fn finish(&mut self, world: &mut World, _log: &mut Vec<String>) -> Result<usize, String> {
        let mut config = std::mem::take(&mut self.given);
        let mut order: Vec<&str> = config
            .iter()
            .filter(|(key, drive)| is_drive(key) && !drive.contains("media=cdrom"))
            .map(|(key, _)| key.as_str())
            .collect();
        order.extend(config.keys().map(String::as_str).filter(|key| is_net(key)));
        let order = if order.is_empty() { " ".to_owned() } else { format!("order={}", order.join(";")) };
        let defaults = [
            ("boot", order),
            ("smbios1", format!("uuid={}", world.random.uuid())),
            ("vmgenid", world.random.uuid()),
            ("meta", format!("creation-qemu=10.0.13,ctime={}", world.epoch())),
        ];
        for (key, value) in defaults {
            config.entry(key.into()).or_insert(value);
        }
        world.guest_mut(Kind::Qemu, &self.node, self.id)?.config = config;
        world.join_pool_and_start(&self.node, self.id, &self.who, self.pool.as_deref(), self.start);
        Ok(0)
    }

    fn stop(&mut self, world: &mut World, how: &Stop, _log: &mut Vec<String>) -> String {
        let text = match how {
            Stop::Failed(text) => text.clone(),
            Stop::Interrupted => "received interrupt".into(),
        };
        let ours = world.guests.get(&self.id).is_some_and(|guest| guest.get("lock") == Some("create"));
        if ours {
            world.destroy_volumes(self.id, true);
            world.guests.remove(&self.id);
        }
        format!("unable to create VM {} - {text}", self.id)
    }
}

//! PUT and POST of a machine's configuration.

use serde_json::{Value, json};

use super::super::access::Need;
use super::super::answer::{Answer, Refusal};
use super::super::call::Call;
use super::super::guest::{Kind, lock_timeout};
use super::super::lxc::Change;
use super::super::property::{Properties, gibibytes, print_size};
use super::super::schema;
use super::super::storage::NewVolume;
use super::super::task::{Job, Stage};
use super::super::world::{Halt, World};
use super::rights::Applicant;
use super::{is_drive, is_net};

const ANY_OF: [&str; 8] = [
    "VM.Config.Disk",
    "VM.Config.CDROM",
    "VM.Config.CPU",
    "VM.Config.Memory",
    "VM.Config.Network",
    "VM.Config.HWType",
    "VM.Config.Options",
    "VM.Config.Cloudinit",
];
/// Options that a running machine takes at once; networks and drives are plugged in.
const AT_ONCE: [&str; 16] = [
    "name",
    "description",
    "tags",
    "onboot",
    "protection",
    "startup",
    "hookscript",
    "ciuser",
    "cipassword",
    "cicustom",
    "sshkeys",
    "ipconfig",
    "nameserver",
    "searchdomain",
    "hotplug",
    "net",
];
const CHANGED: &str = "checksum mismatch (file change by other user?)";

impl World {
    pub(in super::super) fn put_qemu_config(
        &mut self,
        call: &Call,
        node: &str,
        id: u32,
    ) -> Result<Answer, Halt> {
        self.update_qemu(call, node, id)?;
        Ok(Answer::data(Value::Null).after(self.profile.write))
    }

    /// The asynchronous form: a task, or nothing if it was done within the delay that the caller grants.
    pub(in super::super) fn post_qemu_config(
        &mut self,
        call: &Call,
        node: &str,
        id: u32,
    ) -> Result<Answer, Halt> {
        self.update_qemu(call, node, id)?;
        if call.parameters.get("background_delay").is_some() {
            return Ok(Answer::data(Value::Null).after(self.profile.write));
        }
        let change = Change::of(call)?;
        let set = change.set.iter().map(|(key, value)| format!(" -{key} {value}"));
        let line = format!("update VM {id}:{}", set.collect::<String>());
        let upid = self.fork(node, "qmconfig", &id.to_string(), &call.who, Box::new(Tell(line)));
        Ok(Answer::data(json!(upid)).after(self.profile.fork))
    }

    fn update_qemu(&mut self, call: &Call, node: &str, id: u32) -> Result<(), Halt> {
        self.check(&call.who, &format!("/vms/{id}"), &ANY_OF, Need::Any)?;
        schema::QEMU_CONFIG.check(&call.parameters)?;
        let change = Change::of(call)?;
        if let Some(script) = change.set.get("hookscript") {
            let text = format!("script '{script}' does not exist\n");
            return Err(Refusal::parameter("hookscript", text).into());
        }
        let applicant = Applicant { who: &call.who, id, pool: None, creates: false };
        for (key, value) in &change.set {
            self.check_qemu_option(applicant, key, value)?;
        }
        for key in &change.delete {
            self.check_qemu_option(applicant, key, "")?;
        }
        self.guest(Kind::Qemu, node, id).map_err(Refusal::died)?;
        self.wait_for_guest(call, id, self.profile.locks.guest, || lock_timeout(Kind::Qemu, id))?;
        let guest = self.guest(Kind::Qemu, node, id).map_err(Refusal::died)?;
        if call.parameters.get("digest").is_some_and(|digest| digest != guest.digest()) {
            return Err(Refusal::died(CHANGED).into());
        }
        guest.check_lock().map_err(Refusal::died)?;
        self.apply_qemu(call, node, id, &change)?;
        Ok(())
    }

    fn apply_qemu(&mut self, call: &Call, node: &str, id: u32, change: &Change) -> Result<(), Refusal> {
        let running = self.guest(Kind::Qemu, node, id).map_err(Refusal::died)?.is_running();
        for (key, value) in &change.set {
            let value = if key == "cipassword" { hashed() } else { value.clone() };
            let value = self.qemu_value(node, id, key, &value, &mut Vec::new()).map_err(Refusal::died)?;
            let plugs = !is_net(key) || !running || self.require_bridge(&value).is_ok();
            let guest = self.guest_mut(Kind::Qemu, node, id).map_err(Refusal::died)?;
            if running && !(takes_at_once(key) && plugs) {
                guest.pending.insert(key.clone(), Some(value));
            } else {
                guest.pending.remove(key);
                guest.set(key, value);
            }
            if !plugs {
                // It fails, and the new value stays as one that waits.
                return Err(hotplug_problem(id, key));
            }
        }
        for key in &change.delete {
            self.delete_qemu_option(id, key, running);
        }
        for key in call.parameters.get("revert").unwrap_or_default().split(',') {
            self.guest_mut(Kind::Qemu, node, id).map_err(Refusal::died)?.pending.remove(key);
        }
        Ok(())
    }

    fn delete_qemu_option(&mut self, id: u32, key: &str, running: bool) {
        let Some(guest) = self.guests.get_mut(&id) else { return };
        if running && !takes_at_once(key) {
            if guest.config.contains_key(key) {
                guest.pending.insert(key.into(), None);
            }
            return;
        }
        let Some(value) = guest.config.remove(key) else { return };
        let volume = Properties::parse(&value, "volume").get("volume").unwrap_or_default().to_owned();
        if key.starts_with("unused") || value.contains("media=cdrom") {
            self.volumes.remove(&volume);
        } else if is_drive(key) {
            let free = (0..).map(|number| format!("unused{number}"));
            let free = free.take(256).find(|key| !guest.config.contains_key(key));
            guest.set(&free.unwrap_or_default(), volume);
        }
    }

    /// The value as it stands in the file: new disks are made, missing MACs chosen, tags sorted out.
    pub(super) fn qemu_value(
        &mut self,
        node: &str,
        id: u32,
        key: &str,
        value: &str,
        log: &mut Vec<String>,
    ) -> Result<String, String> {
        if is_net(key) {
            return Ok(self.qemu_net(value));
        }
        if key == "tags" {
            return Ok(tidy_tags(value));
        }
        if !is_drive(key) {
            return Ok(value.to_owned());
        }
        let mut drive = Properties::parse(value, "volume");
        let volume = drive.get("volume").unwrap_or_default().to_owned();
        let Some((storage, what)) = volume.split_once(':') else { return Ok(value.to_owned()) };
        if what == "cloudinit" {
            let made = self.make_volume(NewVolume { node, id, storage, size: 4 << 20, cloud_init: true })?;
            return Ok(format!("{made},media=cdrom"));
        }
        let Some(size) = gibibytes(what) else { return Ok(value.to_owned()) };
        let size = if drive.get("import-from").is_some() { 1536 << 20 } else { size };
        drive.remove("import-from");
        let made = self.allocate(node, id, storage, size)?;
        log.push(format!("Formatting '{}', fmt=raw size={size} preallocation=off", self.path_of(&made)));
        drive.set("volume", &made);
        drive.set("size", &print_size(size));
        Ok(drive.print(&["volume"], true))
    }
}

fn takes_at_once(key: &str) -> bool {
    is_drive(key)
        || key.starts_with("unused")
        || AT_ONCE.contains(&key.trim_end_matches(|letter: char| letter.is_ascii_digit()))
}

/// Lower case, each once.
pub(super) fn tidy_tags(tags: &str) -> String {
    let mut tidy: Vec<String> = Vec::new();
    for tag in tags.split([';', ',', ' ']).map(str::to_lowercase).filter(|tag| !tag.is_empty()) {
        if !tidy.contains(&tag) {
            tidy.push(tag);
        }
    }
    tidy.join(";")
}

/// A drive may only be imported as a whole, and from a volume.
pub(super) fn check_import(key: &str, value: &str) -> Result<(), Refusal> {
    let drive = Properties::parse(value, "volume");
    let Some(source) = drive.get("import-from").filter(|_| is_drive(key)) else { return Ok(()) };
    if source.starts_with('/') {
        let text =
            "Only root can pass arbitrary filesystem paths. at /usr/share/perl5/PVE/Storage.pm line 651.";
        return Err(Refusal::died(text));
    }
    if drive.get("volume").is_some_and(|volume| !volume.ends_with(":0")) {
        let text = "'import-from' requires special syntax - use <storage ID>:0,import-from=<source>";
        return Err(Refusal::parameter(key, text));
    }
    Ok(())
}

/// The real one salts and hashes; nobody here reads it back.
fn hashed() -> String {
    "$5$simulated$".into()
}

fn hotplug_problem(id: u32, key: &str) -> Refusal {
    let words = "network script /usr/libexec/qemu-server/pve-bridge-hotplug failed with status 512\n";
    Refusal::parameter(key, format!("hotplug problem - VM {id} qmp command 'netdev_add' failed - {words}"))
}

/// A task that has nothing left to do.
#[derive(Debug)]
struct Tell(String);

impl Job for Tell {
    fn begin(&mut self, _world: &mut World, log: &mut Vec<String>) -> Result<Vec<Stage>, String> {
        log.push(self.0.clone());
        Ok(Vec::new())
    }

    fn finish(&mut self, _world: &mut World, _log: &mut Vec<String>) -> Result<usize, String> {
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_lose_case_and_doubles() {
        assert_eq!(tidy_tags("a;B;a"), "a;b");
    }
}

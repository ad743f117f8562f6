//! Growing a machine's disk: everything but the schema and the rights is looked at by the worker.

use std::time::Duration;

use serde_json::json;

use super::super::access::Need;
use super::super::answer::{Answer, Refusal};
use super::super::call::Call;
use super::super::guest::Kind;
use super::super::property::{Properties, parse_size, print_size};
use super::super::schema;
use super::super::task::{Job, Stage};
use super::super::world::World;
use super::is_drive;

impl World {
    pub(in super::super) fn put_qemu_resize(
        &mut self,
        call: &Call,
        node: &str,
        id: u32,
    ) -> Result<Answer, Refusal> {
        self.check(&call.who, &format!("/vms/{id}"), &["VM.Config.Disk"], Need::Any)?;
        schema::QEMU_RESIZE.check(&call.parameters)?;
        let key = call.parameters.get("disk").unwrap_or_default().to_owned();
        if !is_drive(&key) {
            let text = format!("value '{key}' does not have a value in the enumeration '{}'", all_drives());
            return Err(Refusal::parameter("disk", text));
        }
        let size = call.parameters.get("size").unwrap_or_default().to_owned();
        let job = Resize { node: node.into(), id, key, wish: size, size: 0 };
        let upid = self.fork(node, "resize", &id.to_string(), &call.who, Box::new(job));
        Ok(Answer::data(json!(upid)).after(self.profile.fork))
    }
}

fn all_drives() -> String {
    let mut drives = Vec::new();
    for (kind, count) in
        [("ide", 4), ("scsi", 31), ("virtio", 16), ("sata", 6), ("efidisk", 1), ("tpmstate", 1)]
    {
        drives.extend((0..count).map(|number| format!("{kind}{number}")));
    }
    drives.join(", ")
}

#[derive(Debug)]
struct Resize {
    node: String,
    id: u32,
    key: String,
    wish: String,
    size: u64,
}

impl Job for Resize {
    fn flock(&self, world: &World) -> Option<(Kind, u32, Duration)> {
        Some((Kind::Qemu, self.id, world.profile.locks.guest))
    }

    fn begin(&mut self, world: &mut World, log: &mut Vec<String>) -> Result<Vec<Stage>, String> {
        let guest = world.guest(Kind::Qemu, &self.node, self.id)?;
        guest.check_lock()?;
        let Some(drive) = guest.get(&self.key) else {
            return Err(format!("disk '{}' does not exist", self.key));
        };
        let drive = Properties::parse(drive, "volume");
        let old = drive.get("size").and_then(parse_size).unwrap_or(0);
        self.size = match self.wish.strip_prefix('+') {
            Some(more) => old.saturating_add(parse_size(more).unwrap_or(0)),
            None => parse_size(&self.wish).unwrap_or(0),
        };
        if self.size < old {
            return Err("shrinking disks is not supported".into());
        }
        if guest.has("template") {
            let path = world.path_of(drive.get("volume").unwrap_or_default());
            let size = self.size;
            return Err(format!(
                "command '/usr/bin/qemu-img resize '--preallocation=off' -f raw {path} {size}' failed: exit code 1"
            ));
        }
        if self.size > old && !guest.is_running() {
            log.push("Image resized.".into());
        }
        Ok(vec![Stage::of(world.profile.resize)])
    }

    fn finish(&mut self, world: &mut World, _log: &mut Vec<String>) -> Result<usize, String> {
        let guest = world.guest_mut(Kind::Qemu, &self.node, self.id)?;
        let mut drive = Properties::parse(guest.get(&self.key).unwrap_or_default(), "volume");
        drive.set("size", &print_size(self.size));
        guest.set(&self.key, drive.print(&["volume"], true));
        if let Some(kept) = drive.get("volume").and_then(|volume| world.volumes.get_mut(volume)) {
            kept.size = self.size;
        }
        Ok(0)
    }
}

//! Destroying a guest with all that belongs to it.

use std::time::Duration;

use serde_json::json;

use super::super::access::Need;
use super::super::answer::{Answer, Refusal};
use super::super::call::Call;
use super::super::guest::{Kind, Power};
use super::super::schema;
use super::super::task::{Job, Stage};
use super::super::world::World;

impl World {
    pub(in super::super) fn delete_guest(
        &mut self,
        call: &Call,
        kind: Kind,
        node: &str,
        id: u32,
    ) -> Result<Answer, Refusal> {
        self.check(&call.who, &format!("/vms/{id}"), &["VM.Allocate"], Need::All)?;
        match kind {
            Kind::Lxc => schema::LXC_DELETE.check(&call.parameters)?,
            Kind::Qemu => schema::QEMU_DELETE.check(&call.parameters)?,
        }
        let force = call.parameters.flag("force");
        let guest = self.guest(kind, node, id).map_err(Refusal::died)?;
        if kind == Kind::Lxc {
            guest.check_lock().map_err(Refusal::died)?;
        }
        guest.check_protection(id)?;
        if guest.is_running() && !force {
            return Err(Refusal::died(match kind {
                Kind::Lxc => format!("unable to destroy CT {id} - container is running"),
                Kind::Qemu => format!("VM {id} is running - destroy failed"),
            }));
        }
        let job = Destroy {
            kind,
            node: node.into(),
            id,
            purge: call.parameters.flag("purge"),
            unreferenced: call.parameters.flag("destroy-unreferenced-disks"),
        };
        let task = if kind == Kind::Lxc { "vzdestroy" } else { "qmdestroy" };
        let upid = self.fork(node, task, &id.to_string(), &call.who, Box::new(job));
        Ok(Answer::data(json!(upid)).after(self.profile.fork))
    }

    /// Frees the disks that the configuration names; with `all`, every other one of this number, too.
    pub(in super::super) fn destroy_volumes(&mut self, id: u32, all: bool) {
        for (_, volume) in self.disks(id) {
            self.volumes.remove(&volume);
        }
        if all {
            self.volumes.retain(|_, volume| volume.id != id);
        }
    }

    /// Turns a guest off, whatever it is at.
    pub(in super::super) fn turn_off(&mut self, id: u32) {
        self.machines.stop(id);
        if let Some(guest) = self.guests.get_mut(&id) {
            guest.power = Power::Stopped;
            if guest.kind == Kind::Qemu {
                guest.apply_pending();
            }
        }
    }
}

#[derive(Debug)]
struct Destroy {
    kind: Kind,
    node: String,
    id: u32,
    purge: bool,
    unreferenced: bool,
}

impl Job for Destroy {
    fn flock(&self, world: &World) -> Option<(Kind, u32, Duration)> {
        Some((self.kind, self.id, world.profile.locks.guest))
    }

    fn begin(&mut self, world: &mut World, log: &mut Vec<String>) -> Result<Vec<Stage>, String> {
        let guest = world.guest(self.kind, &self.node, self.id)?;
        guest.check_lock()?;
        let mut lasts = world.profile.destroy;
        if guest.is_running() {
            match self.kind {
                Kind::Lxc => log.push(format!("forced to stop CT {} before destroying!", self.id)),
                Kind::Qemu => return Err(format!("VM {} is running - destroy failed", self.id)),
            }
            lasts += world.profile.stop;
        }
        if self.purge {
            log.push(format!("purging {} {} from related configurations..", self.kind.word(), self.id));
        }
        Ok(vec![Stage::of(lasts)])
    }

    fn finish(&mut self, world: &mut World, _log: &mut Vec<String>) -> Result<usize, String> {
        let id = self.id;
        world.turn_off(id);
        world.destroy_volumes(id, self.unreferenced);
        world.machines.remove(id);
        world.guests.remove(&id);
        for members in world.pools.values_mut() {
            members.remove(&id);
        }
        world.access.forget_path(&format!("/vms/{id}"));
        Ok(0)
    }
}

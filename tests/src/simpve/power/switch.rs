//! Reset, pause and resume of a machine.

use super::super::guest::{Kind, Power};
use super::super::task::{Job, Stage};
use super::super::world::World;

#[derive(Debug)]
pub(super) struct Switch {
    pub(super) node: String,
    pub(super) id: u32,
    pub(super) action: String,
}

impl Job for Switch {
    fn begin(&mut self, world: &mut World, _log: &mut Vec<String>) -> Result<Vec<Stage>, String> {
        world.guest(Kind::Qemu, &self.node, self.id)?.check_lock()?;
        Ok(Vec::new())
    }

    fn finish(&mut self, world: &mut World, _log: &mut Vec<String>) -> Result<usize, String> {
        let now = world.now;
        let guest = world.guest_mut(Kind::Qemu, &self.node, self.id)?;
        let (Power::Running { since, pid } | Power::Paused { since, pid }) = guest.power else {
            return Ok(0);
        };
        guest.power = match self.action.as_str() {
            "suspend" => Power::Paused { since, pid },
            _ => Power::Running { since, pid },
        };
        if self.action == "reset" {
            let guest = world.guest(Kind::Qemu, &self.node, self.id)?;
            let boot = world.boot(self.id, guest);
            world.machines.boot(&boot, now)?;
        }
        Ok(0)
    }
}

//! Bringing a running guest down: at once, by asking it, or to bring it up again.

use std::time::Duration;

use super::super::guest::{Kind, Power};
use super::super::task::{Job, Stage};
use super::super::world::World;

/// How a running guest is brought down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Halt {
    Stop,
    /// Asked to; `timeout` later it is an error, or the hard way.
    Shutdown {
        timeout: Duration,
        force: bool,
    },
    Reboot,
}

#[derive(Debug)]
pub(super) struct HaltJob {
    pub(super) kind: Kind,
    pub(super) node: String,
    pub(super) id: u32,
    pub(super) how: Halt,
    /// It goes down by itself.
    pub(super) obeyed: bool,
}

impl Job for HaltJob {
    fn flock(&self, world: &World) -> Option<(Kind, u32, Duration)> {
        Some((self.kind, self.id, world.profile.locks.guest))
    }

    fn begin(&mut self, world: &mut World, log: &mut Vec<String>) -> Result<Vec<Stage>, String> {
        let id = self.id;
        let guest = match world.guest(self.kind, &self.node, id) {
            Err(_) if self.kind == Kind::Qemu => {
                return Err(format!("unable to find configuration file for VM {id} on node '{}'", self.node));
            }
            guest => guest?,
        };
        if self.kind == Kind::Lxc {
            guest.check_lock()?;
        }
        if !guest.is_running() {
            return Ok(Vec::new());
        }
        let agent = guest.get("agent").is_some_and(|agent| agent.starts_with('1'));
        let mut lasts = if self.how == Halt::Stop { world.profile.stop } else { world.profile.shutdown };
        if let Halt::Shutdown { timeout, .. } = self.how {
            if self.kind == Kind::Qemu && agent && !world.machines.agent_answers(id, world.now) {
                let words = "qga command 'guest-ping' failed - got timeout";
                log.push(format!("QEMU Guest Agent is not running - VM {id} {words}"));
                lasts += world.profile.silent_agent;
            }
            self.obeyed = world.machines.obeys(id, world.now) || self.kind == Kind::Lxc;
            if !self.obeyed {
                return Ok(vec![Stage::of(timeout)]);
            }
        }
        if self.how != Halt::Stop {
            // Nothing is listed, and no agent answers, from the moment on when it goes down.
            world.machines.stop(id);
        }
        Ok(vec![Stage::of(lasts)])
    }

    fn advance(&mut self, _world: &mut World, _stage: usize, log: &mut Vec<String>) -> Result<(), String> {
        let Halt::Shutdown { force, .. } = self.how else { return Ok(()) };
        if self.obeyed {
            return Ok(());
        }
        if !force {
            return Err("VM quit/powerdown failed - got timeout".into());
        }
        log.push("VM still running - terminating now with SIGTERM".into());
        Ok(())
    }

    fn finish(&mut self, world: &mut World, _log: &mut Vec<String>) -> Result<usize, String> {
        world.turn_off(self.id);
        if self.how == Halt::Reboot {
            world.guest_mut(self.kind, &self.node, self.id)?.apply_pending();
            let guest = world.guest(self.kind, &self.node, self.id)?;
            let boot = world.boot(self.id, guest);
            world.machines.boot(&boot, world.now)?;
            let (since, pid) = (world.now, world.next_pid());
            world.guest_mut(self.kind, &self.node, self.id)?.power = Power::Running { since, pid };
        }
        Ok(0)
    }
}

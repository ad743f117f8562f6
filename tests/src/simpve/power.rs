//! Starting, stopping and destroying, of containers and of machines: alike but for what is refused when.

use std::time::Duration;

use serde_json::json;

use super::access::Need;
use super::answer::{Answer, Refusal};
use super::call::Call;
use super::guest::{Guest, Kind, Power};
use super::guests::Boot;
use super::property::Properties;
use super::schema;
use super::task::{Job, Stage, Task};
use super::world::World;

/// How a running guest is brought down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Halt {
    Stop,
    /// Asked to; `timeout` later it is an error, or the hard way.
    Shutdown {
        timeout: Duration,
        force: bool,
    },
    Reboot,
}

impl World {
    /// POST status/start, stop, shutdown, reboot, reset, suspend, resume.
    pub(super) fn post_power(
        &mut self,
        call: &Call,
        kind: Kind,
        node: &str,
        id: u32,
        action: &str,
    ) -> Result<Answer, Refusal> {
        self.check(&call.who, &format!("/vms/{id}"), &["VM.PowerMgmt"], Need::All)?;
        schema::POWER.check(&call.parameters)?;
        if call.parameters.flag("skiplock") {
            return Err(Refusal::parameter("skiplock", "Only root may use this option."));
        }
        let running = self.guest(kind, node, id).is_ok_and(Guest::is_running);
        self.refuse_power(kind, node, id, action, running)?;
        let job = self.power_job(call, kind, node, id, action);
        let Some(job) = job else {
            let path = format!("/nodes/{node}/{}/{id}/status/{action}", kind.as_str());
            return Err(Refusal::not_implemented("POST", &path));
        };
        let overruled = match action == "stop" && call.parameters.flag("overrule-shutdown") {
            true => self.overrule_shutdowns(kind, id),
            false => Vec::new(),
        };
        let task = match (kind, action) {
            (Kind::Lxc, _) => format!("vz{action}"),
            (Kind::Qemu, "suspend") => "qmpause".into(),
            (Kind::Qemu, _) => format!("qm{action}"),
        };
        let upid = self.fork(node, &task, &id.to_string(), &call.who, job);
        if let (false, Some(task)) = (overruled.is_empty(), self.tasks.last_mut()) {
            task.log.insert(0, format!("overruled {} tasks: {}", shutdown_of(kind), overruled.join(", ")));
        }
        Ok(Answer::data(json!(upid)).after(self.profile.fork))
    }

    /// Ends shutdowns of this guest that hang; their UPIDs.
    fn overrule_shutdowns(&mut self, kind: Kind, id: u32) -> Vec<String> {
        let id = id.to_string();
        let hang = |task: &&Task| task.is_active() && task.kind == shutdown_of(kind) && task.id == id;
        let upids: Vec<String> = self.tasks.iter().filter(hang).map(|task| task.upid.clone()).collect();
        upids.iter().for_each(|upid| self.interrupt(upid));
        upids
    }

    /// What is refused before there is a task.
    fn refuse_power(
        &self,
        kind: Kind,
        node: &str,
        id: u32,
        action: &str,
        running: bool,
    ) -> Result<(), Refusal> {
        let exists = self.guest(kind, node, id);
        match (kind, action, running) {
            (Kind::Lxc, "start", true) => Err(Refusal::died(format!("CT {id} already running"))),
            (Kind::Lxc, "stop" | "shutdown" | "reboot", false) => {
                exists.map_err(Refusal::died)?;
                Err(Refusal::died(format!("CT {id} not running")))
            }
            (Kind::Qemu, "reset" | "reboot" | "suspend" | "resume", false) => {
                exists.map_err(Refusal::died)?;
                Err(Refusal::died(format!("VM {id} not running")))
            }
            _ => Ok(()),
        }
    }

    fn power_job(&self, call: &Call, kind: Kind, node: &str, id: u32, action: &str) -> Option<Box<dyn Job>> {
        let node = node.to_owned();
        let timeout = Duration::from_secs(call.parameters.number("timeout").unwrap_or(60));
        let halt = |how| Box::new(HaltJob { kind, node: node.clone(), id, how, obeyed: true });
        match action {
            "start" => Some(Box::new(Start { kind, node, id })),
            "stop" => Some(halt(Halt::Stop)),
            "shutdown" => {
                let force = call.parameters.flag("forceStop");
                Some(halt(Halt::Shutdown { timeout, force }))
            }
            "reboot" => Some(halt(Halt::Reboot)),
            "reset" | "suspend" | "resume" if kind == Kind::Qemu => {
                Some(Box::new(Switch { node, id, action: action.to_owned() }))
            }
            _ => None,
        }
    }

    pub(super) fn delete_guest(
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
    pub(super) fn destroy_volumes(&mut self, id: u32, all: bool) {
        for (_, volume) in self.disks(id) {
            self.volumes.remove(&volume);
        }
        if all {
            self.volumes.retain(|_, volume| volume.id != id);
        }
    }

    /// Turns a guest off, whatever it is at.
    fn turn_off(&mut self, id: u32) {
        self.machines.stop(id);
        if let Some(guest) = self.guests.get_mut(&id) {
            guest.power = Power::Stopped;
            if guest.kind == Kind::Qemu {
                guest.apply_pending();
            }
        }
    }

    fn boot(&self, id: u32, guest: &Guest) -> Boot {
        let nets = guest.config.iter().filter(|(key, _)| key.starts_with("net"));
        let mac = nets.map(|(_, net)| mac_of(guest.kind, net)).next().flatten();
        let smbios = Properties::parse(guest.get("smbios1").unwrap_or_default(), "");
        let env = guest.get("env").unwrap_or_default().split('\0');
        let mounts = guest.config.iter().filter_map(|(_, value)| {
            let mount = Properties::parse(value, "volume");
            Some((mount.get("volume")?.to_owned(), mount.get("mp")?.to_owned()))
        });
        Boot {
            id,
            kind: guest.kind,
            archive: guest.origin.clone(),
            hostname: guest.get("hostname").or(guest.get("name")).unwrap_or_default().to_owned(),
            mac,
            env: env
                .filter_map(|part| part.split_once('='))
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            uuid: smbios.get("uuid").map(str::to_owned),
            serial: smbios.get("serial").map(decoded),
            mounts: mounts.collect(),
        }
    }
}

fn shutdown_of(kind: Kind) -> &'static str {
    if kind == Kind::Lxc { "vzshutdown" } else { "qmshutdown" }
}

/// Serials stand in base64.
fn decoded(text: &str) -> String {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).unwrap_or_default();
    String::from_utf8(bytes).unwrap_or_default()
}

/// The MAC of a network device: `hwaddr=` of containers, the model's value of machines.
pub(super) fn mac_of(kind: Kind, net: &str) -> Option<String> {
    match kind {
        Kind::Lxc => Properties::parse(net, "name").get("hwaddr").map(str::to_owned),
        Kind::Qemu => net.split(',').next()?.split_once('=').map(|(_, mac)| mac.to_owned()),
    }
}

#[derive(Debug)]
pub(super) struct Start {
    pub(super) kind: Kind,
    pub(super) node: String,
    pub(super) id: u32,
}

impl Job for Start {
    fn flock(&self, world: &World) -> Option<(Kind, u32, Duration)> {
        Some((self.kind, self.id, world.profile.locks.guest))
    }

    fn begin(&mut self, world: &mut World, _log: &mut Vec<String>) -> Result<Vec<Stage>, String> {
        let (kind, id) = (self.kind, self.id);
        let guest = world.guest(kind, &self.node, id)?;
        if guest.is_running() {
            return Err(format!("{} {id} already running", kind.word()));
        }
        if guest.has("template") {
            return Err(match kind {
                Kind::Lxc => "you can't start a CT if it's a template".into(),
                Kind::Qemu => "you can't start a vm if it's a template".into(),
            });
        }
        guest.check_lock()?;
        if kind == Kind::Qemu {
            let nets = guest.config.iter().filter(|(key, _)| key.starts_with("net"));
            nets.map(|(_, net)| net).try_for_each(|net| world.require_bridge(net))?;
        }
        Ok(vec![Stage::of(world.profile.start)])
    }

    fn finish(&mut self, world: &mut World, log: &mut Vec<String>) -> Result<usize, String> {
        let (kind, id) = (self.kind, self.id);
        world.guest_mut(kind, &self.node, id)?.apply_pending();
        let guest = world.guest(kind, &self.node, id)?;
        let boot = world.boot(id, guest);
        let nests =
            Properties::parse(guest.get("features").unwrap_or_default(), "").get("nesting") == Some("1");
        if let Err(words) = world.machines.boot(&boot, world.now) {
            log.push(words);
            return Err(match kind {
                Kind::Lxc => format!("startup for container '{id}' failed"),
                Kind::Qemu => format!("start failed: QEMU exited with code 1"),
            });
        }
        let (since, pid) = (world.now, world.next_pid());
        world.guest_mut(kind, &self.node, id)?.power = Power::Running { since, pid };
        if kind == Kind::Lxc && !nests {
            log.push("WARN: Systemd 257 detected. You may need to enable nesting.".into());
            return Ok(1);
        }
        Ok(0)
    }
}

#[derive(Debug)]
struct HaltJob {
    kind: Kind,
    node: String,
    id: u32,
    how: Halt,
    /// It goes down by itself.
    obeyed: bool,
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
            let guest = world.guest(self.kind, &self.node, self.id)?;
            let boot = world.boot(self.id, guest);
            world.machines.boot(&boot, world.now)?;
            let (since, pid) = (world.now, world.next_pid());
            world.guest_mut(self.kind, &self.node, self.id)?.power = Power::Running { since, pid };
        }
        Ok(0)
    }
}

/// Reset, pause and resume of a machine.
#[derive(Debug)]
struct Switch {
    node: String,
    id: u32,
    action: String,
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
        world.guests.remove(&id);
        for members in world.pools.values_mut() {
            members.remove(&id);
        }
        world.access.forget_path(&format!("/vms/{id}"));
        Ok(0)
    }
}

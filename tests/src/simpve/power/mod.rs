//! Starting, stopping and destroying, of containers and of machines: alike but for what is refused when.

mod destroy;
mod halt;
mod start;
mod switch;

use std::time::Duration;

use serde_json::json;

use self::halt::{Halt, HaltJob};
pub(super) use self::start::Start;
use self::switch::Switch;
use super::access::Need;
use super::answer::{Answer, Refusal};
use super::call::Call;
use super::guest::{Guest, Kind};
use super::schema;
use super::task::{Job, Task};
use super::world::World;

/// Seconds.
const LONGEST_SHUTDOWN: u64 = 86_400;

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
        let timeout =
            Duration::from_secs(call.parameters.number("timeout").unwrap_or(60).min(LONGEST_SHUTDOWN));
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
}

fn shutdown_of(kind: Kind) -> &'static str {
    if kind == Kind::Lxc { "vzshutdown" } else { "qmshutdown" }
}

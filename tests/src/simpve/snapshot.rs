//! Snapshots: a copy of the configuration, and of the disks where their storage can.
//!
//! As in pve-guest-common: the name is looked at by the task, the guest is locked meanwhile, a rollback stops the guest and
//! sets its configuration back, and with `start` starts it again.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::access::Need;
use super::answer::{Answer, Refusal};
use super::call::{Call, Method};
use super::guest::Kind;
use super::power::Start;
use super::schema;
use super::storage::{Keeping, storage_of};
use super::task::{Job, Stage, Stop};
use super::world::World;

/// What a guest can be set back to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    pub config: BTreeMap<String, String>,
    /// Seconds since 1970.
    pub taken: u64,
}

const LONGEST_NAME: usize = 40;

impl World {
    pub(super) fn route_snapshots(
        &mut self,
        call: &Call,
        kind: Kind,
        node: &str,
        id: u32,
        rest: &[&str],
    ) -> Result<Answer, Refusal> {
        match (call.method, rest) {
            (Method::Get, []) => self.list_snapshots(call, kind, node, id),
            (Method::Post, []) => {
                schema::SNAPSHOT.check(&call.parameters)?;
                let name = call.parameters.get("snapname").unwrap_or_default().to_owned();
                if ["current", "vzdump"].contains(&name.as_str()) {
                    return Err(Refusal::died(format!(
                        "unable to use snapshot name '{name}' (reserved name)"
                    )));
                }
                self.begin_snapshot(call, kind, node, id, &name, Does::Take)
            }
            (Method::Delete, [name]) => self.begin_snapshot(call, kind, node, id, name, Does::Remove),
            (Method::Post, [name, "rollback"]) => {
                schema::ROLLBACK.check(&call.parameters)?;
                let start = call.parameters.flag("start");
                self.begin_snapshot(call, kind, node, id, name, Does::Rollback { start })
            }
            _ => Err(Refusal::not_implemented(call.method.as_str(), &call.path)),
        }
    }

    fn list_snapshots(&self, call: &Call, kind: Kind, node: &str, id: u32) -> Result<Answer, Refusal> {
        self.check(&call.who, &format!("/vms/{id}"), &["VM.Audit"], Need::All)?;
        let guest = self.guest(kind, node, id).map_err(Refusal::died)?;
        let line = |(name, snapshot): (&String, &Snapshot)| json!({ "name": name, "snaptime": snapshot.taken, "description": "" });
        let mut lines: Vec<Value> = guest.snapshots.iter().map(line).collect();
        let running = u8::from(guest.is_running());
        lines.push(json!({ "name": "current", "description": "You are here!", "running": running, "digest": guest.digest() }));
        Ok(Answer::data(json!(lines)).after(self.profile.read))
    }

    fn begin_snapshot(
        &mut self,
        call: &Call,
        kind: Kind,
        node: &str,
        id: u32,
        name: &str,
        does: Does,
    ) -> Result<Answer, Refusal> {
        let (wanted, need): (&[&str], _) = match does {
            Does::Rollback { .. } => (&["VM.Snapshot", "VM.Snapshot.Rollback"], Need::Any),
            Does::Take | Does::Remove => (&["VM.Snapshot"], Need::All),
        };
        self.check(&call.who, &format!("/vms/{id}"), wanted, need)?;
        if !is_name(name) {
            return Err(Refusal::parameter("snapname", format!("invalid configuration ID '{name}'")));
        }
        let tool = if kind == Kind::Lxc { "vz" } else { "qm" };
        let job = SnapshotJob { kind, node: node.into(), id, name: name.into(), does, locked: false };
        let upid =
            self.fork(node, &format!("{tool}{}", does.word()), &id.to_string(), &call.who, Box::new(job));
        Ok(Answer::data(json!(upid)).after(self.profile.fork))
    }

    /// Whether every disk of the guest is on a storage that takes snapshots.
    fn takes_snapshots(&self, id: u32) -> bool {
        self.disks(id).iter().all(|(_, volume)| {
            let keeping = self.storages.get(storage_of(volume)).map(|storage| storage.keeping);
            let qcow2 = self.volumes.get(volume).is_some_and(|volume| volume.format == "qcow2");
            matches!(keeping, Some(Keeping::Btrfs | Keeping::LvmThin)) || qcow2
        })
    }
}

fn is_name(name: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (2..=LONGEST_NAME).contains(&name.len())
        && name.as_bytes()[0].is_ascii_alphabetic()
        && name.bytes().all(word)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Does {
    Take,
    Remove,
    Rollback { start: bool },
}

impl Does {
    fn word(self) -> &'static str {
        match self {
            Self::Take => "snapshot",
            Self::Remove => "delsnapshot",
            Self::Rollback { .. } => "rollback",
        }
    }

    fn lock(self) -> &'static str {
        match self {
            Self::Take => "snapshot",
            Self::Remove => "snapshot-delete",
            Self::Rollback { .. } => "rollback",
        }
    }
}

#[derive(Debug)]
struct SnapshotJob {
    kind: Kind,
    node: String,
    id: u32,
    name: String,
    does: Does,
    /// The lock that stands in the configuration is ours.
    locked: bool,
}

impl Job for SnapshotJob {
    fn flock(&self, world: &World) -> Option<(Kind, u32, Duration)> {
        Some((self.kind, self.id, world.profile.locks.guest))
    }

    fn begin(&mut self, world: &mut World, _log: &mut Vec<String>) -> Result<Vec<Stage>, String> {
        let guest = world.guest(self.kind, &self.node, self.id)?;
        guest.check_lock()?;
        let (name, there) = (&self.name, guest.snapshots.contains_key(&self.name));
        match self.does {
            Does::Take if guest.has("template") => {
                return Err("you can't take a snapshot if it's a template".into());
            }
            Does::Take if there => return Err(format!("snapshot name '{name}' already used")),
            Does::Take if !world.takes_snapshots(self.id) => {
                return Err("snapshot feature is not available".into());
            }
            Does::Remove | Does::Rollback { .. } if !there => {
                return Err(format!("snapshot '{name}' does not exist"));
            }
            _ => {}
        }
        world.guest_mut(self.kind, &self.node, self.id)?.set("lock", self.does.lock());
        self.locked = true;
        let stops = matches!(self.does, Does::Rollback { .. });
        let lasts = if stops { world.profile.stop } else { world.profile.write };
        Ok(vec![Stage::of(lasts)])
    }

    fn finish(&mut self, world: &mut World, _log: &mut Vec<String>) -> Result<usize, String> {
        let taken = world.epoch();
        if let Does::Rollback { .. } = self.does {
            world.turn_off(self.id);
        }
        let guest = world.guest_mut(self.kind, &self.node, self.id)?;
        guest.config.remove("lock");
        self.locked = false;
        match self.does {
            Does::Take => {
                let config = guest.config.clone();
                guest.snapshots.insert(self.name.clone(), Snapshot { config, taken });
            }
            Does::Remove => drop(guest.snapshots.remove(&self.name)),
            Does::Rollback { start } => {
                if let Some(snapshot) = guest.snapshots.get(&self.name) {
                    guest.config = snapshot.config.clone();
                    guest.pending.clear();
                }
                if start {
                    let tool = if self.kind == Kind::Lxc { "vzstart" } else { "qmstart" };
                    let job = Start { kind: self.kind, node: self.node.clone(), id: self.id };
                    let (node, id) = (self.node.clone(), self.id.to_string());
                    world.fork_nested(&node, tool, &id, "root@pam", Box::new(job));
                }
            }
        }
        Ok(0)
    }

    /// A failed one takes its lock away; one that was killed leaves it.
    fn stop(&mut self, world: &mut World, how: &Stop, _log: &mut Vec<String>) -> String {
        if self.locked
            && let Ok(guest) = world.guest_mut(self.kind, &self.node, self.id)
        {
            guest.config.remove("lock");
        }
        match how {
            Stop::Failed(text) => text.clone(),
            Stop::Interrupted => "received interrupt".into(),
        }
    }
}

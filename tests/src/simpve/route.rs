//! Which call does what.

use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::access::Need;
use super::answer::{Answer, Refusal};
use super::call::{Call, Method};
use super::guest::Kind;
use super::storage::storage_of;
use super::task::{Job, Stage};
use super::world::{Halt, World};

const ROOT: [&str; 6] = ["version", "cluster", "nodes", "storage", "access", "pools"];

/// Reads that the proxy answers itself; everything else goes through a daemon's worker.
pub(super) fn is_direct(method: Method, path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    method == Method::Get
        && match parts.as_slice() {
            ["cluster", "status"] => false,
            ["nodes", _, rest @ ..] => matches!(
                rest,
                ["status" | "version" | "time" | "network" | "tasks"]
                    | ["certificates", "info"]
                    | ["lxc" | "qemu", _]
                    | ["lxc" | "qemu", _, "config" | "pending" | "agent"]
            ),
            _ => true,
        }
}

impl World {
    pub(super) fn route(&mut self, call: &Call) -> Result<Answer, Halt> {
        let decoded: Vec<String> = call
            .path
            .split('/')
            .filter(|part| !part.is_empty())
            .map(|part| percent_decode_str(part).decode_utf8_lossy().into_owned())
            .collect();
        let parts: Vec<&str> = decoded.iter().map(String::as_str).collect();
        match (call.method, parts.as_slice()) {
            (_, ["nodes", node, rest @ ..]) if !rest.is_empty() => {
                self.check_node(node)?;
                self.route_node(call, node, rest)
            }
            (Method::Get, parts) => Ok(self.route_reads(call, parts)?),
            _ => Err(unknown(call).into()),
        }
    }

    fn route_reads(&self, call: &Call, parts: &[&str]) -> Result<Answer, Refusal> {
        match parts {
            [] => Ok(Answer::data(ROOT.iter().map(|name| json!({ "subdir": name })).collect())),
            ["version"] => Ok(self.get_version()),
            ["access", "permissions"] => Ok(self.get_permissions(call)),
            ["cluster", "nextid"] => self.get_nextid(call),
            ["cluster", "resources"] => Ok(self.get_resources(call)),
            ["cluster", "tasks"] => Ok(self.list_cluster_tasks(call)),
            ["cluster", "options"] => Ok(self.get_options(call)),
            ["access", "acl"] => Ok(self.list_acl(call)),
            ["cluster", "status"] => Ok(self.get_cluster_status(&call.node)),
            ["nodes"] => Ok(self.list_nodes(call)),
            ["pools"] => match call.parameters.get("poolid") {
                // A list of one, unlike the older way below.
                Some(pool) => self.list_pool(call, pool),
                None => Ok(self.list_pools(call)),
            },
            ["pools", pool] => self.get_pool(call, pool),
            ["storage", storage] => self.get_storage(call, storage),
            _ => Err(unknown(call)),
        }
    }

    fn route_node(&mut self, call: &Call, node: &str, rest: &[&str]) -> Result<Answer, Halt> {
        if !self.quorate && call.method != Method::Get && rest.first() != Some(&"tasks") {
            return Err(Refusal::died("cluster not ready - no quorum?").into());
        }
        match (call.method, rest) {
            (_, ["lxc", rest @ ..]) => self.route_lxc(call, node, rest),
            (_, ["qemu", rest @ ..]) => self.route_qemu(call, node, rest),
            (_, ["tasks", rest @ ..]) => Ok(self.route_tasks(call, node, rest)?),
            (Method::Get, ["certificates", "info"]) => Ok(self.get_certificates(node)),
            (Method::Get, ["storage"]) => Ok(self.list_storages(call, node)),
            (Method::Get, ["storage", name, "status"]) => Ok(self.get_storage_status(call, node, name)?),
            (Method::Get, ["storage", name, "content"]) => Ok(self.list_content(call, node, name)?),
            (Method::Delete, ["storage", _, "content", volume]) => {
                Ok(self.delete_volume(call, node, volume)?)
            }
            (Method::Get, ["vzdump", "extractconfig"]) => Ok(self.extract_config(call, node)?),
            (Method::Get, [what]) => Ok(self.get_node(call, node, what)?),
            _ => Err(unknown(call).into()),
        }
    }

    fn route_tasks(&mut self, call: &Call, node: &str, rest: &[&str]) -> Result<Answer, Refusal> {
        match (call.method, rest) {
            (Method::Get, []) => Ok(self.list_tasks(call, node)),
            (Method::Get, [upid, "status"]) => self.get_task_status(call, node, upid),
            (Method::Get, [upid, "log"]) => self.get_task_log(call, node, upid),
            (Method::Delete, [upid]) => self.delete_task(call, node, upid),
            _ => Err(unknown(call)),
        }
    }

    fn route_lxc(&mut self, call: &Call, node: &str, rest: &[&str]) -> Result<Answer, Halt> {
        let (id, rest) = match rest {
            [] if call.method == Method::Get => return Ok(self.list_guests(call, Kind::Lxc, node)),
            [] if call.method == Method::Post => return self.post_lxc(call, node),
            [] => return Err(unknown(call).into()),
            [id, rest @ ..] => (guest_id(id)?, rest),
        };
        match (call.method, rest) {
            (Method::Get, []) => Ok(self.list_lxc_parts()),
            (Method::Delete, []) => Ok(self.delete_guest(call, Kind::Lxc, node, id)?),
            (Method::Get, ["config"]) => Ok(self.get_lxc_config(call, node, id)?),
            (Method::Put, ["config"]) => self.put_lxc_config(call, node, id),
            (Method::Get, ["pending"]) => Ok(self.get_pending(call, Kind::Lxc, node, id)?),
            (Method::Get, ["interfaces"]) => Ok(self.get_lxc_interfaces(call, node, id)?),
            (Method::Get, ["status", "current"]) => Ok(self.get_lxc_status(call, node, id)?),
            (Method::Put, ["resize"]) => self.put_lxc_resize(call, node, id),
            (_, ["snapshot", rest @ ..]) => Ok(self.route_snapshots(call, Kind::Lxc, node, id, rest)?),
            (Method::Post, ["status", action]) => Ok(self.post_power(call, Kind::Lxc, node, id, action)?),
            _ => Err(unknown(call).into()),
        }
    }

    fn route_qemu(&mut self, call: &Call, node: &str, rest: &[&str]) -> Result<Answer, Halt> {
        let (id, rest) = match rest {
            [] if call.method == Method::Get => return Ok(self.list_guests(call, Kind::Qemu, node)),
            [] if call.method == Method::Post => return self.post_qemu(call, node),
            [] => return Err(unknown(call).into()),
            [id, rest @ ..] => (guest_id(id)?, rest),
        };
        match (call.method, rest) {
            (Method::Delete, []) => Ok(self.delete_guest(call, Kind::Qemu, node, id)?),
            (Method::Get, ["config"]) => Ok(self.get_qemu_config(call, node, id)?),
            (Method::Put, ["config"]) => self.put_qemu_config(call, node, id),
            (Method::Post, ["config"]) => self.post_qemu_config(call, node, id),
            (Method::Get, ["pending"]) => Ok(self.get_pending(call, Kind::Qemu, node, id)?),
            (Method::Get, ["status", "current"]) => Ok(self.get_qemu_status(call, node, id)?),
            (Method::Put, ["resize"]) => Ok(self.put_qemu_resize(call, node, id)?),
            (_, ["snapshot", rest @ ..]) => Ok(self.route_snapshots(call, Kind::Qemu, node, id, rest)?),
            (Method::Post, ["status", action]) => Ok(self.post_power(call, Kind::Qemu, node, id, action)?),
            (_, ["agent", command]) => Ok(self.agent(call, node, id, command)?),
            _ => Err(unknown(call).into()),
        }
    }

    fn delete_volume(&mut self, call: &Call, node: &str, volume: &str) -> Result<Answer, Refusal> {
        let storage = storage_of(volume).to_owned();
        self.check(&call.who, &format!("/storage/{storage}"), &["Datastore.Allocate"], Need::All)?;
        let Some(kept) = self.volumes.get(volume) else {
            return Err(Refusal::died(format!("volume '{volume}' does not exist")));
        };
        let id = format!("{}@{storage}", kept.id);
        let upid = self.fork(node, "imgdel", &id, &call.who, Box::new(DeleteVolume(volume.to_owned())));
        Ok(Answer::data(Value::String(upid)).after(self.profile.fork))
    }
}

fn guest_id(text: &str) -> Result<u32, Refusal> {
    let wrong = || Refusal::parameter("vmid", format!("type check ('integer') failed - got '{text}'"));
    text.parse().map_err(|_| wrong())
}

fn unknown(call: &Call) -> Refusal {
    Refusal::not_implemented(call.method.as_str(), &call.path)
}

#[derive(Debug)]
struct DeleteVolume(String);

impl Job for DeleteVolume {
    fn begin(&mut self, world: &mut World, _log: &mut Vec<String>) -> Result<Vec<Stage>, String> {
        Ok(vec![Stage::under(storage_of(&self.0), world.profile.destroy)])
    }

    fn finish(&mut self, world: &mut World, log: &mut Vec<String>) -> Result<usize, String> {
        world.volumes.remove(&self.0);
        log.push(format!("Removed volume '{}'", self.0));
        Ok(0)
    }
}

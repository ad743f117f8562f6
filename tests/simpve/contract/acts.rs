//! What happened between two recorded exchanges without one: somebody on the node did it.

use std::collections::BTreeMap;
use std::time::Duration;

use firstlight_tests::simpve::call::{Call, Method, Parameters};
use firstlight_tests::simpve::guest::{Kind, Power};
use firstlight_tests::simpve::storage::{Keeping, Storage};
use firstlight_tests::simpve::world::{Step, World};

use super::fixture::{self, CONTAINER};
use super::replay::form;

/// Carries out an act; the UPID of the task that it started.
pub(super) fn carry_out(world: &mut World, act: &str, upids: &BTreeMap<String, String>) -> Option<String> {
    let words: Vec<&str> = act.splitn(3, ' ').collect();
    let id = words.get(1).and_then(|word| word.parse::<u32>().ok()).unwrap_or(0);
    match words.as_slice() {
        ["hold", _] => drop(world.held.insert(id)),
        ["release", _] => drop(world.held.remove(&id)),
        ["unlock", _] => world.unlock(id),
        ["forget", _] => drop(world.guests.remove(&id)),
        ["stop", _] => power(world, id, Power::Stopped),
        ["wait", seconds] => world.advance(world.now() + Duration::from_secs(seconds.parse().ok()?)),
        ["start", _] => return start(world, id),
        ["machine", _, rest] => return machine(world, id, rest),
        ["clear", _] => clear(world, id),
        ["unset", _, key] => unset(world, id, key),
        ["set", _, pair] => set(world, id, pair),
        ["settle"] => world.settle(),
        ["lose", "race"] => world.lose_race = true,
        ["kill", of] => kill(world, upids.get(*of)?),
        ["put", kind, rest] => put(world, kind, rest),
        ["online", node] | ["offline", node] => set_online(world, node, words[0] == "online"),
        ["disable" | "enable" | "mount" | "unmount", name] => switch_storage(world, words[0], name),
        ["storage", name] => add_btrfs(world, name),
        ["grant", who, rest] => grant(world, who, rest),
        ["archives", which] => archives(world, which),
        ["golden", _] => golden(world, id),
        ["restart", _] => restart(world, id),
        ["operator", "delete", id] => return delete(world, id.parse().ok()?, "example@pve!host", ""),
        ["delete", _, who] => return delete(world, id, who, "1"),
        _ => panic!("an act that nobody knows: {act}"),
    }
    None
}

fn power(world: &mut World, id: u32, power: Power) {
    if let Some(guest) = world.guests.get_mut(&id) {
        guest.power = power;
    }
}

fn set(world: &mut World, id: u32, pair: &str) {
    let (key, value) = pair.split_once('=').unwrap();
    if let Some(guest) = world.guests.get_mut(&id) {
        guest.set(key, value);
    }
}

fn start(world: &mut World, id: u32) -> Option<String> {
    let path = format!("/nodes/pve1/qemu/{id}/status/start");
    ask(world, "felq@pve!host", Method::Post, &path, Parameters::default())
}

/// A machine restored from the golden, with these parameters.
fn machine(world: &mut World, id: u32, rest: &str) -> Option<String> {
    let (who, more) = rest.split_once(' ').unwrap_or((rest, ""));
    let golden = "qstore%3Abackup%2Fvzdump-qemu-9200-2026_11_21-12_00_00.vma.zst";
    let parameters = Parameters::new(form(&format!("vmid={id}&storage=local&archive={golden}&{more}")));
    ask(world, who, Method::Post, "/nodes/pve1/qemu", parameters)
}

/// A call that starts a task, to the task's end.
fn ask(world: &mut World, who: &str, method: Method, path: &str, parameters: Parameters) -> Option<String> {
    let mut call = Call::new("pve1", who, method, path, parameters);
    call.arrived = world.now();
    let Step::Answer(answer) = world.call(&call) else { panic!("the guest's lock is held") };
    let upid = answer.value()?.as_str()?.to_owned();
    world.finish_task(&upid);
    Some(upid)
}

fn unset(world: &mut World, id: u32, key: &str) {
    if let Some(guest) = world.guests.get_mut(&id) {
        guest.config.remove(key);
    }
}

/// Away with a guest, if there is one.
fn clear(world: &mut World, id: u32) {
    world.guests.remove(&id);
    world.pools.values_mut().for_each(|members| members.retain(|member| *member != id));
    world.volumes.retain(|_, volume| volume.id != id);
}

/// Killed once it has begun to work.
fn kill(world: &mut World, upid: &str) {
    let running = |world: &World| world.tasks.iter().any(|task| task.upid == upid && task.is_active());
    let volumes = world.volumes.len();
    while running(world) && world.volumes.len() == volumes && world.step() {}
    world.kill(upid);
}

fn put(world: &mut World, kind: &str, rest: &str) {
    let (id, node) = rest.split_once(' ').unwrap();
    let kind = if kind == "lxc" { Kind::Lxc } else { Kind::Qemu };
    world.put_guest(id.parse().unwrap(), kind, node, &[]);
}

fn set_online(world: &mut World, name: &str, online: bool) {
    world.add_node(name, "10.78.0.2");
    world.nodes.get_mut(name).unwrap().online = online;
}

fn switch_storage(world: &mut World, how: &str, name: &str) {
    let storage = world.storages.get_mut(name).unwrap();
    match how {
        "disable" | "enable" => storage.enabled = how == "enable",
        _ => storage.mounted = how == "mount",
    }
}

fn add_btrfs(world: &mut World, name: &str) {
    let storage = Storage::new(Keeping::Btrfs, "/var/lib/btr", &["images", "rootdir"]);
    world.storages.insert(name.into(), storage);
}

fn grant(world: &mut World, who: &str, rest: &str) {
    let (path, role) = rest.split_once(' ').unwrap();
    world.access.grant_both(path, who, role);
}

/// Which archives lie there: they came and went while the recordings were made.
fn archives(world: &mut World, which: &str) {
    let machines = world.guests.contains_key(&9200);
    let all = if machines { fixture::machines() } else { fixture::containers() };
    world.archives = all.archives;
    if which == "first" {
        let first: &[u32] = if machines { &[9200, 9201, 9202, 9205] } else { &[9100] };
        world.archives.retain(|_, archive| first.contains(&archive.id));
    }
}

/// A container restored from the golden, with a MAC of its own.
fn golden(world: &mut World, id: u32) {
    let config: Vec<(&str, &str)> = CONTAINER.lines().filter_map(|line| line.split_once(": ")).collect();
    world.put_guest(id, Kind::Lxc, "pve1", &config);
    let volume = format!("local:{id}/vm-{id}-disk-0.raw");
    let guest = world.guests.get_mut(&id).unwrap();
    guest.set("rootfs", format!("{volume},size=4G"));
    guest.set("net0", "name=eth0,bridge=vmbr0,hwaddr=BC:24:11:12:34:56,ip=dhcp,type=veth");
}

fn restart(world: &mut World, id: u32) {
    if let Some(guest) = world.guests.get_mut(&id) {
        guest.apply_pending();
    }
}

fn delete(world: &mut World, id: u32, who: &str, force: &str) -> Option<String> {
    let parameters =
        if force.is_empty() { Parameters::default() } else { Parameters::of(&[("force", force)]) };
    ask(world, who, Method::Delete, &format!("/nodes/pve1/lxc/{id}"), parameters)
}

//! The floor: the same guests by a driver that costs nothing and is told of every end at once, in simulated time. What
//! is left are the tasks on the critical path.

use std::time::Duration;

use firstlight_tests::simpve::call::{Call, Method, Parameters};
use firstlight_tests::simpve::example;
use firstlight_tests::simpve::world::{Step, World};

use crate::rig::{self, AT_ONCE, MOUNT};

#[derive(Debug)]
pub(crate) struct Floor {
    /// Until the last guest's start task has ended.
    pub(crate) started: Duration,
    pub(crate) done: Duration,
}

/// Where a guest is: its number, and the task that it waits for.
enum Stage {
    Restoring(u32, String),
    Starting(String),
}

pub(crate) fn of(count: usize) -> Floor {
    let mut world = rig::world();
    let beacon = world.profile.beacon;
    let mut waiting = (0..count).map(|number| 101 + u32::try_from(number).unwrap());
    let mut at_work: Vec<Stage> = Vec::new();
    let mut started = Duration::ZERO;
    loop {
        while at_work.len() < AT_ONCE
            && let Some(id) = waiting.next()
        {
            let task = restore(&mut world, id);
            at_work.push(Stage::Restoring(id, task));
        }
        if at_work.is_empty() {
            return Floor { started, done: started + beacon };
        }
        at_work = std::mem::take(&mut at_work)
            .into_iter()
            .filter_map(|stage| match stage {
                Stage::Restoring(id, task) if ended(&world, &task) => {
                    Some(Stage::Starting(start(&mut world, id)))
                }
                Stage::Starting(task) if ended(&world, &task) => {
                    started = started.max(world.now());
                    None
                }
                other => Some(other),
            })
            .collect();
        if at_work.len() == AT_ONCE || waiting.len() == 0 {
            world.step();
        }
    }
}

fn ended(world: &World, upid: &str) -> bool {
    let task = world.tasks.iter().find(|task| task.upid == upid).unwrap();
    assert!(matches!(task.exit.as_deref(), None | Some("OK")), "{task:?}");
    task.exit.is_some()
}

fn restore(world: &mut World, id: u32) -> String {
    let (vmid, mac) = (id.to_string(), format!("hwaddr=BC:24:11:00:{:02X}:{:02X}", id >> 8, id & 0xff));
    let (net, mount) = (format!("name=eth0,bridge=vmbr0,{mac},ip=dhcp"), format!("local:1,mp={MOUNT}"));
    let parameters = Parameters::of(&[
        ("vmid", &vmid),
        ("ostemplate", example::CONTAINER_GOLDEN),
        ("restore", "1"),
        ("rootfs", "local:10"),
        ("mp0", &mount),
        ("net0", &net),
    ]);
    call(world, "/nodes/pve1/lxc", parameters)
}

fn start(world: &mut World, id: u32) -> String {
    call(world, &format!("/nodes/pve1/lxc/{id}/status/start"), Parameters::of(&[]))
}

fn call(world: &mut World, path: &str, parameters: Parameters) -> String {
    let mut call = Call::new("pve1", example::TOKEN, Method::Post, path, parameters);
    call.arrived = world.now();
    match world.call(&call) {
        Step::Answer(answer) => answer
            .value()
            .and_then(|value| value.as_str())
            .unwrap_or_else(|| panic!("{path}: {answer:?}"))
            .to_owned(),
        Step::Wait { .. } => panic!("{path} waits for a lock"),
    }
}

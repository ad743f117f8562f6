//! The seam where other guests can be put in: what they are booted with.

use std::sync::{Arc, Mutex};

use firstlight_tests::simpve::call::{Method, Moment};
use firstlight_tests::simpve::example::CONTAINER_GOLDEN;
use firstlight_tests::simpve::guest::Kind;
use firstlight_tests::simpve::guests::{Boot, Finished, Guests, Interface};

use crate::semantics::{ask, restore, upid, world};

/// Guests that only write down what they were booted with.
#[derive(Debug, Default)]
struct Told(Arc<Mutex<Vec<Boot>>>);

impl Guests for Told {
    fn boot(&mut self, boot: &Boot, _now: Moment) -> Result<(), String> {
        self.0.lock().unwrap().push(boot.clone());
        Ok(())
    }

    fn stop(&mut self, _id: u32) {}

    fn interfaces(&self, _id: u32, _now: Moment) -> Vec<Interface> {
        Vec::new()
    }

    fn obeys(&self, _id: u32, _now: Moment) -> bool {
        true
    }

    fn agent_answers(&self, _id: u32, _now: Moment) -> bool {
        false
    }

    fn read_file(&self, _id: u32, _path: &str) -> Option<Vec<u8>> {
        None
    }

    fn write_file(&mut self, _id: u32, _path: &str, _content: &[u8]) -> bool {
        false
    }

    fn run(&mut self, _id: u32, _command: &[String], _input: &str) -> Option<Finished> {
        None
    }
}

#[test]
fn guests_get_all_that_their_configuration_says() {
    let mut world = world();
    let told = Arc::new(Mutex::new(Vec::new()));
    world.machines = Box::new(Told(Arc::clone(&told)));
    let more = [
        ("hostname", "unit-100"),
        ("net0", "name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:44,ip=dhcp"),
        ("rootfs", "10"),
        ("mp0", "local:1,mp=/data"),
        ("env", "A=1\0container_uuid=11111111-2222-4333-8444-555566667777"),
    ];
    let answer = restore(&mut world, "pve1", 100, &more);
    assert_eq!(world.finish_task(&upid(&answer)).as_deref(), Some("OK"));
    let answer = ask(&mut world, Method::Post, "/nodes/pve1/lxc/100/status/start", &[]);
    assert_eq!(world.finish_task(&upid(&answer)).as_deref(), Some("OK"));
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let expected = Boot {
        id: 100,
        kind: Kind::Lxc,
        archive: Some(CONTAINER_GOLDEN.into()),
        hostname: "unit-100".into(),
        mac: Some("BC:24:11:00:00:44".into()),
        env: vec![pair("A", "1"), pair("container_uuid", "11111111-2222-4333-8444-555566667777")],
        uuid: None,
        serial: None,
        mounts: vec![pair("local:100/vm-100-disk-1.raw", "/data")],
    };
    assert_eq!(*told.lock().unwrap(), [expected]);
}

//! The same machine back from its backup, and what only an operator may remove.

use firstlight::backend::{Backend as _, Stage};
use firstlight::outcome::Undo;
use firstlight_tests::simpve::call::Method;
use firstlight_tests::simpve::example::MACHINE_GOLDEN;
use firstlight_tests::simpve::guest::{Kind, Power};
use firstlight_tests::simpve::storage::Archive;
use firstlight_tests::simpve::world::World;
use serde_json::json;

use super::rig::{Rig, VMID};

const ARCHIVED_MAC: &str = "BC:24:11:AA:BB:CC";

/// The machine that was backed up, or a container with its MAC.
fn twin(kind: Kind, running: bool) -> impl FnOnce(&mut World) {
    move |world| {
        let net = match kind {
            Kind::Qemu => format!("virtio={ARCHIVED_MAC},bridge=vmbr0"),
            Kind::Lxc => format!("name=eth0,bridge=vmbr0,hwaddr={ARCHIVED_MAC}"),
        };
        world.put_guest(200, kind, "pve1", &[("net0", &net)]);
        if running {
            let guest = world.guests.get_mut(&200).unwrap();
            guest.power = Power::Running { since: std::time::Duration::ZERO, pid: 1 };
        }
    }
}

#[tokio::test]
async fn a_machine_comes_back_as_it_was_unless_it_still_runs() {
    for (kind, running) in [(Kind::Qemu, false), (Kind::Qemu, true), (Kind::Lxc, true)] {
        let mut rig = Rig::new(json!({ "intent": "restore" }), twin(kind, running));
        rig.guest.allocation.mac = ARCHIVED_MAC.parse().unwrap();
        let before = rig.sim.inventory();
        let brought_up = rig.bring_up().await;
        for (key, part) in [("name", "golden-vm"), ("net0", ARCHIVED_MAC), ("smbios1", "uuid=77250a18")] {
            let value = rig.config(key).unwrap();
            assert!(value.contains(part), "{key}: {value}");
        }
        if running {
            let failure = brought_up.unwrap_err();
            assert_eq!(failure.code, "mac-in-use", "{failure:?}");
            assert!(failure.message.contains("200"), "{failure:?}");
            assert_eq!(rig.sent(Method::Post, "/status/start"), 0);
        } else {
            brought_up.unwrap();
            assert_eq!(rig.file("/etc/machine-id").unwrap(), "77250a1841e24b609abeb03dd3b3e545");
        }
        rig.undo().await;
        assert_eq!(rig.sim.inventory(), before, "the other one stays");
    }
}

#[tokio::test]
async fn a_golden_with_protection_makes_machines_that_can_be_removed_and_one_set_later_holds() {
    let mut rig = Rig::new(json!({}), |world| {
        let config = &world.archives[MACHINE_GOLDEN].config;
        let mut lines: Vec<_> = config.iter().map(|(key, value)| format!("{key}: {value}")).collect();
        lines.push("protection: 1".to_owned());
        let archive = Archive::new(Kind::Qemu, 9200, &lines.join("\n"));
        world.archives.insert(MACHINE_GOLDEN.into(), archive);
    });
    let before = rig.sim.inventory();
    rig.bring_up().await.unwrap();
    rig.sim.with_world(|world| world.guests.get_mut(&VMID).unwrap().set("protection", "1"));
    let Undo::Failed(fault) = rig.backend.undo(Stage::Restore, &rig.guest).await else { panic!() };
    assert_eq!(fault.code, "proxmox-protected", "{fault:?}");
    assert!(fault.hint.is_some());
    rig.sim.with_world(|world| world.guests.get_mut(&VMID).unwrap().set("protection", "0"));
    rig.undo().await;
    assert_eq!(rig.sim.inventory(), before);
}

//! Each changing call broken in each way, tasks that end badly, and others who are faster.

use std::time::Duration;

use firstlight::backend::{Backend as _, ID_TAKEN, Stage};
use firstlight::outcome::{Act, Probe};
use firstlight_tests::simpve::call::Method;
use firstlight_tests::simpve::faults::{Fault, Rule};
use firstlight_tests::simpve::guest::Kind;
use serde_json::json;

use super::rig::{Rig, VMID};
use super::whole::large;

fn ways() -> [Fault; 6] {
    [
        Fault::CutBefore,
        Fault::CutAfter,
        Fault::TimedOut { applied: false },
        Fault::TimedOut { applied: true },
        Fault::Late(Duration::from_millis(150)),
        Fault::Unreachable,
    ]
}

#[tokio::test]
async fn an_answer_that_is_lost_is_found_out_and_nothing_is_made_twice() {
    for (method, path) in [
        (Method::Post, "/nodes/*/qemu"),
        (Method::Put, "/nodes/*/qemu/*/config"),
        (Method::Put, "/nodes/*/qemu/*/resize"),
        (Method::Post, "/nodes/*/qemu/*/status/start"),
    ] {
        for fault in ways() {
            let case = format!("{method:?} {path} {fault:?}");
            let mut rig = Rig::new(large(), |_| {});
            let before = rig.sim.inventory();
            rig.sim.fault(Rule::once(method, path, fault));
            rig.bring_up().await.unwrap_or_else(|fault| panic!("{case}: {fault:?}"));
            // What was late has come by now.
            tokio::time::sleep(Duration::from_millis(200)).await;
            rig.sim.settle();
            let (guests, volumes) = rig.sim.with_world(|world| (world.guests.len(), world.volumes.len()));
            assert_eq!((guests, volumes), (1, 3), "{case}");
            assert!(rig.sim.with_world(|world| world.guests[&VMID].is_running()), "{case}");
            rig.undo().await;
            rig.sim.settle();
            assert_eq!(rig.sim.inventory(), before, "{case}");
        }
    }
}

#[tokio::test]
async fn a_removal_whose_answer_is_lost_ends_with_nothing_left() {
    for (method, path) in [(Method::Post, "/nodes/*/qemu/*/status/stop"), (Method::Delete, "/nodes/*/qemu/*")]
    {
        for fault in ways() {
            let case = format!("{method:?} {path} {fault:?}");
            let mut rig = Rig::new(json!({}), |_| {});
            let before = rig.sim.inventory();
            rig.bring_up().await.unwrap();
            rig.sim.fault(Rule::once(method, path, fault));
            rig.undo().await;
            tokio::time::sleep(Duration::from_millis(200)).await;
            rig.sim.settle();
            assert_eq!(rig.sim.inventory(), before, "{case}");
        }
    }
}

#[tokio::test]
async fn a_restore_that_ends_badly_fails_and_leaves_nothing() {
    for (fault, code) in [
        (Fault::TaskLost, "unfinished-guest"),
        (Fault::TaskFails("command 'vma extract' failed: exit code 133".to_owned()), "proxmox-server-error"),
        (Fault::TaskFails("storage 'x' does not exist".to_owned()), "proxmox-no-storage"),
    ] {
        let mut rig = Rig::new(json!({}), |_| {});
        let before = rig.sim.inventory();
        rig.sim.fault(Rule::once(Method::Post, "/nodes/*/qemu", fault.clone()));
        let failure = rig.bring_up().await.unwrap_err();
        assert_eq!(failure.code, code, "{failure:?}");
        let left = rig.sim.with_world(|world| (world.guests.len(), world.volumes.len()));
        let image = usize::from(fault == Fault::TaskLost);
        assert_eq!(left, (1, image), "an unfinished machine stays, and the image of one that was killed");
        rig.undo().await;
        assert_eq!(rig.sim.inventory(), before, "{fault:?}");
    }
}

/// The answer is lost, and then the worker is killed: the task is known from the node's list alone.
#[tokio::test]
async fn a_killed_restore_whose_name_was_lost_is_still_ours_to_remove() {
    let mut rig = Rig::new(json!({}), |_| {});
    let before = rig.sim.inventory();
    rig.sim.with_world(|world| world.profile.extract = Duration::from_secs(5));
    rig.sim.fault(Rule::once(Method::Post, "/nodes/*/qemu", Fault::CutAfter));
    assert!(matches!(rig.backend.act(Stage::Restore, &rig.guest).await, Act::Unknown(_)));
    let Probe::InFlight(task) = rig.backend.probe(Stage::Restore, &rig.guest).await.unwrap() else {
        panic!()
    };
    rig.sim.with_world(|world| world.kill(&task));
    let failure = rig.settle(Stage::Restore).await.unwrap_err();
    assert_eq!(failure.code, "unfinished-guest", "{failure:?}");
    rig.undo().await;
    assert_eq!(rig.sim.inventory(), before);
}

/// The worker waits for the machine's lock for one second alone; what it leaves is cleared, and it is asked again.
#[tokio::test]
async fn a_restore_that_did_not_get_the_lock_is_asked_for_again() {
    let mut rig = Rig::new(json!({}), |_| {});
    let before = rig.sim.inventory();
    let busy = "can't lock file '/var/lock/qemu-server/lock-104.conf' - got timeout".to_owned();
    rig.sim.fault(Rule::once(Method::Post, "/nodes/*/qemu", Fault::TaskFails(busy)));
    rig.bring_up().await.unwrap();
    assert_eq!(rig.sent(Method::Post, "/qemu"), 2);
    assert_eq!(rig.sim.with_world(|world| world.volumes.len()), 1);
    rig.undo().await;
    assert_eq!(rig.sim.inventory(), before);
}

/// The same, and the answer to the second request is lost: the journal names the first task.
#[tokio::test]
async fn a_second_restore_whose_answer_is_lost_is_not_taken_for_the_first() {
    let mut rig = Rig::new(json!({}), |_| {});
    let before = rig.sim.inventory();
    let busy = "can't lock file '/var/lock/qemu-server/lock-104.conf' - got timeout".to_owned();
    rig.sim.fault(Rule::once(Method::Post, "/nodes/*/qemu", Fault::TaskFails(busy)));
    rig.sim.fault(Rule::once(Method::Post, "/nodes/*/qemu", Fault::CutAfter));
    rig.bring_up().await.unwrap();
    assert_eq!(rig.sent(Method::Post, "/qemu"), 2);
    assert_eq!(rig.sent(Method::Delete, "/qemu/104"), 1);
    rig.undo().await;
    assert_eq!(rig.sim.inventory(), before);
}

#[tokio::test]
async fn somebody_elses_machine_is_never_touched() {
    let foreign = [("name", "db"), ("memory", "512"), ("scsi0", "local:104/vm-104-disk-9.raw,size=1G")];
    for (plan, code) in [(json!({}), ID_TAKEN), (json!({ "place": { "vmid": 104 } }), "foreign")] {
        let mut rig = Rig::new(plan, |world| world.put_guest(VMID, Kind::Qemu, "pve1", &foreign));
        let before = rig.sim.inventory();
        assert_eq!(rig.settle(Stage::Restore).await.unwrap_err().code, code);
        for stage in super::rig::STAGES.into_iter().skip(1) {
            let probed = rig.backend.probe(stage, &rig.guest).await.unwrap();
            assert!(matches!(probed, Probe::Foreign(_)), "{stage:?}: {probed:?}");
            let acted = rig.backend.act(stage, &rig.guest).await;
            assert!(matches!(acted, Act::Refused(_)), "{stage:?}: {acted:?}");
        }
        rig.backend.remove_claim(&rig.guest).await.unwrap();
        rig.undo().await;
        assert_eq!(rig.sim.inventory(), before);
    }
}

#[tokio::test]
async fn a_container_of_the_same_number_is_somebody_elses_too() {
    let mut rig =
        Rig::new(json!({}), |world| world.put_guest(VMID, Kind::Lxc, "pve1", &[("hostname", "db")]));
    let before = rig.sim.inventory();
    assert_eq!(rig.settle(Stage::Restore).await.unwrap_err().code, ID_TAKEN);
    rig.undo().await;
    assert_eq!(rig.sim.inventory(), before);
}

#[tokio::test]
async fn who_loses_the_race_for_a_number_is_told_to_take_another() {
    let mut rig = Rig::new(json!({}), |_| {});
    rig.sim.fault(Rule::once(Method::Post, "/nodes/*/qemu", Fault::LosesRace));
    let failure = rig.settle(Stage::Restore).await.unwrap_err();
    assert_eq!(failure.code, ID_TAKEN, "{failure:?}");
    rig.undo().await;
    assert_eq!(rig.sim.with_world(|world| world.guests.len()), 1, "the winner's machine stays");
    // Another number, and all is well.
    rig.guest.allocation.slot.as_mut().unwrap().id = "105".to_owned();
    assert_eq!(rig.settle(Stage::Restore).await.unwrap()["id"], "105");
}

#[tokio::test]
async fn a_task_that_fails_later_fails_its_stage_and_all_is_undone() {
    for (method, path, stage) in [
        (Method::Put, "/nodes/*/qemu/*/resize", Stage::Size),
        (Method::Post, "/nodes/*/qemu/*/status/start", Stage::Start),
    ] {
        let mut rig = Rig::new(large(), |_| {});
        let before = rig.sim.inventory();
        rig.sim.fault(Rule::once(method, path, Fault::TaskFails("something new".to_owned())));
        for known in super::rig::STAGES {
            let settled = rig.settle(known).await;
            assert_eq!(settled.is_err(), known == stage, "{known:?}: {settled:?}");
            if known == stage {
                break;
            }
        }
        rig.undo().await;
        assert_eq!(rig.sim.inventory(), before);
    }
}

#[tokio::test]
async fn a_wish_that_cannot_be_granted_is_refused_in_its_stage() {
    for (plan, stage, code) in [
        (json!({ "size": { "disk_bytes": 1 << 30 } }), Stage::Size, "cannot-shrink"),
        (json!({ "mounts": [{ "path": "/srv", "size_bytes": null }] }), Stage::Mounts, "mount-without-size"),
        (
            json!({ "mounts": [{ "path": "/srv", "size_bytes": 1 << 30, "storage": "none" }] }),
            Stage::Mounts,
            "proxmox-no-storage",
        ),
    ] {
        let mut rig = Rig::new(plan, |_| {});
        let before = rig.sim.inventory();
        rig.settle(Stage::Restore).await.unwrap();
        let failure = rig.settle(stage).await.unwrap_err();
        assert_eq!(failure.code, code, "{failure:?}");
        rig.undo().await;
        assert_eq!(rig.sim.inventory(), before);
    }
}

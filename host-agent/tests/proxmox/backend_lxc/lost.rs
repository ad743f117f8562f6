//! Answers that are lost before and after the request was carried out, and workers that are killed.

use firstlight::backend::{Backend as _, Stage};
use firstlight::outcome::{Act, Probe};
use firstlight_tests::simpve::call::Method;
use firstlight_tests::simpve::faults::{Fault, Rule};
use serde_json::json;

use super::rig::{Rig, VMID, large};

const RESTORE: (Method, &str) = (Method::Post, "/nodes/*/lxc");
const START: (Method, &str) = (Method::Post, "/nodes/*/lxc/*/status/start");
const DESTROY: (Method, &str) = (Method::Delete, "/nodes/*/lxc/*");

fn faults() -> [Fault; 5] {
    let late = Fault::Late(std::time::Duration::from_millis(150));
    [
        Fault::CutBefore,
        Fault::CutAfter,
        Fault::TimedOut { applied: true },
        Fault::TimedOut { applied: false },
        late,
    ]
}

#[tokio::test]
async fn lost_answers_end_in_one_guest_and_nothing_left_behind() {
    for (call, fault) in
        [RESTORE, START, DESTROY].into_iter().flat_map(|call| faults().map(|fault| (call, fault)))
    {
        let shown = format!("{} {fault:?}", call.1);
        let mut rig = Rig::new(large());
        let before = rig.sim.inventory();
        rig.sim.fault(Rule::once(call.0, call.1, fault));
        rig.up().await;
        assert_eq!(rig.sim.with_world(|world| world.guests.len()), 1, "{shown}");
        assert_eq!(rig.sim.with_world(|world| world.volumes.len()), 3, "{shown}");
        rig.down().await.unwrap_or_else(|fault| panic!("{shown}: {fault:?}"));
        rig.sim.settle();
        assert_eq!(rig.sim.inventory(), before, "{shown}");
    }
}

/// The request was carried out, nobody has its task's name: the task is found, and not made again.
#[tokio::test]
async fn the_task_of_a_lost_answer_is_found_while_it_runs() {
    let mut rig = Rig::new(json!({}));
    rig.sim.with_world(|world| world.profile.extract = std::time::Duration::from_secs(2));
    rig.sim.fault(Rule::once(RESTORE.0, RESTORE.1, Fault::CutAfter));
    assert!(matches!(rig.backend.act(Stage::Restore, &rig.guest).await, Act::Unknown(_)));
    let probed = rig.backend.probe(Stage::Restore, &rig.guest).await.unwrap();
    let Probe::InFlight(task) = probed else { panic!("{probed:?}") };
    assert!(task.contains(":vzrestore:101:"), "{task}");
    let other = rig.backend.probe(Stage::Mac, &rig.guest).await.unwrap();
    assert_eq!(other, Probe::Absent, "it has no configuration yet");
    rig.stage("restore").await.unwrap();
    assert_eq!(rig.posts().len(), 1);
}

#[tokio::test]
async fn a_race_for_the_vmid_that_is_lost_asks_for_another() {
    let mut rig = Rig::new(json!({}));
    rig.sim.fault(Rule::once(RESTORE.0, RESTORE.1, Fault::LosesRace));
    assert_eq!(rig.stage("restore").await.unwrap_err().code, firstlight::backend::ID_TAKEN);
    assert_eq!(rig.down().await, Ok(0));
    assert!(rig.sim.with_world(|world| world.guests.contains_key(&VMID)), "the other one's");
}

#[tokio::test]
async fn a_restore_that_fails_leaves_nothing() {
    let mut rig = Rig::new(large());
    let before = rig.sim.inventory();
    rig.sim.fault(Rule::once(RESTORE.0, RESTORE.1, Fault::TaskFails("out of space".to_owned())));
    let fault = rig.stage("restore").await.unwrap_err();
    assert!(fault.message.contains("vzrestore") && fault.message.contains("out of space"), "{fault}");
    assert_eq!(rig.down().await, Ok(0));
    assert_eq!(rig.sim.inventory(), before);
}

#[tokio::test]
async fn a_killed_restore_is_for_root_and_its_image_goes_once_that_is_done() {
    let mut rig = Rig::new(large());
    // An image that lay there before us, of a guest that had this VMID once.
    rig.sim.with_world(|world| {
        let old = firstlight_tests::simpve::storage::Volume {
            id: VMID,
            node: "pve1".to_owned(),
            size: 1 << 30,
            format: "raw".to_owned(),
            made: world.began - 86_400,
        };
        world.volumes.insert("local:101/vm-101-disk-7.raw".to_owned(), old);
    });
    let before = rig.sim.inventory();
    rig.sim.fault(Rule::once(RESTORE.0, RESTORE.1, Fault::TaskLost));
    let fault = rig.stage("restore").await.unwrap_err();
    assert_eq!(fault.code, "unfinished-guest");
    let hint = fault.hint.unwrap();
    assert!(hint.contains("pct unlock 101") && hint.contains("on pve1"), "{hint}");

    let left = rig.down().await.unwrap_err();
    assert_eq!(left.code, "unfinished-guest");
    let commands = rig.backend.manual_cleanup(&rig.guest);
    assert!(commands.iter().any(|command| command.starts_with("pct destroy 101")), "{commands:?}");
    assert!(rig.changes().iter().all(|change| !change.starts_with("DELETE")), "{:?}", rig.changes());

    // Root does as it was told, and the undo is asked again.
    rig.sim.with_world(|world| {
        world.unlock(VMID);
        world.guests.remove(&VMID);
    });
    assert_eq!(rig.down().await, Ok(0));
    assert_eq!(rig.sim.inventory(), before, "the old image stays");
}

#[tokio::test]
async fn a_killed_restore_that_root_has_only_unlocked_goes_whole() {
    let mut rig = Rig::new(large());
    let before = rig.sim.inventory();
    rig.sim.fault(Rule::once(RESTORE.0, RESTORE.1, Fault::TaskLost));
    rig.stage("restore").await.unwrap_err();
    rig.sim.with_world(|world| world.unlock(VMID));
    assert_eq!(rig.down().await, Ok(0));
    assert_eq!(rig.sim.inventory(), before);
}

#[tokio::test]
async fn a_start_that_meets_the_lock_of_another_task_is_tried_again() {
    let mut rig = Rig::new(json!({}));
    rig.stage("restore").await.unwrap();
    let locked = "can't lock file '/run/lock/lxc/pve-config-101.lock' - got timeout";
    rig.sim.fault(Rule::once(START.0, START.1, Fault::TaskFails(locked.to_owned())));
    rig.stage("start").await.unwrap();
}

#[tokio::test]
async fn a_start_that_fails_says_why() {
    let mut rig = Rig::new(json!({}));
    rig.stage("restore").await.unwrap();
    let words = "startup for container '101' failed";
    rig.sim.fault(Rule::once(START.0, START.1, Fault::TaskFails(words.to_owned())));
    let fault = rig.stage("start").await.unwrap_err();
    assert!(fault.message.contains(words), "{fault}");
    assert_eq!(rig.down().await, Ok(0));
    assert!(rig.config().is_empty());
}

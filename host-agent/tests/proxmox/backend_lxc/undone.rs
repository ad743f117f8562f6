//! Whatever was made goes, and nothing else does.

use std::time::Duration;

use firstlight::backend::{Backend as _, Stage};
use firstlight::outcome::{Act, Undo};
use firstlight_tests::simpve::call::Method;
use firstlight_tests::simpve::faults::{Fault, Rule};
use firstlight_tests::simpve::guest::Kind;
use serde_json::json;

use super::rig::{Rig, STAGES, VMID, large};

#[tokio::test]
async fn after_every_stage_nothing_is_left_and_undoing_is_repeatable() {
    for stages in 0..=STAGES.len() {
        let mut rig = Rig::new(large());
        rig.sim.with_world(|world| world.put_guest(102, Kind::Lxc, "pve1", &[("hostname", "db")]));
        let before = rig.sim.inventory();
        for (name, _) in &STAGES[..stages] {
            rig.stage(name).await.unwrap();
        }
        assert_eq!(rig.down().await, Ok(0), "after {stages}");
        assert_eq!(rig.sim.inventory(), before, "after {stages}");
        assert_eq!(rig.down().await, Ok(0));
        assert_eq!(rig.sim.inventory(), before);
    }
}

#[tokio::test]
async fn a_restore_that_still_runs_is_interrupted() {
    let rig = Rig::new(large());
    let before = rig.sim.inventory();
    rig.sim.with_world(|world| world.profile.extract = Duration::from_secs(60));
    let acted = rig.backend.act(Stage::Restore, &rig.guest).await;
    assert!(matches!(acted, Act::Started(_)), "{acted:?}");
    assert_eq!(rig.down().await, Ok(0));
    assert_eq!(rig.sim.inventory(), before);
}

#[tokio::test]
async fn another_jobs_guest_is_not_ours_to_remove() {
    let mut rig = Rig::new(large());
    rig.up().await;
    let before = rig.sim.inventory();
    let job = std::mem::replace(&mut rig.guest.job, "another".to_owned());
    assert_eq!(rig.down().await, Ok(0));
    assert_eq!(rig.sim.inventory(), before);
    rig.guest.job = job;
    rig.edit("description", Some("mine now\n"));
    assert_eq!(rig.down().await, Ok(0));
    assert!(!rig.config().is_empty(), "somebody took the stamp away, and with it our say");
}

/// Notes are edited every day: a guest that was made, and has our MAC, is not said to be gone.
#[tokio::test]
async fn a_guest_that_lost_its_stamp_is_for_people_to_say() {
    let mut rig = Rig::new(large());
    rig.up().await;
    rig.guest.made = true;
    let stamp = rig.value("description");
    rig.edit("description", Some("customer X\n"));
    let before = rig.sim.inventory();
    for stage in [Stage::Start, Stage::Restore] {
        let Undo::Failed(fault) = rig.backend.undo(stage, &rig.guest).await else { panic!("{stage:?}") };
        assert_eq!(fault.code, "not-recognised");
        assert!(fault.hint.unwrap().contains(&format!("`firstlight-job: {}`", rig.guest.job)));
    }
    assert_eq!(rig.sim.inventory(), before);
    rig.edit("description", Some(&stamp));
    assert_eq!(rig.down().await, Ok(0));
    assert!(rig.config().is_empty());
}

#[tokio::test]
async fn a_guest_that_was_moved_meanwhile_is_found() {
    let mut rig = Rig::new(json!({}));
    rig.up().await;
    rig.sim.with_world(|world| world.guests.get_mut(&VMID).unwrap().node = "pve2".to_owned());
    assert_eq!(rig.down().await, Ok(0));
    assert!(rig.config().is_empty());
}

#[tokio::test]
async fn protection_is_taken_off_what_is_ours() {
    let mut rig = Rig::new(json!({}));
    rig.up().await;
    rig.edit("protection", Some("1"));
    assert_eq!(rig.down().await, Ok(0));
    assert!(rig.config().is_empty());
}

#[tokio::test]
async fn a_lock_that_stands_is_for_root() {
    let mut rig = Rig::new(json!({}));
    rig.stage("restore").await.unwrap();
    rig.edit("lock", Some("backup"));
    let fault = rig.down().await.unwrap_err();
    assert_eq!(fault.code, "proxmox-locked");
    assert!(fault.hint.unwrap().contains("pct unlock 101"));
    rig.edit("lock", None);
    assert_eq!(rig.down().await, Ok(0));
    assert!(rig.config().is_empty());
}

#[tokio::test]
async fn a_removal_that_fails_is_tried_again() {
    let mut rig = Rig::new(json!({}));
    rig.up().await;
    let words = "can't lock file '/run/lock/lxc/pve-config-101.lock' - got timeout";
    rig.sim.fault(Rule::once(Method::Delete, "/nodes/*/lxc/*", Fault::TaskFails(words.to_owned())));
    rig.down().await.unwrap();
    assert!(rig.config().is_empty());
}

/// An image that nobody's configuration names may be somebody's last copy.
#[tokio::test]
async fn images_of_others_stay() {
    let mut rig = Rig::new(json!({}));
    let volume = "local:101/vm-101-disk-9.raw".to_owned();
    rig.sim.with_world(|world| {
        let old = firstlight_tests::simpve::storage::Volume {
            id: VMID,
            node: "pve1".to_owned(),
            size: 1 << 30,
            format: "raw".to_owned(),
            made: 0,
        };
        world.volumes.insert(volume.clone(), old);
    });
    let before = rig.sim.inventory();
    rig.up().await;
    assert_eq!(rig.down().await, Ok(0));
    assert_eq!(rig.sim.inventory(), before);
    let undone = rig.backend.undo(Stage::Restore, &rig.guest).await;
    assert_eq!(undone, Undo::Absent);
}

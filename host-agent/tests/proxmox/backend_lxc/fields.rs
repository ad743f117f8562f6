//! What the restore call did not do, the stages do by calls of their own.

use firstlight::backend::Backend as _;
use firstlight_tests::simpve::call::Method;
use firstlight_tests::simpve::example::CONTAINER_GOLDEN;
use firstlight_tests::simpve::faults::{Fault, Rule};
use firstlight_tests::simpve::storage::Archive;
use serde_json::{Value, json};

use super::rig::{MAC, Rig, VMID, backend, large};

/// As if the call had not had this key: the volume of a mount goes with it.
fn forget(rig: &Rig, key: &str, instead: Option<&str>) {
    let volume = rig.value(key).split(',').next().unwrap_or_default().to_owned();
    rig.edit(key, instead);
    if instead.is_none() {
        rig.sim.with_world(|world| world.volumes.remove(&volume));
    }
}

#[tokio::test]
async fn each_field_is_looked_at_and_mended_once() {
    let golden = "name=eth0,bridge=vmbr0,hwaddr=BC:24:11:AA:BB:CC,ip=dhcp,type=veth";
    let stray = "name=eth1,bridge=vmbr0,hwaddr=BC:24:11:AA:BB:CD";
    let table: [(&str, Option<&str>, &str, &str); 10] = [
        ("net0", Some(golden), "mac", MAC),
        ("net0", None, "mac", MAC),
        ("net1", Some(stray), "mac", ""),
        ("hostname", Some("golden"), "hostname", "web-01"),
        ("onboot", Some("1"), "hostname", "0"),
        ("tags", Some("golden"), "hostname", "golden;firstlight;web"),
        ("cores", Some("1"), "size", "2"),
        ("memory", Some("512"), "size", "1024"),
        ("mp0", None, "mounts", "mp=/srv"),
        ("mp1", None, "mounts", "size=512M"),
    ];
    for (key, instead, stage, expected) in table {
        let mut rig = Rig::new(large());
        rig.stage("restore").await.unwrap();
        forget(&rig, key, instead);
        rig.up().await;
        let changes = rig.changes();
        assert_eq!(changes.len(), 3, "{key}: {changes:?}");
        assert_eq!(changes[1], "PUT /nodes/pve1/lxc/101/config", "{key} by {stage}");
        assert!(rig.value(key).contains(expected), "{key}: {}", rig.value(key));
        assert_eq!(rig.config().contains_key(key), !expected.is_empty(), "{key}");
    }
}

#[tokio::test]
async fn a_root_disk_that_is_too_small_is_grown_by_a_task_of_its_own() {
    let mut rig = Rig::new(large());
    rig.stage("restore").await.unwrap();
    let small = rig.value("rootfs").replace("size=10G", "size=4G");
    rig.edit("rootfs", Some(&small));
    rig.up().await;
    assert_eq!(rig.changes()[1], "PUT /nodes/pve1/lxc/101/resize");
    assert!(rig.value("rootfs").contains("size=10G"));
}

/// What the field has seen: for as long as a resize holds the guest's lock, mounts are refused.
#[tokio::test]
async fn a_mount_waits_for_the_guests_lock() {
    let mut rig = Rig::new(large());
    rig.stage("restore").await.unwrap();
    forget(&rig, "mp0", None);
    let locked = "can't lock file '/run/lock/lxc/pve-config-101.lock' - got timeout";
    rig.sim.fault(Rule {
        times: 2,
        ..Rule::once(Method::Put, "/nodes/*/lxc/*/config", Fault::Fails(locked.to_owned()))
    });
    rig.stage("mounts").await.unwrap();
    assert!(rig.value("mp0").contains("mp=/srv"));
    assert_eq!(rig.changes().iter().filter(|change| change.starts_with("PUT")).count(), 3);
}

#[tokio::test]
async fn a_lost_answer_to_a_mount_makes_no_second_volume() {
    for fault in [Fault::CutAfter, Fault::CutBefore, Fault::TimedOut { applied: true }] {
        let mut rig = Rig::new(large());
        rig.stage("restore").await.unwrap();
        let before = rig.sim.with_world(|world| world.volumes.len());
        forget(&rig, "mp1", None);
        rig.sim.fault(Rule::once(Method::Put, "/nodes/*/lxc/*/config", fault));
        rig.stage("mounts").await.unwrap();
        assert_eq!(rig.sim.with_world(|world| world.volumes.len()), before);
    }
}

#[tokio::test]
async fn somebody_who_changes_the_guest_at_the_same_time_is_not_overwritten() {
    let mut rig = Rig::new(large());
    rig.stage("restore").await.unwrap();
    rig.edit("hostname", Some("golden"));
    let changed = "detected modified configuration - file changed by other user? Try again.";
    rig.sim.fault(Rule::once(Method::Put, "/nodes/*/lxc/*/config", Fault::Fails(changed.to_owned())));
    rig.stage("hostname").await.unwrap();
    assert_eq!(rig.value("hostname"), "web-01");
    let puts: Vec<_> = rig.sim.requests().into_iter().filter(|one| one.method == Method::Put).collect();
    assert!(puts.iter().all(|put| put.parameters.get("digest").is_some()));
}

fn archive(lines: &str) -> impl FnOnce(&mut firstlight_tests::simpve::world::World) {
    let lines = lines.to_owned();
    move |world| {
        let old = &world.archives[CONTAINER_GOLDEN];
        let config: String = old.config.iter().map(|(key, value)| format!("{key}: {value}\n")).collect();
        let archive = Archive::new(old.kind, old.id, &format!("{config}{lines}"));
        world.archives.insert(CONTAINER_GOLDEN.to_owned(), archive);
    }
}

#[tokio::test]
async fn what_is_baked_into_the_archive_does_not_become_the_guests() {
    let baked = "protection: 1\nonboot: 1\nenv: SECRET=golden\nmp3: local:9100/vm-9100-disk-1.raw,mp=/data,backup=1,size=2G\n";
    for more in [json!({}), large()] {
        let mut rig = Rig::with(more, archive(baked));
        rig.up().await;
        assert_eq!(rig.changes().len(), 2, "{:?}", rig.changes());
        assert_eq!((rig.value("protection").as_str(), rig.value("onboot").as_str()), ("0", "0"));
        assert!(!rig.value("env").contains("SECRET"), "{}", rig.value("env").len());
        let kept = rig.value("mp3");
        assert!(kept.contains("mp=/data") && kept.contains("size=2G") && kept.contains("backup=1"), "{kept}");
        assert_eq!(rig.down().await, Ok(0));
        assert!(rig.config().is_empty());
    }
    let mut rig = Rig::with(json!({ "onboot": true }), archive(""));
    rig.up().await;
    assert_eq!(rig.value("onboot"), "1");
}

#[tokio::test]
async fn features_that_did_not_survive_are_a_failure() {
    let mut rig = Rig::new(json!({}));
    rig.stage("restore").await.unwrap();
    rig.edit("features", Some("nesting=1"));
    let fault = rig.stage("restore").await.unwrap_err();
    assert_eq!(fault.code, "not-as-archived");
    assert!(fault.message.contains("keyctl=1"), "{fault}");
}

#[tokio::test]
async fn warnings_of_a_restore_are_kept_as_remarks() {
    let mut rig = Rig::with(json!({}), archive("lxc.mount.entry: /srv srv none bind\n"));
    let output = rig.stage("restore").await.unwrap();
    assert!(output["remarks"][0].as_str().unwrap().contains("skipping custom lxc options"), "{output}");
}

const POOLED: &str = "pooled@pve!host";

fn pooled(more: Value) -> Rig {
    let mut rig = Rig::with(more, |world| {
        world.pools.insert("lab".to_owned(), std::collections::BTreeSet::new());
        world.access.role("Pooled", &firstlight_tests::simpve::access::CONTAINER_ROLE);
        world.access.token(POOLED, firstlight_tests::simpve::example::SECRET);
        for path in ["/pool/lab", "/storage", "/sdn", "/vms/9100"] {
            world.access.grant_both(path, POOLED, "Pooled");
        }
    });
    rig.backend = backend(&rig.sim, POOLED);
    rig.guest.plan.place.pool = Some("lab".to_owned());
    rig
}

/// It sees nothing of its own guest while that is being made, and after it is gone.
#[tokio::test]
async fn a_token_with_rights_on_a_pool_alone_is_enough() {
    let mut rig = pooled(large());
    let before = rig.sim.inventory();
    rig.up().await;
    let posts = rig.posts();
    assert_eq!((posts.len(), posts[0].status, posts[1].status), (2, Some(403), Some(200)));
    assert_eq!(posts[1].parameters.get("tags"), None);
    assert_eq!(rig.value("tags"), "firstlight;web", "in its pool it may");
    assert_eq!(rig.down().await, Ok(0));
    assert_eq!(rig.sim.inventory(), before);
    assert!(!rig.sim.with_world(|world| world.guests.contains_key(&VMID)));
    assert!(rig.backend.remove_claim(&rig.guest).await.is_ok());
}

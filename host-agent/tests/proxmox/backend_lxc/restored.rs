//! A guest that comes back from its backup (intent restore): everything is its own, and it never runs beside its original.

use firstlight_tests::simpve::call::Method;
use firstlight_tests::simpve::example::CONTAINER_GOLDEN;
use firstlight_tests::simpve::guest::Kind;
use serde_json::json;

use super::rig::Rig;

const GOLDENS_MAC: &str = "BC:24:11:AA:BB:CC";

fn restored() -> Rig {
    Rig::with(json!({ "intent": "restore" }), |world| {
        let archive = world.archives.get_mut(CONTAINER_GOLDEN).unwrap();
        archive.config.insert("env".to_owned(), "APP=1".to_owned());
        archive
            .config
            .insert("mp0".to_owned(), "local:9100/vm-9100-disk-1.raw,mp=/data,backup=1,size=2G".to_owned());
    })
}

#[tokio::test]
async fn it_keeps_interfaces_name_and_volumes() {
    let mut rig = restored();
    rig.up().await;
    assert_eq!(rig.changes().len(), 2, "{:?}", rig.changes());
    let sent = rig.posts()[0].parameters.clone();
    for key in ["rootfs", "mp0", "net0", "hostname", "unique"] {
        assert_eq!(sent.get(key), None, "{key}");
    }
    assert_eq!(sent.get("storage"), Some("local"), "the archive's own");
    assert_eq!(rig.value("hostname"), "golden");
    assert!(rig.value("net0").contains(GOLDENS_MAC));
    assert!(rig.value("mp0").contains("size=2G"));
    assert_eq!(rig.value("onboot"), "0");
}

#[tokio::test]
async fn what_did_not_come_back_is_a_failure_or_a_remark() {
    for (key, value, code) in [
        (
            "net0",
            Some("name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:01,ip=dhcp,type=veth"),
            Some("not-as-archived"),
        ),
        ("hostname", None, Some("not-as-archived")),
        ("mp0", None, Some("not-as-archived")),
        ("swap", Some("512"), None),
    ] {
        let mut rig = restored();
        rig.stage("restore").await.unwrap();
        rig.edit(key, value);
        match (rig.stage("restore").await, code) {
            (Err(fault), Some(code)) => {
                assert_eq!(fault.code, code, "{key}");
                assert!(fault.message.contains(key), "{fault}");
            }
            (Ok(output), None) => assert!(output["remarks"][0].as_str().unwrap().contains(key), "{output}"),
            (other, _) => panic!("{key}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn it_does_not_start_while_its_original_runs() {
    let mut rig = restored();
    rig.stage("restore").await.unwrap();
    rig.sim.with_world(|world| {
        let net = format!("name=eth0,bridge=vmbr0,hwaddr={GOLDENS_MAC}");
        world.put_guest(9100, Kind::Lxc, "pve2", &[("hostname", "golden"), ("net0", &net)]);
    });
    let power = |running| {
        use firstlight_tests::simpve::guest::Power;
        let power = if running {
            Power::Running { since: std::time::Duration::ZERO, pid: 7 }
        } else {
            Power::Stopped
        };
        rig.sim.with_world(|world| world.guests.get_mut(&9100).unwrap().power = power);
    };
    power(true);
    let fault = rig.stage("start").await.unwrap_err();
    assert_eq!(fault.code, "mac-in-use");
    assert!(fault.message.contains("lxc/9100 on pve2"), "{fault}");
    let starts = |rig: &Rig| {
        let all = rig.sim.requests();
        all.iter().filter(|one| one.method == Method::Post && one.path.ends_with("/start")).count()
    };
    assert_eq!(starts(&rig), 0);
    rig.sim.with_world(|world| {
        world.guests.get_mut(&9100).unwrap().power = firstlight_tests::simpve::guest::Power::Stopped;
    });
    rig.stage("start").await.unwrap();
}

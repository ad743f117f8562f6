//! Looking at single guests: beacons, what the hypervisor has of them, and guests that somebody else made.

use firstlight::backend::proxmox::client::endpoint::guest::Kind as GuestKind;
use firstlight::backend::{Backend as _, Look};
use firstlight_shared::beacon::{State, decode};
use firstlight_tests::simpve::example::MACHINE_GOLDEN;
use firstlight_tests::simpve::guest::Kind;
use firstlight_tests::simpve::guests::Scripted;
use serde_json::json;

use super::rig::{BEGAN, Rig, placement, plan, stamp};

const MAC: &str = "BC:24:11:00:00:01";
const UUID: &str = "77250a18-41e2-4b60-9abe-b03dd3b3e545";

fn container(rig: &Rig, job: &str) {
    let net = format!("name=eth0,bridge=vmbr0,hwaddr={MAC},ip=dhcp,type=veth");
    rig.put(
        101,
        Kind::Lxc,
        "pve1",
        &[
            ("hostname", "web-01"),
            ("net0", &net),
            ("mp0", "local:101/vm-101-disk-1.raw,mp=/srv/data,size=1G"),
            ("description", &stamp(job)),
        ],
    );
}

fn machine(rig: &Rig, agent: &str) {
    let (net, smbios) = (format!("virtio={MAC},bridge=vmbr0"), format!("uuid={UUID}"));
    let config = [("name", "db-01"), ("net0", net.as_str()), ("smbios1", &smbios), ("agent", agent)];
    rig.put(300, Kind::Qemu, "pve1", &config[..if agent.is_empty() { 3 } else { 4 }]);
}

fn machine_plan() -> firstlight::backend::GuestPlan {
    plan(json!({ "name": "db-01", "golden": MACHINE_GOLDEN, "kind": "vm" }))
}

#[tokio::test]
async fn a_container_shows_its_beacon_once_it_runs() {
    let rig = Rig::new(1, |_| {});
    container(&rig, "job-1");
    let guest = placement(101, "pve1", "job-1", plan(json!({})));
    assert_eq!(rig.backend.look(&guest).await, Ok(Look::default()), "it does not run");
    rig.start("pve1", GuestKind::Lxc, 101).await;
    let look = rig.backend.look(&guest).await.unwrap();
    assert!(look.running);
    let seen = decode(&look.addresses).unwrap().unwrap();
    assert_eq!(seen.state(), State::IdentityDone);
    let gone = placement(102, "pve1", "job-1", plan(json!({})));
    assert_eq!(rig.backend.look(&gone).await.unwrap_err().code, "proxmox-gone");
}

#[tokio::test]
async fn a_guest_that_was_moved_is_looked_at_where_it_is() {
    let rig = Rig::new(2, |_| {});
    let net = format!("name=eth0,bridge=vmbr0,hwaddr={MAC},ip=dhcp,type=veth");
    rig.put(
        101,
        Kind::Lxc,
        "pve2",
        &[("hostname", "web-01"), ("net0", &net), ("description", &stamp("job-1"))],
    );
    rig.start("pve2", GuestKind::Lxc, 101).await;
    let look = rig.backend.look(&placement(101, "pve1", "job-1", plan(json!({})))).await.unwrap();
    assert!(look.running && decode(&look.addresses).unwrap().is_some(), "{look:?}");
}

#[tokio::test]
async fn a_machine_shows_its_beacon_through_its_agent() {
    let rig = Rig::new(1, |_| {});
    machine(&rig, "1");
    let guest = placement(300, "pve1", "job-1", machine_plan());
    assert_eq!(rig.backend.look(&guest).await, Ok(Look::default()), "it does not run");
    rig.start("pve1", GuestKind::Qemu, 300).await;
    let look = rig.backend.look(&guest).await.unwrap();
    assert!(look.running && decode(&look.addresses).unwrap().is_some(), "{look:?}");
}

#[tokio::test]
async fn a_silent_agent_is_left_alone_and_a_machine_without_one_is_looked_at_all_the_same() {
    let quiet = Look { running: true, addresses: Vec::new() };
    let rig = Rig::new(1, |world| {
        let mut scripted = Scripted::of(&world.profile);
        scripted.script.agent = None;
        world.machines = Box::new(scripted);
    });
    machine(&rig, "1");
    rig.start("pve1", GuestKind::Qemu, 300).await;
    let guest = placement(300, "pve1", "job-1", machine_plan());
    for _ in 0..5 {
        assert_eq!(rig.backend.look(&guest).await, Ok(quiet.clone()));
    }
    assert_eq!(rig.asked(0, "/agent/network-get-interfaces"), 1);
    let rig = Rig::new(1, |_| {});
    machine(&rig, "");
    assert_eq!(rig.backend.look(&guest).await, Ok(Look::default()));
    rig.start("pve1", GuestKind::Qemu, 300).await;
    assert_eq!(rig.backend.look(&guest).await, Ok(quiet));
}

#[tokio::test]
async fn a_guest_is_observed_as_the_hypervisor_has_it() {
    let disk = json!([{ "bus-type": "scsi", "dev": "/dev/sdb", "serial": "0QEMU_QEMU_HARDDISK_fl-0" }]);
    let mounted = json!({ "mountpoint": "/srv/db", "name": "sdb", "type": "ext4", "disk": disk });
    let rig = Rig::new(2, |world| {
        let mut guests = Scripted::of(&world.profile);
        guests.filesystems = vec![mounted];
        world.machines = Box::new(guests);
    });
    container(&rig, "job-1");
    let guest = placement(101, "pve1", "job-1", plan(json!({})));
    let observed = rig.backend.observe(&guest).await.unwrap();
    assert_eq!((observed.running, observed.addresses.len()), (false, 0));
    rig.start("pve1", GuestKind::Lxc, 101).await;
    let observed = rig.backend.observe(&guest).await.unwrap();
    assert!(observed.running);
    assert_eq!(observed.mac, Some(MAC.parse().unwrap()));
    assert_eq!(observed.mounts, [std::path::PathBuf::from("/srv/data")]);
    assert_eq!(
        observed.addresses,
        ["10.78.0.101".parse::<std::net::IpAddr>().unwrap()],
        "no beacon among them"
    );
    let other = placement(101, "pve1", "job-2", plan(json!({})));
    assert_eq!(rig.backend.observe(&other).await.unwrap_err().code, "foreign");
    let gone = placement(199, "pve1", "job-1", plan(json!({})));
    assert!(!rig.backend.observe(&gone).await.unwrap().running);
    let moved = placement(101, "pve2", "job-1", plan(json!({})));
    assert!(rig.backend.observe(&moved).await.unwrap().running, "somebody has moved it");
    machine(&rig, "1");
    rig.set(300, "scsi1", "local:300/vm-300-disk-1.raw,serial=fl-0,size=1G");
    rig.start("pve1", GuestKind::Qemu, 300).await;
    let mut wanted = machine_plan();
    wanted.mounts = plan(json!({ "mounts": [{ "path": "/srv/db", "size_bytes": 1 << 30 }] })).mounts;
    let guest = placement(300, "pve1", "job-1", wanted);
    assert_eq!(rig.backend.observe(&guest).await.unwrap_err().code, "unstamped");
    rig.set(300, "description", &stamp("job-1"));
    let observed = rig.backend.observe(&guest).await.unwrap();
    assert!(observed.running);
    assert_eq!(observed.mounts, [std::path::PathBuf::from("/srv/db")], "its disk is there");
    assert_eq!(observed.mac, Some(MAC.parse().unwrap()));
    assert_eq!(observed.addresses.len(), 1, "{observed:?}");
}

#[tokio::test]
async fn reports_go_to_the_address_that_this_machine_has_towards_the_nodes() {
    let rig = Rig::new(1, |_| {});
    assert_eq!(rig.backend.prepare().await.unwrap().url, "https://127.0.0.1:7443");
}

#[tokio::test]
async fn somebody_elses_guest_is_adopted_by_number_or_name() {
    let rig = Rig::new(2, |_| {});
    container(&rig, "job-1");
    machine(&rig, "1");
    for (id, node) in [(401, "pve1"), (402, "pve2")] {
        rig.put(id, Kind::Lxc, node, &[("hostname", "twin")]);
    }
    rig.put(403, Kind::Lxc, "pve2", &[("hostname", "tpl"), ("template", "1")]);
    rig.put(404, Kind::Lxc, "pve2", &[("lock", "create")]);
    for by in ["101", "web-01", "WEB-01"] {
        let adopted = rig.backend.adopt(by).await.unwrap();
        assert_eq!(adopted.name.as_str(), "web-01");
        assert_eq!(adopted.kind, Some(firstlight::backend::Kind::Lxc));
        assert_eq!(adopted.allocation.mac, MAC.parse().unwrap());
        let slot = adopted.allocation.slot.unwrap();
        assert_eq!((slot.id.as_str(), slot.node.as_str(), slot.uuid), ("101", "pve1", None));
        assert!((BEGAN - 2..BEGAN + 30).contains(&slot.since_s));
    }
    let adopted = rig.backend.adopt("db-01").await.unwrap();
    assert_eq!(adopted.kind, Some(firstlight::backend::Kind::Vm));
    assert_eq!(adopted.allocation.slot.unwrap().uuid.as_deref(), Some(UUID));
    for (by, code, words) in [
        ("twin", "ambiguous-guest", "container 401 on pve1, container 402 on pve2"),
        ("nobody", "no-such-guest", "nobody"),
        ("999", "no-such-guest", "999"),
        ("tpl", "template", "container 403 on pve2"),
        ("404", "in-flight", "container 404 on pve2"),
        ("402", "no-mac", "lxc/402 on pve2"),
    ] {
        let fault = rig.backend.adopt(by).await.unwrap_err();
        assert_eq!(fault.code, code, "{by}: {fault}");
        assert!(fault.message.contains(words), "{by}: {fault}");
    }
    // Adopted, it is looked at and observed like any other.
    rig.start("pve1", GuestKind::Qemu, 300).await;
    let adopted = rig.backend.adopt("300").await.unwrap();
    let mut guest = placement(300, "pve1", "job-7", machine_plan());
    guest.allocation = adopted.allocation;
    guest.adopted = true;
    assert!(rig.backend.observe(&guest).await.unwrap().running);
    rig.set(300, "description", &stamp("job-1")); // a copy of one of ours, notes and all
    assert!(rig.backend.observe(&guest).await.unwrap().running);
}

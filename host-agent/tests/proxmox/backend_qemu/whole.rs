//! Bring-ups that nothing disturbs.

use firstlight::backend::{Backend as _, Stage};
use firstlight::outcome::{Act, Probe};
use firstlight_shared::wire::Claim;
use firstlight_tests::simpve::call::Method;
use firstlight_tests::simpve::example::MACHINE_GOLDEN;
use firstlight_tests::simpve::guest::Kind;
use firstlight_tests::simpve::guests::Scripted;
use firstlight_tests::simpve::storage::Archive;
use serde_json::{Value, json};

use super::rig::{MAC, Rig, STAGES, UUID, VMID, quick};

const GIB: u64 = 1 << 30;

pub(super) fn large() -> Value {
    json!({
        "size": { "cores": 2, "memory_bytes": GIB, "disk_bytes": 4 * GIB },
        "mounts": [
            { "path": "/srv", "size_bytes": 2 * GIB, "storage": "thin", "backup": false },
            { "path": "/var/lib/docker", "size_bytes": GIB / 2 },
        ],
        "tags": ["web"],
    })
}

#[tokio::test]
async fn a_machine_is_what_was_asked_for_and_its_guest_can_tell() {
    let mut rig = Rig::new(large(), |_| {});
    let before = rig.sim.inventory();
    let outputs = rig.bring_up().await.unwrap();
    assert_eq!(outputs[0]["id"], "104");
    assert_eq!(outputs[1]["mac"], MAC.to_lowercase());
    assert_eq!(outputs[4]["disks"]["/srv"]["disk"], "scsi1");
    for (key, expected) in [
        ("name", "web-01"),
        ("cores", "2"),
        ("memory", "1024"),
        ("net0", "virtio=BC:24:11:00:00:01,bridge=vmbr0"),
        ("onboot", "0"),
        ("tags", "firstlight;web"),
        ("agent", "1"),
    ] {
        assert_eq!(rig.config(key).as_deref(), Some(expected), "{key}");
    }
    let has = |key: &str, parts: &[&str]| {
        let value = rig.config(key).unwrap_or_default();
        assert!(parts.iter().all(|part| value.contains(part)), "{key}: {value}");
    };
    has("scsi0", &["local:104/", "size=4G"]);
    has("scsi1", &["thin:vm-104-disk-", "size=2G", "serial=fl-0", "backup=0"]);
    has("scsi2", &["local:104/", "size=512M", "serial=fl-1"]);
    has("description", &["firstlight-job: 0123abcd"]);

    // In the guest: the machine-id that the UUID foretold, and the claim.
    assert_eq!(rig.file("/etc/machine-id"), Some(UUID.replace('-', "")));
    let serial = rig.file("/sys/class/dmi/id/product_serial").unwrap();
    let claim = Claim::parse(serial.as_bytes()).unwrap();
    assert_eq!((claim.id, claim.url), (rig.guest.claim.id.clone(), rig.guest.claim.url.clone()));
    assert!(claim.secret.is_none());

    // All at once where one call can carry it: the configuration is written for the two disks alone.
    let sent = |method, end| rig.sent(method, end);
    assert_eq!((sent(Method::Post, "/qemu"), sent(Method::Put, "/config")), (1, 2));
    assert_eq!((sent(Method::Put, "/resize"), sent(Method::Post, "/status/start")), (1, 1));

    rig.undo().await;
    assert_eq!(rig.sim.inventory(), before);
}

/// A configuration with the disk in it does not prove that the guest mounted it.
#[tokio::test]
async fn mounts_are_seen_where_the_machines_agent_sees_them() {
    let disk = |serial: &str| json!([{ "bus-type": "scsi", "dev": "/dev/sdb", "serial": serial }]);
    for (mountpoint, serial, expected) in [
        ("/srv", "0QEMU_QEMU_HARDDISK_fl-0", vec![std::path::PathBuf::from("/srv")]),
        ("/srv", "0QEMU_QEMU_HARDDISK_fl-1", vec![]),
        ("/mnt", "0QEMU_QEMU_HARDDISK_fl-0", vec![]),
    ] {
        let mut rig = Rig::new(large(), |world| {
            let mut guests = Scripted::of(&quick());
            guests.filesystems = vec![
                json!({ "mountpoint": "/", "name": "sda1", "type": "ext4", "disk": disk("0QEMU_QEMU_HARDDISK_drive-scsi0") }),
                json!({ "mountpoint": mountpoint, "name": "sdb", "type": "ext4", "disk": disk(serial) }),
                json!({ "mountpoint": "/proc", "name": "proc", "type": "proc" }),
            ];
            world.machines = Box::new(guests);
        });
        rig.bring_up().await.unwrap();
        tokio::time::sleep(quick().agent).await;
        let observed = rig.backend.observe(&rig.guest).await.unwrap();
        assert_eq!(observed.mounts, expected, "{mountpoint} {serial}");
        assert_eq!(observed.mac, Some(MAC.parse().unwrap()));
    }
}

#[tokio::test]
async fn what_is_done_is_found_so_and_nothing_is_done_twice() {
    let mut rig = Rig::new(large(), |_| {});
    rig.bring_up().await.unwrap();
    let stands = rig.sim.inventory();
    let changes =
        |rig: &Rig| rig.sim.requests().iter().filter(|request| request.method != Method::Get).count();
    let count = changes(&rig);
    // A companion that knows nothing but the plan finds it all.
    rig.guest.tasks.clear();
    for stage in STAGES {
        let probed = rig.backend.probe(stage, &rig.guest).await.unwrap();
        assert!(matches!(probed, Probe::Present(_)), "{stage:?}: {probed:?}");
    }
    assert_eq!(changes(&rig), count);
    // And whoever acts all the same changes nothing.
    for stage in [Stage::Restore, Stage::Mac, Stage::Size, Stage::Mounts] {
        let acted = rig.backend.act(stage, &rig.guest).await;
        assert!(matches!(acted, Act::Applied(_)), "{stage:?}: {acted:?}");
    }
    assert_eq!(rig.sim.inventory(), stands);
    rig.undo().await;
    rig.undo().await;
}

#[tokio::test]
async fn a_plain_plan_is_four_requests() {
    let mut rig = Rig::new(json!({}), |_| {});
    rig.bring_up().await.unwrap();
    let requests = rig.sim.requests();
    let changes: Vec<_> = requests
        .iter()
        .filter(|request| request.method != Method::Get)
        .map(|request| format!("{} {}", request.method.as_str(), request.path))
        .collect();
    assert_eq!(changes, ["POST /nodes/pve1/qemu", "POST /nodes/pve1/qemu/104/status/start"]);
    // Archive, standing after the end of the task for each stage, and the task itself.
    assert!(requests.len() < 25, "{}", requests.len());
}

/// A golden that carries what would be in the way: a second device, protection, a start with its node, a template's mark.
#[tokio::test]
async fn what_a_golden_brings_beyond_the_plan_goes() {
    let nics = json!([{ "bridge": "vmbr0", "address": "10.78.0.9/16", "gateway": "10.78.0.1" }]);
    let mut rig = Rig::new(json!({ "nics": nics, "size": { "disk_bytes": 1536 << 20 } }), |world| {
        let config = world.archives[MACHINE_GOLDEN].config.clone();
        let mut lines: Vec<_> = config.iter().map(|(key, value)| format!("{key}: {value}")).collect();
        lines.extend(
            [
                "net1: virtio=BC:24:11:AA:BB:CD,bridge=vmbr0",
                "protection: 1",
                "onboot: 1",
                "smbios1: base64=1,manufacturer=QUJD,serial=T0xE,uuid=77250a18-41e2-4b60-9abe-b03dd3b3e545",
            ]
            .map(str::to_owned),
        );
        let archive = Archive::new(Kind::Qemu, 9200, &lines.join("\n"));
        world.archives.insert(MACHINE_GOLDEN.into(), archive);
    });
    let before = rig.sim.inventory();
    rig.bring_up().await.unwrap();
    for (key, expected) in [
        ("net1", None),
        ("protection", Some("0")),
        ("onboot", Some("0")),
        ("ipconfig0", Some("ip=10.78.0.9/16,gw=10.78.0.1")),
        ("ciupgrade", Some("0")),
    ] {
        assert_eq!(rig.config(key).as_deref(), expected, "{key}");
    }
    assert!(rig.config("ide2").unwrap().contains("cloudinit"));
    let smbios = rig.config("smbios1").unwrap();
    assert!(
        smbios.contains("manufacturer=QUJD") && smbios.contains(UUID) && !smbios.contains("T0xE"),
        "{smbios}"
    );
    // A second device that would have kept the golden's MAC never ran.
    assert!(rig.sim.with_world(|world| world.guests[&VMID].pending.is_empty()));
    rig.undo().await;
    assert_eq!(rig.sim.inventory(), before);
}

//! Requests with as much in them as the backend ever sends, and at the edges of what the API takes.

use std::time::Duration;

use firstlight::backend::proxmox::client::call::Call;
use firstlight::backend::proxmox::client::endpoint::guest::{Guest, Kind};
use firstlight::backend::proxmox::client::endpoint::{
    Endpoint as _, access, agent, cluster, config, guest, lxc, node, qemu, snapshot, storage, task,
};
use firstlight::backend::proxmox::client::properties::Properties;

const LEAST_VMID: u32 = 100;
const MOST_VMID: u32 = 999_999_999;
const NODE: &str = "a-node-with-a-name-of-sixty-three-characters-and-not-one-more-ok";
const STORAGE: &str = "back-up_2.x";
const UUID: &str = "9b1c7d5e-0f52-4f0e-8f5b-1d2a3c4b5e6f";

pub(super) fn all() -> Vec<Call> {
    let mut calls = crate::schema::calls();
    calls.extend(containers());
    calls.extend(machines());
    for kind in [Kind::Lxc, Kind::Qemu] {
        for vmid in [LEAST_VMID, MOST_VMID] {
            let guest = Guest { node: NODE.to_owned(), kind, vmid };
            calls.extend(powers(&guest));
            calls.extend(snapshots(&guest));
        }
    }
    calls.extend(reads());
    calls
}

fn snapshots(guest: &Guest) -> Vec<Call> {
    let guest = || guest.clone();
    let mut calls = vec![snapshot::ListSnapshots { guest: guest() }.call()];
    // As short and as long as names may be.
    for name in ["ab".to_owned(), format!("Before-the_change{}", "x".repeat(23))] {
        calls.push(snapshot::TakeSnapshot { guest: guest(), name: name.clone() }.call());
        calls.push(snapshot::Rollback { guest: guest(), name: name.clone() }.call());
        calls.push(snapshot::RemoveSnapshot { guest: guest(), name }.call());
    }
    calls
}

fn devices(device: fn(u32) -> Properties) -> Vec<(u32, Properties)> {
    [0, 1, 31].map(|number| (number, device(number))).to_vec()
}

fn containers() -> Vec<Call> {
    let device = |number: u32| {
        let all = Properties::default()
            .with("name", format_args!("eth{number}"))
            .with("bridge", "vmbr0")
            .with("hwaddr", "BC:24:11:AA:BB:CC")
            .with("type", "veth");
        match number {
            0 => all.with("ip", "dhcp").with("ip6", "auto").with("firewall", 1),
            1 => all.with("ip", "10.0.0.7/24").with("gw", "10.0.0.1").with("tag", 4094).with("link_down", 1),
            _ => all.with("ip", "manual").with("tag", 1).with("mtu", 1500).with("rate", "12.5"),
        }
    };
    let mounts = vec![
        (0, Properties::of("local-lvm:1").with("mp", "/data").with("backup", 0)),
        (1, Properties::of("local-lvm:0.5").with("mp", "/srv/with space/ü").with("backup", 1)),
        (255, Properties::of("local:104/vm-104-disk-1.raw").with("mp", "/last").with("size", "8G")),
    ];
    let env = [
        ("container_uuid", UUID),
        ("FIRSTLIGHT_CLAIM", r#"{"id":"01JXYZ","url":"https://10.0.0.1:8443","note":"a,b;c&d=e +%\"'"}"#),
        ("FIRSTLIGHT_EMPTY", ""),
    ];
    let most = lxc::RestoreLxc {
        node: NODE.into(),
        vmid: MOST_VMID,
        archive: "local:backup/vzdump-lxc-9100-2026_11_21-11_14_04.tar.zst".into(),
        storage: Some(STORAGE.into()),
        pool: Some("customers/eu-1/web_2".into()),
        hostname: Some("web-01.example.org".into()),
        net: devices(device),
        rootfs: Some(Properties::of("local-lvm:10")),
        mounts,
        cores: Some(8192),
        memory_mib: Some(16),
        description: Some("Ünïcode\nand lines; a=b, c&d\n".repeat(100)),
        tags: Some("a;firstlight;with-all_of+.1".into()),
        env: Some(lxc::environment(&env).unwrap()),
        onboot: Some(true),
        protection: Some(false),
        unprivileged: Some(true),
    };
    let of_backup_server =
        lxc::RestoreLxc { archive: "pbs:backup/ct/9100/2026-11-21T11:14:04Z".into(), ..most.clone() };
    let container = Guest { node: "pve1".to_owned(), kind: Kind::Lxc, vmid: 104 };
    let set = |key: &str, value: String| config::ChangeConfig {
        guest: container.clone(),
        set: vec![(key.to_owned(), value)],
        delete: Vec::new(),
        digest: Some("da39a3ee5e6b4b0d3255bfef95601890afd80709".to_owned()),
    };
    let mut calls = vec![most.call(), of_backup_server.call()];
    calls.extend(
        most.net.iter().map(|(number, device)| set(&format!("net{number}"), device.to_string()).call()),
    );
    calls.extend(
        most.mounts.iter().map(|(number, mount)| set(&format!("mp{number}"), mount.to_string()).call()),
    );
    for (key, value) in [
        ("hostname", "web-01"),
        ("description", "by firstlight\nfirstlight-job: 01JXYZ"),
        ("tags", "firstlight;firstlight-ready"),
        ("onboot", "0"),
        ("cores", "2"),
        ("memory", "1024"),
        ("env", "container_uuid=9b1c7d5e-0f52-4f0e-8f5b-1d2a3c4b5e6f"),
    ] {
        calls.push(set(key, value.to_owned()).call());
    }
    let delete = ["env", "tags", "net1", "mp1", "unused0"].map(str::to_owned).to_vec();
    calls.push(config::ChangeConfig { guest: container, set: Vec::new(), delete, digest: None }.call());
    calls
}

fn machines() -> Vec<Call> {
    let device = |number: u32| {
        let all = Properties::default().with("virtio", "BC:24:11:AA:BB:CC").with("bridge", "vmbr0");
        match number {
            0 => all.with("firewall", 1).with("tag", 4094),
            1 => Properties::default()
                .with("e1000", "BC:24:11:AA:BB:CD")
                .with("bridge", "vmbr1")
                .with("link_down", 1),
            _ => all.with("queues", 4).with("mtu", 1),
        }
    };
    let most = qemu::RestoreQemu {
        node: NODE.into(),
        vmid: MOST_VMID,
        archive: "local:backup/vzdump-qemu-9200-2026_11_21-12_00_00.vma.zst".into(),
        storage: Some(STORAGE.into()),
        pool: Some("customers/eu-1/web_2".into()),
        name: Some("web-01.example.org".into()),
        net: devices(device),
        smbios1: Some(qemu::smbios(UUID, Some(&"claim ü; a=b,c".repeat(8)))),
        cores: Some(1),
        memory_mib: Some(16),
        description: Some("Ünïcode\nand lines; a=b, c&d\n".repeat(100)),
        tags: Some("a;firstlight".into()),
        onboot: Some(false),
        protection: Some(true),
        template: Some(true),
    };
    let machine = Guest { node: "pve1".to_owned(), kind: Kind::Qemu, vmid: 104 };
    let set = most.net.iter().map(|(number, device)| (format!("net{number}"), device.to_string()));
    let set = set.chain([
        ("name".to_owned(), "web-01".to_owned()),
        ("smbios1".to_owned(), qemu::smbios(UUID, None).to_string()),
        ("description".to_owned(), "by firstlight\n".to_owned()),
        ("scsi1".to_owned(), "local-lvm:1,backup=0,serial=data".to_owned()),
        ("onboot".to_owned(), "0".to_owned()),
    ]);
    let change = config::ChangeConfig {
        guest: machine.clone(),
        set: set.collect(),
        delete: vec!["tags".to_owned(), "unused0".to_owned()],
        digest: None,
    };
    let file = |file: &str, count| agent::ReadGuestFile {
        guest: machine.clone(),
        file: file.into(),
        count,
        encoded: true,
    };
    vec![
        most.call(),
        change.call(),
        file("/run/with space/ü", 1).call(),
        file("/run/firstlight/report.json", 16 * 1024 * 1024).call(),
    ]
}

fn powers(guest: &Guest) -> Vec<Call> {
    let guest = || guest.clone();
    let disks = match guest().kind {
        Kind::Lxc => ["rootfs", "mp0", "mp255"],
        Kind::Qemu => ["scsi0", "virtio15", "sata5"],
    };
    let mut calls = vec![
        guest::ReadStatus { guest: guest() }.call(),
        guest::Start { guest: guest() }.call(),
        guest::Stop { guest: guest(), overrule_shutdown: false }.call(),
        guest::Stop { guest: guest(), overrule_shutdown: true }.call(),
        guest::Shutdown { guest: guest(), timeout: Duration::ZERO, force_stop: false }.call(),
        guest::Shutdown { guest: guest(), timeout: Duration::from_hours(24), force_stop: true }.call(),
        config::ReadConfig { guest: guest(), current: true }.call(),
        guest::Destroy { guest: guest(), force: true, unreferenced_disks: true }.call(),
    ];
    for (disk, bytes) in disks.into_iter().zip([1, 10 << 30, 100 << 40]) {
        calls.push(guest::Resize { guest: guest(), disk: disk.to_owned(), bytes }.call());
    }
    calls
}

fn reads() -> Vec<Call> {
    let node = || NODE.to_owned();
    let upid = "UPID:pve1:00000D27:00056742:6B017F12:vzrestore:999999999:lab@pve!host:";
    let volid = || "local:104/vm-104-disk-0.raw".to_owned();
    let list = task::ListTasks {
        node: node(),
        vmid: Some(MOST_VMID),
        since: Some(u64::from(u32::MAX)),
        kind: Some("qmrestore".to_owned()),
        limit: Some(u32::MAX),
    };
    let content = |content: &str, vmid| storage::ListContent {
        node: node(),
        storage: STORAGE.to_owned(),
        content: Some(content.to_owned()),
        vmid,
    };
    vec![
        list.call(),
        task::ReadTaskLog { upid: upid.parse().unwrap(), start: u32::MAX, limit: u32::MAX }.call(),
        content("images", Some(MOST_VMID)).call(),
        content("rootdir", Some(LEAST_VMID)).call(),
        content("backup", None).call(),
        storage::RemoveVolume { node: node(), storage: STORAGE.to_owned(), volid: volid() }.call(),
        node::ReadArchiveConfig {
            node: node(),
            volume: "pbs:backup/ct/9100/2026-11-21T11:14:04Z".to_owned(),
        }
        .call(),
        cluster::NextId { vmid: Some(LEAST_VMID) }.call(),
        cluster::NextId { vmid: Some(MOST_VMID) }.call(),
        access::ReadPermissions { path: Some("/sdn/zones/localnetwork/vmbr0/4094".to_owned()) }.call(),
        access::ReadPool { pool: "customers/eu-1/web_2".to_owned() }.call(),
    ]
}

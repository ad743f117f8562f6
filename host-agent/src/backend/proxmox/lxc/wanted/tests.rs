use serde_json::{Value, json};

use super::super::super::client::endpoint::Endpoint as _;
use super::super::super::client::endpoint::node::ArchiveConfig;
use super::*;
use crate::backend::{Allocation, GuestPlan, Slot};

const GOLDEN: &str = "local:backup/vzdump-lxc-9100-2026_11_21-11_14_04.tar.zst";
const CONFIG: &str = "hostname: golden\nnet0: name=eth0,bridge=vmbr7,hwaddr=BC:24:11:AA:BB:CC,ip=10.0.0.9/24,gw=10.0.0.1,tag=7,mtu=1400\n\
    rootfs: tank:subvol-9100-disk-0,size=4G,mountoptions=noatime\nunprivileged: 1\n";
const MOUNTS: &str =
    "mp0: tank:subvol-9100-disk-1,mp=/data/,backup=1,size=2G,acl=1\nmp4: tank:x,mp=/old,size=1536M\n";

fn placement(more: Value) -> Placement {
    let mut plan = json!({ "name": "web-01", "golden": GOLDEN });
    plan.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let plan: GuestPlan = serde_json::from_value(plan).unwrap();
    let slot =
        Slot { id: "104".to_owned(), node: "pve1".to_owned(), uuid: Some("u-u".to_owned()), since_s: 0 };
    let allocation = Allocation {
        mac: "bc:24:11:00:00:01".parse().unwrap(),
        more_macs: vec!["bc:24:11:00:00:02".parse().unwrap()],
        addresses: Vec::new(),
        slot: Some(slot),
    };
    let claim = serde_json::from_value(json!({ "version": 1, "id": "c", "secret": "00ff" })).unwrap();
    Placement::new("j1", plan, allocation, claim)
}

/// What would be sent, but for what is the same each time.
fn sent(more: Value, archive: &str, defaults: &Defaults, env: bool) -> Result<String, String> {
    let archive = Archive::new(GOLDEN, ArchiveConfig(archive.to_owned()));
    let placement = placement(more);
    let storage = placement.plan.place.storage.clone().or_else(|| defaults.storage.clone());
    let ground = Ground { archive: &archive, defaults, storage: storage.as_deref(), env };
    let wanted = Wanted::of(&placement, &ground).map_err(|fault| fault.code)?;
    let parameters = wanted.restore().call().parameters;
    let same = ["vmid", "ostemplate", "restore", "description", "env"];
    let told = parameters.iter().filter(|(name, _)| !same.contains(&name.as_str()));
    Ok(told.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" "))
}

fn defaults(storage: Option<&str>) -> Defaults {
    Defaults { storage: storage.map(str::to_owned), tags: Vec::new(), ..Defaults::default() }
}

const NET: &str =
    "net0=name=eth0,bridge=vmbr7,hwaddr=BC:24:11:00:00:01,ip=10.0.0.9/24,gw=10.0.0.1,tag=7,mtu=1400";

#[test]
fn a_plan_becomes_one_call() {
    let gib = 1_u64 << 30;
    let usual = |rest: &str| format!("storage=tank hostname=web-01 {rest}");
    let table = [
        // Nothing is said: everything but name and MAC is the archive's, on its own storage.
        (json!({}), CONFIG.to_owned(), None, usual(&format!("onboot=0 {NET}"))),
        (json!({}), CONFIG.to_owned(), Some("thin"), format!("storage=thin hostname=web-01 onboot=0 {NET}")),
        // The archive's mounts come along by themselves as long as the root disk is not said.
        (json!({}), format!("{CONFIG}{MOUNTS}"), None, usual(&format!("onboot=0 {NET}"))),
        // A size: the mounts are said, too, each with its own options.
        (
            json!({ "size": { "disk_bytes": 8 * gib } }),
            format!("{CONFIG}{MOUNTS}"),
            None,
            usual(&format!(
                "rootfs=tank:8,mountoptions=noatime onboot=0 {NET} mp0=tank:2,mp=/data/,backup=1,acl=1 mp4=tank:1.5,mp=/old"
            )),
        ),
        // Mounts: the root disk has the archive's size. A mount of the archive may be another one.
        (
            json!({ "mounts": [
                { "path": "/data", "size_bytes": 5 * gib, "backup": false },
                { "path": "/new/", "size_bytes": gib / 2, "storage": "bulk" },
            ] }),
            format!("{CONFIG}{MOUNTS}"),
            None,
            usual(&format!(
                "rootfs=tank:4,mountoptions=noatime onboot=0 {NET} mp0=tank:5,mp=/data,backup=0,acl=1 mp1=bulk:0.5,mp=/new,backup=1 mp4=tank:1.5,mp=/old"
            )),
        ),
        (
            json!({ "size": { "cores": 2, "memory_bytes": (1_u64 << 30) + 1 }, "tags": ["B", "a", "b"], "onboot": true }),
            CONFIG.to_owned(),
            None,
            usual(&format!("cores=2 memory=1025 tags=b;a onboot=1 {NET}")),
        ),
        (
            json!({ "place": { "pool": "lab", "storage": "thin" } }),
            format!("{CONFIG}protection: 1\n"),
            Some("fast"),
            format!("storage=thin pool=lab hostname=web-01 onboot=0 protection=0 {NET}"),
        ),
    ];
    for (plan, archive, storage, expected) in table {
        assert_eq!(sent(plan.clone(), &archive, &defaults(storage), false), Ok(expected), "{plan}");
    }
}

#[test]
fn interfaces_are_the_plans_over_the_archives() {
    let nets = |nics: Value, archive: &str| {
        let archive = format!("{archive}rootfs: tank:x,size=1G\n");
        let told = sent(json!({ "nics": nics }), &archive, &defaults(None), false).unwrap();
        told.split_once("onboot=0 ").unwrap().1.to_owned()
    };
    let golden =
        "net0: name=lan,bridge=vmbr7,hwaddr=BC:24:11:AA:BB:CC,ip=10.0.0.9/24,gw=10.0.0.1,tag=7,firewall=1\n";
    let ours = "hwaddr=BC:24:11:00:00:01";
    for (nics, archive, expected) in [
        (json!([]), "", format!("net0=name=eth0,bridge=vmbr0,ip=dhcp,{ours}")),
        (
            json!([{}]),
            golden,
            format!("net0=name=lan,bridge=vmbr7,{ours},ip=10.0.0.9/24,gw=10.0.0.1,tag=7,firewall=1"),
        ),
        (
            json!([{ "address": "dhcp", "firewall": false }]),
            golden,
            format!("net0=name=lan,bridge=vmbr7,{ours},ip=dhcp,tag=7,firewall=0"),
        ),
        (
            json!([{ "bridge": "vmbr1", "address": "10.1.0.5/16", "gateway": "10.1.0.1" }, { "vlan": 9 }]),
            golden,
            format!(
                "net0=name=lan,bridge=vmbr1,{ours},ip=10.1.0.5/16,firewall=1,gw=10.1.0.1 net1=name=eth1,bridge=vmbr0,ip=dhcp,tag=9,hwaddr=BC:24:11:00:00:02"
            ),
        ),
    ] {
        assert_eq!(nets(nics.clone(), archive), expected, "{nics}");
    }
    let many = json!({ "nics": [{}, {}, {}] });
    assert_eq!(sent(many, CONFIG, &defaults(None), false), Err("no-mac".to_owned()));
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_made() {
    let sized = || json!({ "size": { "disk_bytes": 1_u64 << 30 } });
    for (plan, archive, code) in [
        (sized(), "rootfs: tank:x,size=1G\nmp0: /mnt/nas,mp=/nas\n", "archived-mount"),
        (sized(), "rootfs: tank:x,size=1G\nmp0: tank:y,mp=/data\n", "archived-mount"),
        (json!({ "mounts": [{ "path": "/a", "size_bytes": 1 }] }), "rootfs: tank:x\n", "no-size"),
        (json!({ "mounts": [{ "path": "/a", "size_bytes": null }] }), "rootfs: tank:x,size=1G\n", "no-size"),
        (json!({}), "hostname: x\n", "no-storage"),
    ] {
        assert_eq!(sent(plan, archive, &defaults(None), true), Err(code.to_owned()), "{archive}");
    }
}

#[test]
fn a_guest_that_comes_back_is_told_nothing_of_what_is_its_own() {
    let plan = json!({ "intent": "restore" });
    let archive = format!("{CONFIG}{MOUNTS}protection: 1\nlxc.environment.runtime: APP=1\n");
    assert_eq!(sent(plan, &archive, &defaults(None), true), Ok("storage=tank onboot=0".to_owned()));
}

#[test]
fn variables_carry_the_claim_without_its_secret_and_keep_what_is_the_guests_own() {
    let baked = "lxc.environment.runtime: APP=1\nlxc.environment.runtime: container_uuid=old\n";
    let archive = Archive::new(GOLDEN, ArchiveConfig(format!("{CONFIG}{baked}")));
    let names = |intent: &str| -> Vec<String> {
        let env = variables(&placement(json!({ "intent": intent })), &archive).unwrap();
        let claim = env.split('\0').next().unwrap().strip_prefix("FIRSTLIGHT_CLAIM=").unwrap();
        assert!(Claim::parse(claim.as_bytes()).unwrap().secret.is_none());
        env.split('\0').skip(1).map(str::to_owned).collect()
    };
    assert_eq!(names("provision"), ["container_uuid=u-u"]);
    assert_eq!(names("restore"), ["container_uuid=u-u", "APP=1"]);
}

//! What is refused before anything is done, and in which words.

use std::time::{Duration, Instant};

use firstlight::backend::proxmox::Defaults;
use firstlight::backend::{Backend as _, Place};
use firstlight_tests::simpve::access::CONTAINER_ROLE;
use firstlight_tests::simpve::example::{
    BACKUP_SERVER_GOLDEN, CONTAINER_GOLDEN, MACHINE_GOLDEN, SECRET, TOKEN,
};
use firstlight_tests::simpve::guest::Kind;
use firstlight_tests::simpve::storage::{Keeping, Storage};
use firstlight_tests::simpve::world::World;
use serde_json::{Value, json};

use super::rig::{POOLED, Rig, plan, stamp};

/// `CODE MESSAGE`, or nothing.
async fn said(rig: &Rig, fields: Value) -> String {
    match rig.backend.preflight(&plan(fields)).await {
        Ok(()) => String::new(),
        Err(fault) => format!("{} {}", fault.code, fault.message),
    }
}

fn golden(world: &mut World, key: &str, value: &str) {
    let archive = world.archives.get_mut(CONTAINER_GOLDEN).unwrap();
    archive.config.insert(key.to_owned(), value.to_owned());
}

type Row = (fn(&mut World), Value, &'static str);

#[tokio::test]
async fn plans_are_judged_over_what_is_there() {
    let machine = |more: Value| {
        let mut fields = json!({ "golden": MACHINE_GOLDEN, "kind": "vm" });
        fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        fields
    };
    let table: Vec<Row> = vec![
        (|_| {}, json!({}), ""),
        (|_| {}, machine(json!({})), ""),
        (|_| {}, json!({ "golden": BACKUP_SERVER_GOLDEN }), ""),
        (|_| {}, json!({ "place": { "storage": "thin", "node": "pve1", "vmid": 150 } }), ""),
        (|_| {}, json!({ "intent": "restore", "name": "golden" }), ""),
        (|_| {}, json!({ "golden": "/srv/x.tar" }), "not-an-archive golden: `/srv/x.tar`"),
        (
            |_| {},
            json!({ "golden": "local:backup/vzdump-lxc-9100-2020_01_01-00_00_00.tar.zst" }),
            "proxmox-no-volume golden: pve1 has no `local:backup/vzdump-lxc-9100-2020",
        ),
        (|_| {}, json!({ "kind": "vm" }), "unsupported-field kind: "),
        (
            |_| {},
            machine(json!({ "mounts": [{ "path": "/srv", "size_bytes": null }] })),
            "unsupported-mount mounts: `/srv` needs a size",
        ),
        (
            |_| {},
            json!({ "size": { "disk_bytes": 1 << 30 } }),
            "unsupported-size disk: 1G is less than the golden's 4G",
        ),
        (
            |_| {},
            machine(json!({ "size": { "disk_bytes": 1 << 30 } })),
            "unsupported-size disk: 1G is less than the golden's 1536M",
        ),
        (
            |_| {},
            json!({ "place": { "storage": "vault" } }),
            "no-storage storage: `vault` takes no `rootdir`",
        ),
        (|_| {}, json!({ "place": { "storage": "zfs" } }), "no-storage storage: pve1 has no `zfs`"),
        (
            |world| world.storages.get_mut("thin").unwrap().enabled = false,
            json!({ "place": { "storage": "thin" } }),
            "no-storage storage: `thin` is disabled, or not for pve1",
        ),
        (
            |world| world.storages.get_mut("thin").unwrap().mounted = false,
            json!({ "place": { "storage": "thin" } }),
            "no-storage storage: `thin` on pve1 does not answer",
        ),
        (
            |_| {},
            json!({ "mounts": [{ "path": "/srv", "size_bytes": 1 << 30, "storage": "pbs" }] }),
            "no-storage mounts.storage: `pbs` takes no `rootdir`",
        ),
        (
            |_| {},
            json!({ "mounts": [{ "path": "/srv", "size_bytes": null }] }),
            "unsupported-mount mounts: `/srv` needs a size",
        ),
        (|_| {}, json!({ "nics": [{ "bridge": "vmbr9" }] }), "no-bridge nics.bridge: pve1 has no `vmbr9`"),
        (
            |world| golden(world, "net0", "name=eth0,bridge=vmbr7"),
            json!({}),
            "no-bridge nics.bridge: pve1 has no `vmbr7`",
        ),
        (
            |world| golden(world, "hookscript", "local:snippets/x.pl"),
            json!({}),
            "root-lines golden: `hookscript`",
        ),
        (
            |world| {
                world
                    .archives
                    .get_mut(CONTAINER_GOLDEN)
                    .unwrap()
                    .raw_lines
                    .push("lxc.apparmor.profile: unconfined".into())
            },
            json!({}),
            "root-lines golden: `lxc.apparmor.profile`",
        ),
        (
            |world| golden(world, "template", "1"),
            json!({}),
            "bad-golden golden: it is a backup of a template",
        ),
        (|world| golden(world, "mp0", "/mnt/nas,mp=/nas"), json!({}), "bad-golden golden: `mp0`"),
        (|world| golden(world, "protection", "1"), json!({}), ""),
        (
            |world| golden(world, "unprivileged", "0"),
            json!({}),
            "privileged-golden golden: its container is privileged",
        ),
        (
            |world| world.put_guest(150, Kind::Qemu, "pve1", &[]),
            json!({ "place": { "vmid": 150 } }),
            "vmid-taken vmid: another guest has 150",
        ),
        (|_| {}, json!({ "place": { "node": "pve7" } }), "no-such-node node: the cluster has no `pve7`"),
        (|_| {}, json!({ "place": { "pool": "lab" } }), ""),
        (
            |_| {},
            json!({ "nics": [{ "address": "10.0.0.5/24", "gateway": "10.0.1.1" }] }),
            "unsupported-field nics.gateway: 10.0.1.1 is no host of the network of 10.0.0.5/24",
        ),
        (
            |_| {},
            json!({ "intent": "restore" }),
            "unsupported-field name: the guest in the golden is called `golden`",
        ),
        (
            |_| {},
            json!({ "intent": "restore", "name": "golden", "size": { "cores": 2 } }),
            "unsupported-field cores: ",
        ),
    ];
    for (prepare, fields, expected) in table {
        let rig = Rig::new(1, prepare);
        let found = said(&rig, fields.clone()).await;
        let fits = if expected.is_empty() { found.is_empty() } else { found.starts_with(expected) };
        assert!(fits, "{fields}: {found:?} instead of {expected:?}");
        assert!(rig.sim.requests().iter().all(|one| one.method.as_str() == "GET"), "it only looks");
    }
}

#[tokio::test]
async fn what_the_token_lacks_is_named_with_its_path() {
    let lacking = |path: &str| {
        let path = path.to_owned();
        move |world: &mut World| {
            world.access.revoke(&path, POOLED);
            world.access.revoke(&path, "pooled@pve");
        }
    };
    let rig = Rig::with(1, POOLED, Defaults::default(), |_| {});
    assert_eq!(said(&rig, json!({})).await, "");
    let rig = Rig::with(1, POOLED, Defaults::default(), lacking("/vms/9100"));
    let fault = rig.backend.preflight(&plan(json!({}))).await.unwrap_err();
    assert_eq!(fault.code, "proxmox-denied");
    let hint = fault.hint.unwrap();
    assert!(hint.contains("VM.Backup") && hint.contains("/vms/9100"), "{hint}");
    // A privileged golden is for tokens with Sys.Modify.
    let rig = Rig::with(1, "strong@pve!host", Defaults::default(), |world| {
        golden(world, "unprivileged", "0");
        world.access.token("strong@pve!host", SECRET);
        world.access.role("Strong", &[&CONTAINER_ROLE[..], &["Sys.Modify"]].concat());
        world.access.grant_both("/", "strong@pve!host", "Strong");
    });
    assert_eq!(said(&rig, json!({})).await, "");
}

#[tokio::test]
async fn a_pool_is_looked_at_as_far_as_the_token_may() {
    let pool = |name: &str| json!({ "place": { "pool": name } });
    // Pool.Audit tells.
    let rig = Rig::with(1, POOLED, Defaults::default(), |_| {});
    assert_eq!(said(&rig, pool("lab")).await, "");
    let found = said(&rig, pool("nowhere")).await;
    assert!(
        found.starts_with(
            "proxmox-denied pool: the token may make no guests in `nowhere`, or it is not there"
        ),
        "{found}"
    );
    let sees_all = |world: &mut World| {
        world.access.role("Seer", &["Pool.Audit", "VM.Audit"]);
        world.access.grant_both("/pool", POOLED, "Seer");
    };
    let rig = Rig::with(1, POOLED, Defaults::default(), sees_all);
    let found = said(&rig, pool("nowhere")).await;
    assert!(found.starts_with("no-pool pool: the cluster has no `nowhere`"), "{found}");
    rig.sim.with_world(|world| {
        world.pools.insert("others".into(), std::collections::BTreeSet::new());
        world.pools.insert("nowhere".into(), std::collections::BTreeSet::new());
    });
    let found = said(&rig, pool("others")).await;
    assert!(
        found.starts_with(
            "proxmox-denied pool: the token may make no guests in `others`: it has no VM.Allocate"
        ),
        "{found}"
    );
    // The backend's own counts where the plan names none; rights on all guests count in any pool.
    let defaults = Defaults { pool: Some("others".into()), ..Defaults::default() };
    let rig = Rig::with(1, POOLED, defaults.clone(), |_| {});
    assert!(said(&rig, json!({})).await.starts_with("proxmox-denied pool: "));
    let rig = Rig::with(1, TOKEN, defaults.clone(), |_| {});
    assert!(said(&rig, json!({})).await.starts_with("no-pool pool: "));
    let rig = Rig::with(1, TOKEN, defaults, |world| world.access.role("Firstlight", &CONTAINER_ROLE));
    assert_eq!(said(&rig, json!({})).await, "", "whether it is there this token is not told");
    assert!(rig.sim.requests().iter().all(|one| one.method.as_str() == "GET"), "it only looks");
}

#[tokio::test]
async fn root_lines_can_be_allowed() {
    let defaults = Defaults { allow_root_lines: true, ..Defaults::default() };
    let rig = Rig::with(1, TOKEN, defaults, |world| golden(world, "hookscript", "local:snippets/x.pl"));
    assert_eq!(said(&rig, json!({})).await, "");
}

#[tokio::test]
async fn what_has_been_mended_is_not_held_against_a_plan() {
    let rig = Rig::new(1, |_| {});
    assert_eq!(said(&rig, json!({})).await, "");
    rig.sim.with_world(|world| {
        world.storages.insert("fast".into(), Storage::new(Keeping::LvmThin, "/dev/fast", &["rootdir"]));
    });
    assert_eq!(said(&rig, json!({ "place": { "storage": "fast" } })).await, "");
}

#[tokio::test]
async fn a_hundred_guests_of_one_plan_ask_a_few_questions() {
    let rig = Rig::new(1, |_| {});
    for number in 0..100 {
        assert_eq!(said(&rig, json!({ "name": format!("web-{number}") })).await, "");
    }
    assert!(rig.mark() <= 8, "{}", rig.mark());
    let mark = rig.mark();
    for _ in 0..20 {
        assert_ne!(said(&rig, json!({ "place": { "storage": "vault" } })).await, "");
    }
    assert!(rig.mark() - mark <= 8, "{}", rig.mark() - mark);
}

#[tokio::test]
async fn a_namesake_is_named_with_its_place_and_whose_it_is() {
    let ours = stamp("0123abcd");
    let rig = Rig::new(2, |world| {
        world.put_guest(101, Kind::Lxc, "pve1", &[("hostname", "web-01"), ("description", &ours)]);
        world.put_guest(102, Kind::Qemu, "pve2", &[("name", "DB"), ("description", "by hand")]);
    });
    for (name, expected) in [
        ("web-01", Some("container 101 on pve1 (stamp of job 0123abcd)")),
        ("db", Some("machine 102 on pve2 (not ours)")),
        ("web-02", None),
    ] {
        let found = rig.backend.namesake(&name.parse().unwrap(), &Place::default()).await.unwrap();
        assert_eq!(found.as_deref(), expected, "{name}");
    }
}

#[tokio::test]
async fn a_guest_that_was_just_destroyed_is_nobodys_namesake() {
    let rig = Rig::new(1, |world| {
        world.put_guest(101, Kind::Lxc, "pve1", &[("hostname", "web-01"), ("description", "by hand")]);
    });
    let name = "web-01".parse().unwrap();
    assert!(rig.backend.namesake(&name, &Place::default()).await.unwrap().is_some());
    rig.sim.with_world(|world| world.guests.remove(&101));
    assert_eq!(
        rig.backend.namesake(&name, &Place::default()).await.unwrap(),
        None,
        "what was listed is remembered"
    );
}

#[tokio::test]
async fn a_goldens_mark_changes_with_its_content_and_its_configuration_is_read_again() {
    let rig = Rig::new(1, |_| {});
    let plan = plan(json!({}));
    let first = rig.backend.golden_mark(&plan).await.unwrap();
    assert_eq!(first, "64344473 bytes, written at 1795259644");
    assert_eq!(rig.backend.preflight(&plan).await, Ok(()));
    rig.sim.with_world(|world| {
        world.archives.get_mut(CONTAINER_GOLDEN).unwrap().size += 1;
        golden(world, "template", "1");
    });
    assert_eq!(rig.backend.preflight(&plan).await, Ok(()), "remembered");
    let began = Instant::now();
    while rig.backend.golden_mark(&plan).await.unwrap() == first {
        assert!(began.elapsed() < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(rig.backend.preflight(&plan).await.unwrap_err().code, "bad-golden");
    let gone = rig
        .backend
        .golden_mark(&super::rig::plan(json!({ "golden": "local:backup/vzdump-lxc-7-x.tar" })))
        .await;
    assert_eq!(gone.unwrap_err().code, "proxmox-no-volume");
}

//! The state machine by itself, as tables: what the recordings do not show, or only once.

use std::time::Duration;

use firstlight_tests::simpve::access::CONTAINER_ROLE;
use firstlight_tests::simpve::answer::Answer;
use firstlight_tests::simpve::call::{Call, Method, Parameters};
use firstlight_tests::simpve::example::{
    BACKUP_SERVER_GOLDEN, CONTAINER_GOLDEN, MACHINE_GOLDEN, TOKEN, cluster,
};
use firstlight_tests::simpve::guest::Kind;
use firstlight_tests::simpve::profile::Profile;
use firstlight_tests::simpve::world::{Step, World};
use serde_json::{Value, json};

pub(crate) fn world() -> World {
    cluster(2, Profile::measured(), 1, 1_795_259_766)
}

pub(crate) fn ask(world: &mut World, method: Method, path: &str, parameters: &[(&str, &str)]) -> Answer {
    let mut call = Call::new("pve1", TOKEN, method, path, Parameters::of(parameters));
    call.arrived = world.now();
    loop {
        match world.call(&call) {
            Step::Answer(answer) => return *answer,
            Step::Wait { until } => world.advance(world.next_due().map_or(until, |due| due.min(until))),
        }
    }
}

pub(crate) fn restore(world: &mut World, node: &str, id: u32, more: &[(&str, &str)]) -> Answer {
    let id = id.to_string();
    let mut parameters = vec![("vmid", id.as_str()), ("ostemplate", CONTAINER_GOLDEN), ("restore", "1")];
    parameters.extend(more);
    if !more.iter().any(|(name, _)| *name == "storage") {
        parameters.push(("storage", "local"));
    }
    ask(world, Method::Post, &format!("/nodes/{node}/lxc"), &parameters)
}

pub(crate) fn upid(answer: &Answer) -> String {
    answer.value().and_then(Value::as_str).unwrap_or_else(|| panic!("{answer:?}")).to_owned()
}

fn config(world: &mut World, kind: &str, id: u32) -> Value {
    let answer = ask(world, Method::Get, &format!("/nodes/pve1/{kind}/{id}/config"), &[]);
    answer.value().cloned().unwrap_or_default()
}

#[test]
fn parallel_restores_queue_at_the_storage() {
    for (count, storages, seconds) in
        [(1, ["local"; 3], 2.2), (3, ["local"; 3], 4.4), (3, ["local", "thin", "local"], 3.3)]
    {
        let mut world = world();
        let begun = world.now();
        for (id, storage) in (100..).zip(&storages[..count]) {
            restore(&mut world, "pve1", id, &[("storage", storage)]);
        }
        world.settle();
        let took = (world.now() - begun).as_secs_f64();
        assert!((took - seconds).abs() < 0.01, "{count} on {storages:?}: {took} s");
        assert!(world.tasks.iter().all(|task| task.exit.as_deref() == Some("OK")));
    }
}

#[test]
fn a_storage_lock_times_out_where_the_profile_says_so() {
    let mut world = world();
    world.profile.locks.storage = Duration::from_secs(1);
    restore(&mut world, "pve1", 100, &[]);
    let late = upid(&restore(&mut world, "pve1", 101, &[]));
    let words =
        "unable to restore CT 101 - can't lock file '/var/lock/pve-manager/pve-storage-local' - got timeout";
    assert_eq!(world.finish_task(&late).as_deref(), Some(words));
    world.settle();
    assert!(!world.guests.contains_key(&101) && world.guests.contains_key(&100));
}

#[test]
fn a_running_task_has_one_shape_and_its_owner_may_read_it() {
    let mut world = world();
    let upid = upid(&restore(&mut world, "pve1", 100, &[]));
    let status = ask(&mut world, Method::Get, &format!("/nodes/pve1/tasks/{upid}/status"), &[]);
    let mut keys: Vec<&String> = status.value().unwrap().as_object().unwrap().keys().collect();
    keys.sort();
    let expected = ["id", "node", "pid", "pstart", "starttime", "status", "tokenid", "type", "upid", "user"];
    assert_eq!(keys, expected);
    assert_eq!(status.value().unwrap()["status"], "running");
    world.access.token("other@pve!t1", "x");
    let call = Call::new(
        "pve1",
        "other@pve!t1",
        Method::Get,
        &format!("/nodes/pve1/tasks/{upid}/status"),
        Parameters::default(),
    );
    let Step::Answer(answer) = world.call(&call) else { panic!("it waits") };
    assert_eq!(answer.reason, "Permission check failed (/nodes/pve1, Sys.Audit)");
}

#[test]
fn containers_and_machines_of_all_nodes_share_their_numbers() {
    let mut world = world();
    world.put_guest(100, Kind::Qemu, "pve2", &[]);
    world.put_guest(101, Kind::Lxc, "pve2", &[]);
    let table = [
        ("lxc", 100, "VM 100 already exists on node 'pve2'"),
        ("lxc", 101, "CT 101 already exists on node 'pve2'"),
        ("qemu", 100, "unable to create VM 100 - VM 100 already exists on node 'pve2'"),
        ("qemu", 101, "unable to create VM 101 - CT 101 already exists on node 'pve2'"),
    ];
    for (kind, id, words) in table {
        let answer = match kind {
            "lxc" => restore(&mut world, "pve1", id, &[]),
            _ => ask(&mut world, Method::Post, "/nodes/pve1/qemu", &[("vmid", &id.to_string())]),
        };
        assert_eq!((answer.status, answer.reason.as_str()), (500, words));
    }
    let next = ask(&mut world, Method::Get, "/cluster/nextid", &[]);
    assert_eq!(next.value(), Some(&json!("102")));
}

#[test]
fn storages_name_volumes_and_refuse_content_each_in_its_way() {
    let table = [
        ("local", Ok("local:100/vm-100-disk-0.raw,size=4G")),
        ("thin", Ok("thin:vm-100-disk-0,size=4G")),
        ("vault", Err("Parameter verification failed.")),
        ("pbs", Err("Parameter verification failed.")),
        ("none", Err("storage 'none' does not exist")),
    ];
    for (storage, expected) in table {
        let mut world = world();
        let answer = restore(&mut world, "pve1", 100, &[("storage", storage)]);
        match expected {
            Ok(rootfs) => {
                assert_eq!(world.finish_task(&upid(&answer)).as_deref(), Some("OK"));
                assert_eq!(config(&mut world, "lxc", 100)["rootfs"], rootfs);
            }
            Err(words) => assert_eq!(answer.reason, words, "{storage}"),
        }
    }
}

#[test]
fn a_backup_server_is_a_source_like_another() {
    let mut world = world();
    let parameters =
        [("vmid", "100"), ("ostemplate", BACKUP_SERVER_GOLDEN), ("restore", "1"), ("storage", "local")];
    let answer = ask(&mut world, Method::Post, "/nodes/pve1/lxc", &parameters);
    assert_eq!(world.finish_task(&upid(&answer)).as_deref(), Some("OK"));
    assert_eq!(config(&mut world, "lxc", 100)["hostname"], "golden");
}

#[test]
fn macs_are_kept_or_fresh_as_the_real_restore_does() {
    let golden = "BC:24:11:AA:BB:CC";
    let table: [(&[(&str, &str)], bool); 4] = [
        (&[], true),
        (&[("unique", "1")], false),
        (&[("net0", "name=eth0,bridge=vmbr0,ip=dhcp")], false),
        (&[("net0", "name=eth0,bridge=vmbr0,hwaddr=BC:24:11:AA:BB:CC")], true),
    ];
    for (more, kept) in table {
        let mut world = world();
        let answer = restore(&mut world, "pve1", 100, more);
        world.finish_task(&upid(&answer));
        let net = config(&mut world, "lxc", 100)["net0"].as_str().unwrap().to_owned();
        assert_eq!(net.contains(golden), kept, "{more:?}: {net}");
    }
}

#[test]
fn a_machine_keeps_its_identity_unless_it_is_told_otherwise() {
    let golden = "77250a18-41e2-4b60-9abe-b03dd3b3e545";
    let table: [(&[(&str, &str)], &str); 3] = [
        (&[], "uuid=77250a18-41e2-4b60-9abe-b03dd3b3e545"),
        (&[("smbios1", "base64=1,serial=eA==")], "base64=1,serial=eA=="),
        (
            &[("unique", "1"), ("smbios1", "uuid=22222222-2222-4333-8444-555555555555")],
            "uuid=22222222-2222-4333-8444-555555555555",
        ),
    ];
    for (more, smbios) in table {
        let mut world = world();
        let mut parameters = vec![("vmid", "100"), ("archive", MACHINE_GOLDEN), ("storage", "local")];
        parameters.extend(more);
        let answer = ask(&mut world, Method::Post, "/nodes/pve1/qemu", &parameters);
        world.finish_task(&upid(&answer));
        let found = config(&mut world, "qemu", 100);
        assert_eq!(found["smbios1"], smbios);
        assert_ne!(found["vmgenid"], "bb70e178-edc1-4b49-8286-a06007f8c528");
    }
    let mut world = world();
    let parameters = [("vmid", "100"), ("archive", MACHINE_GOLDEN), ("storage", "local"), ("start", "1")];
    let answer = ask(&mut world, Method::Post, "/nodes/pve1/qemu", &parameters);
    world.finish_task(&upid(&answer));
    world.settle();
    world.advance(world.now() + Duration::from_secs(10));
    let path = "/nodes/pve1/qemu/100/agent/file-read";
    let machine_id = ask(&mut world, Method::Get, path, &[("file", "/etc/machine-id")]);
    assert_eq!(machine_id.value().unwrap()["content"], format!("{}\n", golden.replace('-', "")));
}

#[test]
fn after_a_resize_nothing_gets_the_lock_for_the_time_of_two_file_system_checks() {
    let mut world = world();
    let answer = restore(&mut world, "pve1", 100, &[]);
    world.finish_task(&upid(&answer));
    let resize =
        ask(&mut world, Method::Put, "/nodes/pve1/lxc/100/resize", &[("disk", "rootfs"), ("size", "+2G")]);
    let begun = world.now();
    let put = ask(&mut world, Method::Put, "/nodes/pve1/lxc/100/config", &[("hostname", "x")]);
    assert_eq!(put.reason, "can't lock file '/run/lock/lxc/pve-config-100.lock' - got timeout");
    assert_eq!(world.now() - begun, Duration::from_secs(10));
    assert_eq!(world.finish_task(&upid(&resize)).as_deref(), Some("OK"));
    assert_eq!(world.now() - begun, Duration::from_millis(22_600));
    let put = ask(&mut world, Method::Put, "/nodes/pve1/lxc/100/config", &[("hostname", "x")]);
    assert_eq!(put.status, 200);
}

#[test]
fn what_a_killed_restore_leaves_only_an_operator_clears() {
    let mut world = world();
    let before = world.inventory();
    let answer = restore(&mut world, "pve1", 100, &[]);
    world.advance(world.now() + Duration::from_secs(2));
    world.kill(&upid(&answer));
    let path = "/nodes/pve1/lxc/100";
    let delete = [("force", "1"), ("destroy-unreferenced-disks", "1")];
    let refused = ask(&mut world, Method::Delete, path, &delete);
    assert_eq!(refused.reason, "CT is locked (create)");
    world.unlock(100);
    let answer = ask(&mut world, Method::Delete, path, &delete);
    assert_eq!(world.finish_task(&upid(&answer)).as_deref(), Some("OK"));
    assert_eq!(world.inventory(), before);
}

#[test]
fn a_cluster_without_quorum_is_read_but_not_written() {
    let mut world = world();
    world.quorate = false;
    assert_eq!(restore(&mut world, "pve1", 100, &[]).reason, "cluster not ready - no quorum?");
    assert_eq!(ask(&mut world, Method::Get, "/nodes/pve1/lxc", &[]).status, 200);
}

#[test]
fn free_numbers_are_looked_for_in_the_clusters_range() {
    let mut world = world();
    world.numbers = 200..202;
    let next = |world: &mut World| ask(world, Method::Get, "/cluster/nextid", &[]);
    assert_eq!(next(&mut world).value(), Some(&json!("200")));
    for id in [200, 201] {
        world.put_guest(id, Kind::Lxc, "pve2", &[]);
    }
    assert_eq!(next(&mut world).reason, "unable to get any free VMID in range [200, 202]");
}

#[test]
fn options_of_containers_need_their_privileges() {
    let table = [
        (
            "features",
            "keyctl=1",
            "changing feature flags for privileged container is only allowed for root@pam",
        ),
        ("hookscript", "local:snippets/x", "changing the hookscript is only allowed for root@pam"),
        ("dev0", "/dev/null", "configuring device passthrough is only allowed for root@pam"),
        ("mp0", "/srv,mp=/srv", "mount point type bind is only allowed for root@pam"),
    ];
    for (key, value, why) in table {
        let answer = restore(&mut world(), "pve1", 100, &[("rootfs", "local:4"), (key, value)]);
        assert_eq!(answer.reason, format!("Permission check failed ({why})"));
    }
    for (missing, key, value) in [
        ("VM.Config.CPU", "cores", "2"),
        ("VM.Config.Memory", "memory", "600"),
        ("VM.Config.Network", "hostname", "x"),
        ("VM.Config.Options", "description", "x"),
    ] {
        let mut world = world();
        let role: Vec<&str> = CONTAINER_ROLE.into_iter().filter(|one| *one != missing).collect();
        world.access.role("Firstlight", &role);
        let answer = restore(&mut world, "pve1", 100, &[(key, value)]);
        assert_eq!(answer.reason, format!("Permission check failed (/vms/100, {missing})"));
    }
}

#[test]
fn the_same_seed_plays_the_same_game() {
    let play = || {
        let mut world = world();
        let answer = restore(&mut world, "pve1", 100, &[("unique", "1")]);
        world.finish_task(&upid(&answer));
        (upid(&answer), world.inventory())
    };
    assert_eq!(play(), play());
}

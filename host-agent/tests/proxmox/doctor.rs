//! `firstlight doctor` against the simulated cluster: what a token lacks is named, and the lines that it shows mend it.

use std::collections::{BTreeMap, BTreeSet};

use firstlight::clock::now_s;
use firstlight_tests::simpve::access::{CONTAINER_ROLE, MACHINE_ROLE, user_of};
use firstlight_tests::simpve::call::Method;
use firstlight_tests::simpve::example::{BACKUP_SERVER_GOLDEN, CONTAINER_GOLDEN, MACHINE_GOLDEN, TOKEN};
use firstlight_tests::simpve::faults::{Fault, Rule};
use firstlight_tests::simpve::guest::Kind;
use firstlight_tests::simpve::world::World;

use crate::operator::{Operator, finding, grants, world};

/// A world whose token has nothing.
fn bare() -> World {
    let mut world = world(1);
    for subject in [TOKEN, user_of(TOKEN)] {
        world.access.revoke("/", subject);
    }
    world
}

/// Runs the lines as a node's shell would: roles grow, entries are added.
fn obey(world: &mut World, lines: &[String]) {
    let mut roles: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in lines {
        let first = line.split(" || ").next().unwrap();
        let words: Vec<&str> = first.split(' ').map(|word| word.trim_matches('\'')).collect();
        match words[..] {
            ["pveum", "role", "add", role, "--privs", list] => {
                let privileges = roles.entry(role.to_owned()).or_default();
                privileges.extend(list.split(',').map(str::to_owned));
                let privileges: Vec<&str> = privileges.iter().map(String::as_str).collect();
                world.access.role(role, &privileges);
            }
            ["pveum", "acl", "modify", path, "--users" | "--tokens", subject, "--roles", role] => {
                world.access.grant(path, subject, role);
            }
            _ => panic!("{line}"),
        }
    }
}

fn spec(more: &str) -> String {
    let golden = if more.contains("\"vm\"") { MACHINE_GOLDEN } else { CONTAINER_GOLDEN };
    let golden = if more.contains("golden") { String::new() } else { format!("golden = {golden:?}\n") };
    format!("[[guest]]\nname = \"web-01\"\nbackend = \"proxmox\"\n{golden}{more}")
}

const RICH: &str =
    "cores = 2\nmemory = \"512M\"\ndisk = \"8G\"\nstorage = \"thin\"\nnics = [{ address = \"dhcp\" }]\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_can_do_all_is_told_so() {
    let operator = Operator::of(world(2));
    let found = operator.doctor(&[], 0).await;
    assert!(!found.iter().any(|finding| finding["what"] == "preflight"), "no spec, no guests");
    for what in [
        "version",
        "token",
        "pin",
        "node pve2",
        "clock of pve1",
        "rights on /vms/999999999",
        "bridge vmbr0 on pve2",
    ] {
        assert_eq!(finding(&found, what).0, "ok", "{what}: {found:#?}");
    }
    let spec = operator.spec(&spec(RICH));
    let found = operator.doctor(&["--spec", &spec], 0).await;
    assert!(found.iter().all(|finding| finding["state"] == "ok"), "{found:#?}");
    assert_eq!(finding(&found, CONTAINER_GOLDEN).1, "this token can read it");
    assert_eq!(finding(&found, "preflight"), ("ok", "web-01", vec![]));
    assert!(finding(&found, "storage thin on pve2").1.starts_with("takes rootdir"));
    operator.run(&["doctor"]).await.ends_with(0).says(&["ok       version", "--spec FILE"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_privilege_that_is_missing_is_named_and_its_lines_mend_it() {
    let needed = [
        ("VM.Allocate", "/vms/"),
        ("VM.Audit", "/vms/"),
        ("VM.PowerMgmt", "/vms/"),
        ("VM.Config.Network", "/vms/"),
        ("VM.Config.Options", "/vms/"),
        ("VM.Config.CPU", "/vms/"),
        ("VM.Config.Memory", "/vms/"),
        ("VM.Config.Disk", "/vms/"),
        ("Datastore.AllocateSpace", "/storage/thin"),
        ("SDN.Use", "/sdn/zones/localnetwork/vmbr0"),
    ];
    for (privilege, path) in needed {
        let mut world = bare();
        let rest: Vec<&str> = CONTAINER_ROLE.into_iter().filter(|one| *one != privilege).collect();
        world.access.role("Rest", &rest);
        world.access.grant_both("/", TOKEN, "Rest");
        let operator = Operator::of(world);
        let spec = operator.spec(&spec(RICH));
        let found = operator.doctor(&["--spec", &spec], 1).await;
        let (state, why, fix) = finding(&found, path);
        assert_eq!(state, "fail", "{privilege}: {found:#?}");
        assert!(why.contains(&format!("{privilege} is missing")), "{privilege}: {why}");
        assert!(fix.iter().any(|line| line.contains("--users firstlight@pve")), "{fix:?}");
        assert!(fix.iter().any(|line| line.contains("--tokens 'firstlight@pve!host'")), "{fix:?}");
        operator.sim.with_world(|world| obey(world, &grants(&found, &["fail"])));
        operator.doctor(&["--spec", &spec], 0).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_nothing_the_lines_alone_lead_to_a_token_that_can() {
    for (kind, of_user, of_token) in
        [("lxc", false, false), ("lxc", true, false), ("lxc", false, true), ("vm", false, false)]
    {
        let mut world = bare();
        world.access.role("All", &[&CONTAINER_ROLE[..], &MACHINE_ROLE[..]].concat());
        // With privilege separation, a grant to one of them is none.
        if of_user {
            world.access.grant("/", user_of(TOKEN), "All");
        }
        if of_token {
            world.access.grant("/", TOKEN, "All");
        }
        let operator = Operator::of(world);
        let spec = operator.spec(&spec(&format!("kind = \"{kind}\"\n{RICH}")));
        let mut found = operator.doctor(&["--spec", &spec], 1).await;
        assert_eq!(finding(&found, "rights on /vms/").0, "fail");
        // The first lines may bring to light what was not shown to the token before.
        for _ in 0..2 {
            operator.sim.with_world(|world| obey(world, &grants(&found, &["fail", "warn"])));
            let code = if operator.run(&["doctor", "--spec", &spec]).await.code == 0 { 0 } else { 1 };
            found = operator.doctor(&["--spec", &spec], code).await;
        }
        assert!(
            found.iter().all(|finding| finding["state"] == "ok"),
            "{kind} {of_user} {of_token}: {found:#?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn machines_want_more_than_containers() {
    let mut world = bare();
    world.access.role("Containers", &CONTAINER_ROLE);
    world.access.grant_both("/", TOKEN, "Containers");
    let operator = Operator::of(world);
    // Nobody asked for machines: a warning.
    let found = operator.doctor(&[], 0).await;
    let (state, why, _) = finding(&found, "rights on /vms/");
    assert_eq!(state, "warn");
    for privilege in ["VM.Config.HWType", "VM.GuestAgent.Audit", "VM.GuestAgent.FileRead"] {
        assert!(why.contains(privilege), "{why}");
    }
    let spec = operator.spec(&spec("kind = \"vm\"\n"));
    let found = operator.doctor(&["--spec", &spec], 1).await;
    assert_eq!(finding(&found, "rights on /vms/").0, "fail");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rights_on_a_pool_are_enough_but_for_tags() {
    let mut world = bare();
    world.pools.insert("lab".into(), BTreeSet::new());
    let of_guests: Vec<&str> = CONTAINER_ROLE.into_iter().filter(|one| one.starts_with("VM.")).collect();
    world.access.role("Guests", &of_guests);
    world.access.role("Golden", &["VM.Backup"]);
    world.access.grant_both("/vms/9100", TOKEN, "Golden");
    world.access.role("Rest", &["Datastore.AllocateSpace", "Datastore.Allocate", "SDN.Use", "Sys.Audit"]);
    world.access.grant_both("/pool/lab", TOKEN, "Guests");
    for path in ["/storage/thin", "/storage/local", "/sdn/zones/localnetwork", "/nodes/pve1"] {
        world.access.grant_both(path, TOKEN, "Rest");
    }
    let operator = Operator::of(world);
    let with_pool = operator.spec(&spec(&format!("pool = \"lab\"\n{RICH}")));
    let found = operator.doctor(&["--spec", &with_pool], 0).await;
    let (state, why, fix) = finding(&found, "tags of containers");
    assert!(state == "warn" && why.contains("pool") && fix.is_empty(), "{why} {fix:?}");
    // Whether the pool is there this token is not told, and it is a warning.
    let (state, why, fix) = finding(&found, "rights on /pool/lab");
    assert!(state == "warn" && why.contains("Pool.Audit") && fix.len() == 3, "{why} {fix:?}");
    let without = operator.spec(&spec(RICH));
    let found = operator.doctor(&["--spec", &without], 1).await;
    assert_eq!(finding(&found, "rights on /vms/").0, "fail");
    let nowhere = operator.spec(&spec(&format!("pool = \"nowhere\"\n{RICH}")));
    let found = operator.doctor(&["--spec", &nowhere], 1).await;
    let (_, why, _) = finding(&found, "preflight of web-01");
    assert!(why.contains("pool: the token may make no guests in `nowhere`"), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_golden_is_read_before_anybody_waits_for_it() {
    let mut world = bare();
    let least: Vec<&str> = CONTAINER_ROLE
        .into_iter()
        .filter(|one| !matches!(*one, "Datastore.Allocate" | "VM.Backup"))
        .collect();
    world.access.role("Least", &least);
    world.access.grant_both("/", TOKEN, "Least");
    let operator = Operator::of(world);
    let with = |more: &str| operator.spec(&spec(more));
    let found = operator.doctor(&["--spec", &with("storage = \"thin\"\n")], 1).await;
    let (state, why, _) = finding(&found, CONTAINER_GOLDEN);
    assert!(state == "fail" && why.contains("VM.Backup on /vms/9100"), "{why}");
    operator.sim.with_world(|world| obey(world, &grants(&found, &["fail"])));
    let found = operator.doctor(&["--spec", &with("storage = \"thin\"\n")], 0).await;
    assert_eq!(finding(&found, CONTAINER_GOLDEN).0, "ok");

    for (more, said) in [
        ("golden = \"local:backup/vzdump-lxc-9100-2020_01_01-00_00_00.tar.zst\"\n", "it is not there"),
        ("golden = \"/var/lib/vz/dump/x.tar\"\n", "is not a backup"),
        (
            "golden = \"thin:backup/vzdump-lxc-9100-2026_11_21-11_14_04.tar.zst\"\n",
            "lvmthin, which keeps no backups at all",
        ),
        (
            "kind = \"vm\"\ngolden = \"local:backup/vzdump-lxc-9100-2026_11_21-11_14_04.tar.zst\"\n",
            "another kind",
        ),
    ] {
        let found = operator.doctor(&["--spec", &with(more)], 1).await;
        let (state, why, _) = finding(&found, "golden ");
        assert!(state == "fail" && why.contains(said), "{more}: {why}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_guests_shall_be_is_looked_at() {
    let operator = Operator::of(world(2));
    operator.sim.with_world(|world| world.nodes.get_mut("pve2").unwrap().online = false);
    for (more, what, said) in [
        ("storage = \"vault\"\n", "storage vault on pve1", "it takes no rootdir (it takes backup)"),
        ("storage = \"pbs\"\n", "storage pbs on pve1", "it takes no rootdir"),
        ("storage = \"nowhere\"\n", "storage nowhere on pve1", "no storage of that name"),
        ("nics = [{ bridge = \"vmbr9\" }]\n", "bridge vmbr9 on pve1", "it is not there"),
        ("node = \"pve9\"\n", "node pve9", "no such node"),
        ("node = \"pve2\"\n", "node pve2", "offline"),
        (
            "mounts = [{ path = \"/data\", size = \"1G\", storage = \"vault\" }]\n",
            "storage vault on pve1",
            "no rootdir",
        ),
    ] {
        let spec = operator.spec(&spec(more));
        let found = operator.doctor(&["--spec", &spec], 1).await;
        let (state, why, _) = finding(&found, what);
        assert!(state == "fail" && why.contains(said), "{more}: {found:#?}");
    }
    let taken = operator.spec(&spec("vmid = 4711\n"));
    operator.sim.with_world(|world| world.put_guest(4711, Kind::Lxc, "pve1", &[("hostname", "other")]));
    let found = operator.doctor(&["--spec", &taken], 1).await;
    assert_eq!(finding(&found, "preflight of web-01").0, "fail");
    // A backup server's archive, and one node that is away: what can be done is enough.
    let from_server =
        operator.spec(&spec(&format!("golden = {BACKUP_SERVER_GOLDEN:?}\nstorage = \"thin\"\n")));
    let found = operator.doctor(&["--spec", &from_server], 0).await;
    assert_eq!(finding(&found, "node pve2").0, "warn");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_the_server_is_comes_first() {
    let operator = Operator::of(world(2));
    let pve1 = operator.address("pve1");
    // Somebody else at the first address: not a small thing, though the second one answers.
    operator.sim.with_faults(|faults| faults.show_strange_certificate("pve1", u32::MAX));
    let found = operator.doctor(&[], 1).await;
    let (state, why, fix) = finding(&found, &pve1);
    assert!(state == "fail" && why.contains("not the pinned one"), "{why}");
    assert!(
        fix.contains(&"pvenode cert info") && fix.contains(&format!("firstlight trust {pve1}").as_str()),
        "{fix:?}"
    );
    operator.sim.with_faults(|faults| faults.clear());

    // An address where nobody is, beside one that answers: a warning.
    let text = std::fs::read_to_string(operator.path("firstlight.toml")).unwrap();
    let gone = text.replace(&pve1, "127.0.0.1:1");
    std::fs::write(operator.path("firstlight.toml"), &gone).unwrap();
    let found = operator.doctor(&[], 0).await;
    assert_eq!(finding(&found, "127.0.0.1:1").0, "warn");
    // Nobody at all: everything else was not checked, and nothing of it is said to be well.
    let gone = gone.replace(&operator.address("pve2"), "127.0.0.1:2");
    std::fs::write(operator.path("firstlight.toml"), gone).unwrap();
    let found = operator.doctor(&[], 1).await;
    assert_eq!(finding(&found, "127.0.0.1:2").0, "fail");
    assert!(!found.iter().any(|finding| finding["what"] == "token"), "{found:#?}");

    let ran = operator.run(&["doctor"]).await.ends_with(1);
    let line =
        ran.stdout.lines().find(|line| line.contains("127.0.0.1:2 ")).unwrap_or_else(|| panic!("{ran:#?}"));
    assert_eq!(line.matches("127.0.0.1:2").count(), 1, "{line}");
    assert!(line.contains("cannot be reached: Connection refused"), "{line}");
    assert!(ran.stderr.contains("2 things are missing, 0 could not be checked, 0 warnings"), "{ran:#?}");

    // A pinned certificate works, and is warned about.
    let leaves: Vec<String> = operator
        .sim
        .with_world(|world| world.nodes.values().map(|node| node.certificate.fingerprint.clone()).collect());
    operator.configure(&format!("fingerprints = {leaves:?}\n"));
    let found = operator.doctor(&[], 0).await;
    let (state, why, _) = finding(&found, "pin");
    assert!(state == "warn" && why.contains("it is renewed some day"), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_is_not_let_in_is_told_so() {
    let operator = Operator::of(world(1));
    operator.write_token("99999999-0000-0000-0000-000000000000");
    let found = operator.doctor(&[], 1).await;
    let (state, _, fix) = finding(&found, &operator.address("pve1"));
    assert_eq!(state, "fail");
    assert!(fix.iter().any(|line| line.contains("pveum user token list firstlight@pve")), "{fix:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_could_not_be_checked_is_never_well() {
    for (path, what) in [
        ("/access/permissions", "rights on /vms/"),
        ("/nodes/*/storage", "storage thin on pve1"),
        ("/nodes/*/network", "bridge vmbr0 on pve1"),
        ("/nodes/*/time", "clock of pve1"),
        ("/nodes/*/vzdump/extractconfig", CONTAINER_GOLDEN),
        ("/nodes", "nodes"),
    ] {
        let operator = Operator::of(world(1));
        operator.sim.fault(Rule::always(Method::Get, path, Fault::Fails("something odd".into())));
        let spec = operator.spec(&spec(RICH));
        let found = operator.doctor(&["--spec", &spec], 1).await;
        assert_eq!(finding(&found, what).0, "unknown", "{path}: {found:#?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clocks_that_differ_are_told() {
    let mut world = world(1);
    world.began = now_s() - 3600;
    let operator = Operator::of(world);
    let found = operator.doctor(&[], 0).await;
    let (state, why, _) = finding(&found, "clock of pve1");
    assert!(state == "warn" && (why.starts_with("-3600 s") || why.starts_with("-3599 s")), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_cluster_or_its_guests_the_way_is_shown() {
    let operator = Operator::of(world(1));
    let local = operator.spec("[[guest]]\nname = \"a\"\ngolden = \"x\"\n");
    operator.run(&["doctor", "--spec", &local]).await.ends_with(3).says(&["no guest of it is for `proxmox`"]);
    operator.run(&["doctor", "--backend", "local"]).await.ends_with(2);
    std::fs::remove_file(operator.path("token")).unwrap();
    operator.run(&["doctor"]).await.ends_with(4).says(&["its token cannot be read", "proxmox.token names"]);
    std::fs::write(operator.path("firstlight.toml"), "").unwrap();
    operator.run(&["doctor"]).await.ends_with(4).says(&["no [proxmox]", "docs/proxmox.md"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_way_of_reports_is_looked_at() {
    let cluster = crate::field::Cluster::start();
    let config = cluster.place.path("firstlight.toml");
    let operator = Operator::of(world(1));
    let text = std::fs::read_to_string(&config).unwrap();
    let used = |text: &str| std::fs::write(operator.path("firstlight.toml"), text).unwrap();
    used(&text);
    let found = operator.doctor(&[], 0).await;
    let (state, why, _) = finding(&found, "listener for reports");
    assert!(state == "ok" && why.contains("is free"), "{why}");
    let (state, why, _) = finding(&found, "address for reports");
    assert!(state == "ok" && why.contains("only a guest can prove"), "{why}");

    // With the companion at work its own key is met there.
    let _companion = cluster.companion().await;
    let found = operator.doctor(&[], 0).await;
    let (_, why, _) = finding(&found, "listener for reports");
    assert!(why.contains("the companion takes reports") && why.contains("its own key"), "{why}");
    let (_, why, _) = finding(&found, "address for reports");
    assert!(why.contains("the companion's key is met there"), "{why}");

    // Another one's key, a name that nobody knows, an address of somebody else, a port that is taken.
    let own = text.lines().find_map(|line| line.strip_prefix("url = ")).unwrap().to_owned();
    let pve = format!("\"https://{}\"", operator.address("pve1"));
    used(&text.replace(&format!("url = {own}"), &format!("url = {pve}")));
    let found = operator.doctor(&[], 1).await;
    let (_, why, _) = finding(&found, "address for reports");
    assert!(why.contains("shows another key") && why.contains("guests refuse it"), "{why}");
    used(&text.replace(&format!("url = {own}"), "url = \"https://nobody.invalid:7443\""));
    let found = operator.doctor(&[], 1).await;
    let (_, why, _) = finding(&found, "address for reports");
    assert!(why.contains("its host has no address"), "{why}");
    let listen = own.replace("https://", "");
    used(&text.replace(&format!("listen = {listen}"), "listen = \"192.0.2.7:7443\""));
    let found = operator.doctor(&[], 1).await;
    let (_, why, fix) = finding(&found, "listener for reports");
    assert!(why.contains("192.0.2.7 is no address of this machine") && !fix.is_empty(), "{why}");
    used(&text.replace(&format!("listen = {listen}"), &format!("listen = {:?}", operator.address("pve1"))));
    let found = operator.doctor(&[], 1).await;
    let (_, why, _) = finding(&found, "listener for reports");
    assert!(why.contains("is taken by another program"), "{why}");
}

//! Nodes, VMIDs and MACs.

use std::collections::BTreeSet;

use firstlight::backend::proxmox::Defaults;
use firstlight::backend::{Allocation, Backend as _, GuestPlan, Taken};
use firstlight::clock::now_s;
use firstlight_tests::simpve::example::{BACKUP_SERVER_GOLDEN, CONTAINER_GOLDEN, MACHINE_GOLDEN, TOKEN};
use firstlight_tests::simpve::guest::Kind;
use firstlight_tests::simpve::world::World;
use serde_json::json;

use super::rig::{BEGAN, POOLED, Rig, plan};

const GOLDEN_MAC: &str = "bc:24:11:aa:bb:cc";

async fn choose(rig: &Rig, plan: &GuestPlan) -> Result<Allocation, String> {
    let chosen = rig.backend.allocate(plan, &Taken::default()).await;
    chosen.map_err(|fault| format!("{}: {}", fault.code, fault.message))
}

async fn node(rig: &Rig, plan: &GuestPlan) -> Result<String, String> {
    Ok(choose(rig, plan).await?.slot.unwrap().node)
}

async fn vmid(rig: &Rig, taken: &[u32]) -> Result<u32, String> {
    let taken = Taken { ids: taken.iter().map(ToString::to_string).collect(), ..Taken::default() };
    let chosen = rig.backend.allocate(&plan(json!({})), &taken).await.map_err(|fault| fault.code)?;
    Ok(chosen.slot.unwrap().id.parse().unwrap())
}

fn ranged(vmids: std::ops::RangeInclusive<u32>) -> Defaults {
    Defaults { vmids, ..Defaults::default() }
}

#[tokio::test]
async fn the_node_is_the_operators_or_one_that_has_all_that_is_wanted() {
    let rig = Rig::new(3, |world| {
        world.archives.get_mut(CONTAINER_GOLDEN).unwrap().node = Some("pve2".into());
        world.storages.get_mut("thin").unwrap().nodes = vec!["pve3".into()];
    });
    let on = |node: &str| json!({ "place": { "node": node } });
    assert_eq!(node(&rig, &plan(json!({}))).await.as_deref(), Ok("pve2"), "the archive lies there");
    assert_eq!(node(&rig, &plan(on("pve2"))).await.as_deref(), Ok("pve2"));
    assert!(
        node(&rig, &plan(on("pve3"))).await.unwrap_err().contains("does not exist"),
        "it does not lie there"
    );
    assert!(
        node(&rig, &plan(on("pve9")))
            .await
            .unwrap_err()
            .starts_with("no-such-node: node: the cluster has no `pve9`")
    );
    // A machine's archive lies on all of them, the wanted storage on one.
    let machine = json!({ "golden": MACHINE_GOLDEN, "kind": "vm", "place": { "storage": "thin" } });
    assert_eq!(node(&rig, &plan(machine)).await.as_deref(), Ok("pve3"));
    let neither = node(&rig, &plan(json!({ "place": { "storage": "thin" } }))).await.unwrap_err();
    assert!(neither.starts_with("no-node: ") && neither.contains("pve2: storage `thin`"), "{neither}");
}

#[tokio::test]
async fn a_burst_spreads_over_the_nodes_and_leaves_out_those_that_are_offline() {
    let rig = Rig::new(4, |world| world.nodes.get_mut("pve3").unwrap().online = false);
    let mut nodes = Vec::new();
    for _ in 0..6 {
        nodes.push(node(&rig, &plan(json!({ "golden": BACKUP_SERVER_GOLDEN }))).await.unwrap());
    }
    let times = |name: &str| nodes.iter().filter(|node| *node == name).count();
    assert_eq!([times("pve1"), times("pve2"), times("pve3"), times("pve4")], [2, 2, 0, 2]);
    let offline = node(&rig, &plan(json!({ "place": { "node": "pve3" } }))).await.unwrap_err();
    assert!(offline.starts_with("node-offline: "), "{offline}");
}

#[tokio::test]
async fn the_lowest_free_vmid_of_our_range_is_chosen() {
    let rig = Rig::with(1, TOKEN, ranged(200..=205), |world| {
        world.put_guest(200, Kind::Lxc, "pve1", &[("hostname", "a")]);
        world.put_guest(202, Kind::Qemu, "pve1", &[("name", "b")]);
    });
    assert_eq!(vmid(&rig, &[]).await, Ok(201));
    assert_eq!(vmid(&rig, &[201, 203]).await, Ok(204));
    // The list is remembered; what somebody made meanwhile is found all the same.
    rig.put(201, Kind::Lxc, "pve1", &[]);
    assert_eq!(vmid(&rig, &[]).await, Ok(203));
    assert_eq!(vmid(&rig, &[203, 204, 205]).await, Err("no-free-vmid".to_owned()));
    let own = |vmid: u32| plan(json!({ "place": { "vmid": vmid } }));
    assert_eq!(choose(&rig, &own(150)).await.unwrap().slot.unwrap().id, "150", "the operator's may be any");
    assert!(
        choose(&rig, &own(200)).await.unwrap_err().starts_with("vmid-taken: vmid: another guest has 200")
    );
    let reserved = Taken { ids: vec!["150".to_owned()], ..Taken::default() };
    assert_eq!(rig.backend.allocate(&own(150), &reserved).await.unwrap_err().code, "vmid-taken");
}

fn crowd(world: &mut World) {
    for id in 100..140 {
        world.put_guest(id, Kind::Lxc, "pve1", &[("hostname", "other")]);
    }
}

#[tokio::test]
async fn a_token_that_sees_no_guest_finds_a_free_vmid_in_a_crowd() {
    let rig = Rig::with(1, POOLED, Defaults::default(), crowd);
    assert_eq!(vmid(&rig, &[]).await, Ok(140));
    assert!(rig.asked(0, "/cluster/nextid") <= 10, "{}", rig.asked(0, "/cluster/nextid"));
    let mark = rig.mark();
    assert_eq!(vmid(&rig, &[140]).await, Ok(141));
    assert!(rig.asked(mark, "/cluster/nextid") <= 10, "{}", rig.asked(mark, "/cluster/nextid"));
    // In a range that begins among them.
    let rig = Rig::with(1, POOLED, ranged(120..=150), crowd);
    assert_eq!(vmid(&rig, &[]).await, Ok(140));
    let rig = Rig::with(1, POOLED, ranged(110..=119), crowd);
    assert_eq!(vmid(&rig, &[]).await, Err("no-free-vmid".to_owned()));
}

#[tokio::test]
async fn macs_have_the_clusters_prefix_and_are_nobody_elses() {
    let rig = Rig::new(1, |world| world.mac_prefix = "02:AB:CD".into());
    let nics = plan(json!({ "nics": [{}, { "address": "10.0.0.5/24" }, { "address": "dhcp" }] }));
    let mut macs = BTreeSet::new();
    for _ in 0..20 {
        let chosen = choose(&rig, &nics).await.unwrap();
        assert_eq!(chosen.more_macs.len(), 2);
        assert_eq!(chosen.addresses, ["10.0.0.5".parse::<std::net::IpAddr>().unwrap()]);
        macs.insert(chosen.mac);
        macs.extend(chosen.more_macs);
    }
    assert_eq!(macs.len(), 60);
    assert!(macs.iter().all(|mac| mac.to_string().starts_with("02:ab:cd:")), "{macs:?}");
    let taken = Taken { addresses: vec!["10.0.0.5".parse().unwrap()], ..Taken::default() };
    assert_eq!(rig.backend.allocate(&nics, &taken).await.unwrap_err().code, "address-taken");
    // The archive has one interface, and a token without Sys.Audit is not told the prefix.
    let rig = Rig::with(1, POOLED, Defaults::default(), |world| world.mac_prefix = "02:AB:CD".into());
    let chosen = choose(&rig, &plan(json!({}))).await.unwrap();
    assert!(chosen.mac.to_string().starts_with("bc:24:11:") && chosen.mac.to_string() != GOLDEN_MAC);
    assert!(chosen.more_macs.is_empty() && chosen.addresses.is_empty());
}

#[tokio::test]
async fn a_new_guest_gets_a_uuid_and_one_that_comes_back_keeps_what_it_has() {
    let rig = Rig::new(1, |_| {});
    let new = choose(&rig, &plan(json!({}))).await.unwrap();
    let uuid = new.slot.unwrap().uuid.unwrap();
    assert_eq!(uuid.split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
    assert_eq!(&uuid[14..15], "4");
    let back = plan(json!({ "intent": "restore", "name": "golden" }));
    let kept = choose(&rig, &back).await.unwrap();
    assert_eq!((kept.mac.to_string().as_str(), kept.slot.unwrap().uuid), (GOLDEN_MAC, None));
    let taken = Taken { macs: vec![GOLDEN_MAC.parse().unwrap()], ..Taken::default() };
    assert_eq!(rig.backend.allocate(&back, &taken).await.unwrap_err().code, "mac-taken");
}

#[tokio::test]
async fn since_is_the_nodes_time_or_well_before_ours() {
    let since = |allocation: Allocation| allocation.slot.unwrap().since_s;
    let rig = Rig::new(1, |_| {});
    let nodes = since(choose(&rig, &plan(json!({}))).await.unwrap());
    assert!((BEGAN - 2..BEGAN + 30).contains(&nodes), "{nodes}");
    let rig = Rig::with(1, POOLED, Defaults::default(), |_| {});
    let ours = since(choose(&rig, &plan(json!({}))).await.unwrap());
    let now = now_s();
    assert!((now - 330..=now - 299).contains(&ours), "{ours} at {now}");
}

#[tokio::test]
async fn a_second_choice_asks_for_little() {
    let rig = Rig::new(2, |_| {});
    choose(&rig, &plan(json!({}))).await.unwrap();
    let mark = rig.mark();
    choose(&rig, &plan(json!({}))).await.unwrap();
    // The other node's archive and clock may be new.
    assert!(
        rig.mark() - mark <= 3,
        "{:?}",
        rig.sim.requests()[mark..].iter().map(|one| &one.path).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn resources_are_what_is_known_beforehand() {
    let rig = Rig::new(1, |_| {});
    for (fields, expected) in [
        (json!({}), ["node:proxmox", "storage:local"]),
        (json!({ "place": { "node": "pve1", "storage": "thin" } }), ["node:pve1", "storage:thin"]),
        (json!({ "golden": BACKUP_SERVER_GOLDEN }), ["node:proxmox", "storage:pbs"]),
    ] {
        assert_eq!(rig.backend.resources(&plan(fields)), expected);
    }
    let defaults =
        Defaults { node: Some("pve1".into()), storage: Some("thin".into()), ..Defaults::default() };
    let rig = Rig::with(1, TOKEN, defaults, |_| {});
    assert_eq!(rig.backend.resources(&plan(json!({}))), ["node:pve1", "storage:thin"]);
    assert_eq!(rig.backend.resources(&plan(json!({ "golden": "x" }))), ["node:pve1", "storage:thin"]);
}

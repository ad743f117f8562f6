//! What a hosting operator found when they did all of this by hand, as far as the API shows it. What only a guest shows
//! (machine-id and host keys, Docker's storage driver, keyctl at work, the lease) is tried with real ones, end to end.

use std::collections::BTreeSet;
use std::time::Duration;

use firstlight::backend::proxmox::client::Client;
use firstlight::backend::proxmox::client::endpoint::config::{GuestConfig, ReadConfig};
use firstlight::backend::proxmox::client::endpoint::guest::{Guest, Kind};
use firstlight::backend::proxmox::client::endpoint::lxc::RestoreLxc;
use firstlight::backend::proxmox::client::properties::Properties;
use firstlight_tests::simpve::call::Method;
use firstlight_tests::simpve::example::CONTAINER_GOLDEN;
use firstlight_tests::simpve::faults::{Fault, Rule};
use firstlight_tests::simpve::guest::Kind as SimKind;
use firstlight_tests::wait::until_so;
use serde_json::json;
use tokio::time::Instant;

use crate::field::{Cluster, GUEST, MOUNT, spec};

const GOLDEN_MAC: &str = "BC:24:11:AA:BB:CC";
const LIMIT: Duration = Duration::from_secs(60);

/// A restore as they do it: nothing said but where.
async fn plain_restore(client: &Client, vmid: u32) -> GuestConfig {
    let restore = RestoreLxc {
        node: "pve1".to_owned(),
        vmid,
        archive: CONTAINER_GOLDEN.to_owned(),
        storage: Some("thin".to_owned()),
        ..RestoreLxc::default()
    };
    let task = client.send(&restore).await.unwrap();
    client.follow(&task, Instant::now() + LIMIT).await;
    config(client, vmid).await
}

async fn config(client: &Client, vmid: u32) -> GuestConfig {
    let guest = Guest { node: "pve1".to_owned(), kind: Kind::Lxc, vmid };
    client.send(&ReadConfig { guest, current: true }).await.unwrap()
}

fn mac(config: &GuestConfig) -> String {
    config.properties("net0").as_ref().and_then(Properties::mac).unwrap_or_default().to_owned()
}

/// A bring-up whose guest is `changed` by somebody once it is restored.
async fn bring_up(cluster: &Cluster, change: impl Fn(&mut firstlight_tests::simpve::guest::Guest)) -> u32 {
    let held = Fault::Delay(Duration::from_millis(500));
    cluster.sim.fault(Rule::once(Method::Get, "/nodes/*/tasks/*/status", held));
    let companion = cluster.companion().await;
    let before = cluster.guests();
    let job = companion.up(&spec(SimKind::Lxc)).await;
    let is_new = |id: &u32| !before.contains(id);
    until_so("the restore", LIMIT, async || {
        cluster.sim.with_world(|world| {
            let restored = world.guests.iter_mut().find(|(id, guest)| {
                is_new(id)
                    && **id != crate::field::NEIGHBOUR
                    && guest.get("hostname").is_some()
                    && guest.get("lock").is_none()
            });
            restored.map(|(_, guest)| change(guest)).is_some()
        })
    })
    .await;
    let ended = companion.ended(&job, LIMIT).await;
    assert_eq!(ended.state(), "done", "{ended:#?}\n{}", companion.log());
    cluster.guests().into_iter().find(is_new).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f1_the_mac_is_kept_by_a_restore_and_never_by_us() {
    let cluster = Cluster::start();
    let client = cluster.client();
    assert_eq!(mac(&plain_restore(&client, 110).await), GOLDEN_MAC, "so it is always a collision");
    assert_eq!(mac(&plain_restore(&client, 111).await), GOLDEN_MAC);
    // Whatever the restore made of ours: unconditionally.
    let id = bring_up(&cluster, |guest| {
        let net = guest.get("net0").unwrap().split(',').map(|pair| match pair.split_once('=') {
            Some(("hwaddr", _)) => format!("hwaddr={GOLDEN_MAC}"),
            _ => pair.to_owned(),
        });
        let net = net.collect::<Vec<_>>().join(",");
        guest.set("net0", net);
    })
    .await;
    let found = mac(&config(&client, id).await);
    assert!(found.starts_with("BC:24:11:") && found != GOLDEN_MAC, "{found}");
    let set = cluster.changes().into_iter().filter(|one| one.parameters.get("net0").is_some()).count();
    assert_eq!(set, 2, "in the restore, and once more because it was not so");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f2_the_hostname_is_the_goldens_until_we_set_it() {
    let cluster = Cluster::start();
    let client = cluster.client();
    assert_eq!(plain_restore(&client, 110).await.get("hostname"), Some("golden"));
    let id = bring_up(&cluster, |guest| guest.set("hostname", "golden")).await;
    assert_eq!(config(&client, id).await.get("hostname"), Some(GUEST));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f4_a_mount_right_after_a_resize_is_tried_again_until_the_lock_is_free() {
    let lock = "can't lock file '/run/lock/lxc/pve-config-101.lock' - got timeout";
    let cluster = Cluster::start();
    let resize = Rule::once(Method::Put, "/nodes/*/lxc/*/resize", Fault::Fails(lock.to_owned()));
    let mount = Rule::once(Method::Put, "/nodes/*/lxc/*/config", Fault::Fails(lock.to_owned()));
    cluster.sim.fault(resize);
    cluster.sim.fault(Rule { times: 2, ..mount });
    // As a restore leaves it that was told of neither.
    let id = bring_up(&cluster, |guest| {
        let root = guest.get("rootfs").unwrap().replace("size=10G", "size=4G");
        guest.set("rootfs", root);
        guest.config.remove("mp0");
    })
    .await;
    let found = config(&cluster.client(), id).await;
    assert_eq!(found.properties("rootfs").unwrap().get("size"), Some("10G"));
    assert_eq!(found.properties("mp0").unwrap().get("mp"), Some(MOUNT));
    let changes = cluster.changes();
    let place = |path: &str, key: &str, refused: bool| {
        let fits = |one: &&firstlight_tests::simpve::wire::Logged| {
            one.path.ends_with(path)
                && one.parameters.get(key).is_some()
                && (one.status == Some(500)) == refused
        };
        let found = changes.iter().position(|one| fits(&one));
        found.unwrap_or_else(|| panic!("no {path} with {key}: {changes:#?}"))
    };
    // Refused, resized, refused, mounted; each guest's work one after the other.
    let order = [
        place("/resize", "disk", true),
        place("/resize", "disk", false),
        place("/config", "mp0", true),
        place("/config", "mp0", false),
    ];
    assert!(order.is_sorted(), "{order:?}");
    let volumes = cluster.sim.inventory()["volumes"].as_array().unwrap().clone();
    assert_eq!(volumes.len(), 3, "the mount that somebody took out, and one for one mount: {volumes:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f5_keyctl_nesting_and_unprivileged_come_through_a_restore_by_token_and_their_loss_is_seen() {
    let cluster = Cluster::start();
    let id = bring_up(&cluster, |_| {}).await;
    let found = config(&cluster.client(), id).await;
    let features = found.properties("features").unwrap();
    assert_eq!((features.get("keyctl"), features.get("nesting")), (Some("1"), Some("1")));
    assert!(found.flag("unprivileged"));

    // No token can give them back: the guest is none that was wanted.
    let cluster = Cluster::start();
    let held = Fault::Delay(Duration::from_millis(500));
    cluster.sim.fault(Rule::once(Method::Get, "/nodes/*/tasks/*/status", held));
    let companion = cluster.companion().await;
    let job = companion.up(&spec(SimKind::Lxc)).await;
    until_so("the restore", LIMIT, async || {
        let ids = cluster.guests();
        cluster.sim.with_world(|world| {
            let guest = ids.first().and_then(|id| world.guests.get_mut(id));
            let guest = guest.filter(|guest| guest.get("features").is_some() && guest.get("lock").is_none());
            guest.map(|guest| guest.set("features", "nesting=1")).is_some()
        })
    })
    .await;
    let ended = companion.ended(&job, LIMIT).await;
    assert_eq!(ended.state(), "rolled-back", "{ended:#?}\n{}", companion.log());
    assert!(ended.0.to_string().contains("keyctl"), "{ended:#?}");
    assert!(cluster.is_as_before());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f7_every_guest_has_a_fresh_mac_the_one_that_came_again_too() {
    let cluster = Cluster::start();
    let companion = cluster.companion().await;
    let mut macs = BTreeSet::from([GOLDEN_MAC.to_owned()]);
    for name in ["web-01", "web-02", "web-03", "web-01"] {
        if name == "web-01" && macs.len() > 1 {
            let (status, answer) = companion.post("/v1/destroy", &json!({ "guests": [name] })).await;
            assert!(status.is_success(), "{status} {answer}");
            until_so("the guest to be gone", LIMIT, async || cluster.guests().len() == 2).await;
        }
        let mut wanted = spec(SimKind::Lxc);
        wanted["plan"]["name"] = json!(name);
        let job = companion.up(&wanted).await;
        let ended = companion.ended(&job, LIMIT).await;
        assert_eq!(ended.state(), "done", "{ended:#?}\n{}", companion.log());
        let restore = cluster.changes().into_iter().rfind(|one| one.path.ends_with("/lxc")).unwrap();
        let net: Properties = restore.parameters.get("net0").unwrap().parse().unwrap();
        assert!(macs.insert(net.mac().unwrap().to_owned()), "{macs:?} has {net}");
    }
}

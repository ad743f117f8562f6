//! A simulated cluster, the backend on it, and plans.

use std::time::Duration;

use firstlight::backend::link::Reports;
use firstlight::backend::proxmox::client::call::Limits;
use firstlight::backend::proxmox::client::endpoint::guest::{Guest, Kind, Start};
use firstlight::backend::proxmox::client::link::{Address, ApiToken, Pin};
use firstlight::backend::proxmox::client::verdict::Patience;
use firstlight::backend::proxmox::client::{Client, Settings};
use firstlight::backend::proxmox::{Defaults, Proxmox, ProxmoxConfig};
use firstlight::backend::{Allocation, GuestPlan, Placement, Slot};
use firstlight_shared::secret::Secret;
use firstlight_tests::simpve::example::{CONTAINER_GOLDEN, SECRET, TOKEN, cluster};
use firstlight_tests::simpve::guest::Kind as SimKind;
use firstlight_tests::simpve::profile::Profile;
use firstlight_tests::simpve::wire::{Pace, SimPve};
use firstlight_tests::simpve::world::World;
use serde_json::{Value, json};

/// Of the simulated clock, at its start.
pub(crate) const BEGAN: u64 = 1_795_260_000;
/// A token with rights on one pool, two storages and the archive's guest: it sees no guest of others.
pub(crate) const POOLED: &str = "pooled@pve!host";

pub(crate) struct Rig {
    pub(crate) sim: SimPve,
    pub(crate) backend: Proxmox,
    client: Client,
}

impl Rig {
    pub(crate) fn new(nodes: u8, prepare: impl FnOnce(&mut World)) -> Self {
        Self::with(nodes, TOKEN, Defaults::default(), prepare)
    }

    pub(crate) fn with(nodes: u8, token: &str, defaults: Defaults, prepare: impl FnOnce(&mut World)) -> Self {
        let mut world = cluster(nodes, Profile::instant(), 7, BEGAN);
        pool(&mut world);
        prepare(&mut world);
        let sim = SimPve::on_loopback(world, Pace::Auto).unwrap();
        let address = sim.addresses()["pve1"];
        let settings = Settings {
            addresses: vec![Address { host: address.ip().to_string(), port: address.port() }],
            pin: Pin::authority(sim.authority().as_bytes()).unwrap(),
            token: ApiToken::parse(&Secret::new(format!("{token}={SECRET}").into_bytes())).unwrap(),
            limits: Limits::default(),
            patience: Patience { connection: Duration::from_millis(50), lock: Duration::from_millis(50) },
        };
        let client = Client::new(settings.clone()).unwrap();
        let reports = Reports { url: None, port: 7443 };
        let backend = Proxmox::new(ProxmoxConfig { client: settings, defaults, reports }).unwrap();
        Self { sim, backend, client }
    }

    /// Requests whose path ends so, since `from`.
    pub(crate) fn asked(&self, from: usize, end: &str) -> usize {
        self.sim.requests()[from..].iter().filter(|request| request.path.ends_with(end)).count()
    }

    pub(crate) fn mark(&self) -> usize {
        self.sim.requests().len()
    }

    pub(crate) fn put(&self, id: u32, kind: SimKind, node: &str, config: &[(&str, &str)]) {
        self.sim.with_world(|world| world.put_guest(id, kind, node, config));
    }

    pub(crate) fn set(&self, id: u32, key: &str, value: &str) {
        self.sim.with_world(|world| world.guests.get_mut(&id).unwrap().set(key, value));
    }

    /// Starts a guest as everybody can.
    pub(crate) async fn start(&self, node: &str, kind: Kind, vmid: u32) {
        let guest = Guest { node: node.to_owned(), kind, vmid };
        let upid = self.client.send(&Start { guest }).await.unwrap();
        let exit = self.sim.finish_task(upid.as_str()).unwrap();
        // Without nesting Proxmox warns of systemd.
        assert!(exit == "OK" || exit.starts_with("WARNINGS: "), "{exit}");
    }
}

fn pool(world: &mut World) {
    world.access.token(POOLED, SECRET);
    world.access.role(
        "PoolUser",
        &["VM.Allocate", "VM.Audit", "VM.Backup", "VM.Config.Options", "VM.PowerMgmt", "Pool.Audit"],
    );
    world.access.role("Store", &["Datastore.AllocateSpace", "Datastore.Audit"]);
    world.access.role("Net", &["SDN.Use"]);
    world.access.role("Backup", &["VM.Backup"]);
    world.access.grant_both("/pool/lab", POOLED, "PoolUser");
    world.access.grant_both("/storage", POOLED, "Store");
    world.access.grant_both("/sdn/zones/localnetwork", POOLED, "Net");
    world.access.grant_both("/vms/9100", POOLED, "Backup");
    world.pools.entry("lab".into()).or_default();
}

/// A container of the example's golden, with these fields instead.
pub(crate) fn plan(fields: Value) -> GuestPlan {
    let mut plan = json!({ "name": "web-01", "golden": CONTAINER_GOLDEN });
    for (key, value) in fields.as_object().unwrap() {
        plan[key] = value.clone();
    }
    serde_json::from_value(plan).unwrap()
}

pub(crate) fn placement(vmid: u32, node: &str, job: &str, plan: GuestPlan) -> Placement {
    let slot = Slot { id: vmid.to_string(), node: node.to_owned(), uuid: None, since_s: BEGAN };
    Placement::new(
        job,
        plan,
        Allocation {
            mac: "bc:24:11:00:00:01".parse().unwrap(),
            more_macs: Vec::new(),
            addresses: Vec::new(),
            slot: Some(slot),
        },
        serde_json::from_value(json!({ "version": 1, "id": "0b6c4d1e9f0b6c4d" })).unwrap(),
    )
}

pub(crate) fn stamp(job: &str) -> String {
    format!("web, made by Firstlight.\n\nfirstlight-job: {job}\n")
}

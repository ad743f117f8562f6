//! A cluster, the companion as a program of its own, and guests that report: what a whole bring-up needs.

#[path = "../../hypervisor/call.rs"]
#[allow(dead_code, reason = "why there is no answer is shown by others")]
mod call;
#[allow(dead_code, reason = "each program uses its part")]
mod companion;
mod guests;
mod place;
#[path = "../../hypervisor/post.rs"]
pub(crate) mod post;
#[path = "../../hypervisor/report.rs"]
pub(crate) mod report;

use std::path::Path;
use std::sync::Arc;

use firstlight::backend::proxmox::client::call::Limits;
use firstlight::backend::proxmox::client::endpoint::guest as client_guest;
use firstlight::backend::proxmox::client::link::{ApiToken, NODES, Pin};
use firstlight::backend::proxmox::client::verdict::Patience;
use firstlight::backend::proxmox::client::{Client, Settings};
use firstlight::clock::now_s;
use firstlight_shared::secret::Secret;
use firstlight_tests::simpve::example::{self, CONTAINER_GOLDEN, MACHINE_GOLDEN, SECRET, TOKEN};
use firstlight_tests::simpve::guest::Kind;
use firstlight_tests::simpve::profile::Profile;
use firstlight_tests::simpve::wire::{Logged, Pace, SimPve};
use serde_json::{Value, json};

pub(crate) use companion::{Companion, Job};
pub(crate) use guests::SILENT;
#[cfg(feature = "e2e")]
pub(crate) use guests::send;
use guests::{Home, Reporting};
pub(crate) use place::Place;

/// Of somebody else; nothing may ever happen to it.
pub(crate) const NEIGHBOUR: u32 = 100;
pub(crate) const GUEST: &str = "web-01";
pub(crate) const MOUNT: &str = "/mnt/spike-test";

impl Place {
    /// `proxmox`: lines of `[proxmox]`, without the token, whose content comes here.
    pub(crate) fn new(proxmox: &str, token: &str, level: &str) -> Self {
        let place = Self::with(&format!("[proxmox]\ntoken = \"TOKEN\"\n{proxmox}"), level);
        place.write("token", &format!("{token}\n"));
        place.insert("TOKEN", &place.path("token"));
        place
    }

    /// Of a companion of this cluster.
    pub(crate) fn at(sim: &SimPve, level: &str) -> Self {
        let proxmox =
            format!("addresses = [\"{}\"]\nca = \"CA\"\nstorage = \"thin\"", sim.addresses()["pve1"]);
        let place = Self::new(&proxmox, &format!("{TOKEN}={SECRET}"), level);
        place.insert("CA", &place.path("ca.pem"));
        place.write("ca.pem", sim.authority());
        place
    }

    /// A path in its configuration that is known only now.
    fn insert(&self, name: &str, path: &Path) {
        let text = std::fs::read_to_string(self.path("firstlight.toml")).unwrap();
        self.write("firstlight.toml", &text.replace(&format!("\"{name}\""), &format!("{path:?}")));
    }
}

/// One node with a golden of each kind and a guest of somebody else.
pub(crate) struct Cluster {
    pub(crate) place: Place,
    pub(crate) sim: SimPve,
    /// Its inventory before anything was asked for.
    before: Value,
    home: Home,
}

impl Cluster {
    pub(crate) fn start() -> Self {
        Self::with(Profile::instant(), "warn,firstlight=debug")
    }

    /// In a runtime: its guests live there.
    pub(crate) fn with(profile: Profile, level: &str) -> Self {
        Self::of(1, profile, level)
    }

    /// With so many nodes.
    pub(crate) fn of(nodes: u8, profile: Profile, level: &str) -> Self {
        let mut world = example::cluster(nodes, profile.clone(), rand::random(), now_s());
        world.put_guest(NEIGHBOUR, Kind::Lxc, "pve1", &[("hostname", "neighbour"), ("memory", "512")]);
        let home = Home::default();
        world.machines = Box::new(Reporting::of(&profile, Arc::clone(&home)));
        let sim = SimPve::on_loopback(world, Pace::Auto).unwrap();
        let place = Place::at(&sim, level);
        let before = sim.inventory();
        Self { place, sim, before, home }
    }

    pub(crate) async fn companion(&self) -> Companion {
        Companion::start(&self.place).await
    }

    /// Somebody makes a container, of a golden that knows where to report, and starts it.
    pub(crate) async fn somebody_makes(&self, vmid: u32, name: &str) {
        let _ = self.home.set(self.place.reports);
        let [.., high, low] = vmid.to_be_bytes();
        let net = format!("name=eth0,bridge=vmbr0,hwaddr=BC:24:11:77:{high:02X}:{low:02X},ip=dhcp");
        let config = [("hostname", name), ("memory", "512"), ("net0", &*net), ("features", "nesting=1")];
        self.sim.with_world(|world| world.put_guest(vmid, Kind::Lxc, "pve1", &config));
        let guest = client_guest::Guest { node: "pve1".to_owned(), kind: client_guest::Kind::Lxc, vmid };
        let upid = self.client().send(&client_guest::Start { guest }).await.unwrap();
        self.sim.finish_task(upid.as_str()).unwrap();
    }

    /// The client alone, with the companion's own token.
    pub(crate) fn client(&self) -> Client {
        let token = Secret::new(format!("{TOKEN}={SECRET}").into_bytes());
        let settings = Settings {
            addresses: vec![NODES.read(&self.sim.addresses()["pve1"].to_string()).unwrap()],
            pin: Pin::authority(self.sim.authority().as_bytes()).unwrap(),
            token: ApiToken::parse(&token).unwrap(),
            limits: Limits::default(),
            patience: Patience::default(),
        };
        Client::new(settings).unwrap()
    }

    /// VMIDs of all guests but the neighbour.
    pub(crate) fn guests(&self) -> Vec<u32> {
        self.sim.with_world(|world| world.guests.keys().copied().filter(|id| *id != NEIGHBOUR).collect())
    }

    pub(crate) fn is_as_before(&self) -> bool {
        self.sim.settle();
        self.sim.inventory() == self.before
    }

    /// The requests that changed something, in their order.
    pub(crate) fn changes(&self) -> Vec<Logged> {
        use firstlight_tests::simpve::call::Method;
        self.sim.requests().into_iter().filter(|one| one.method != Method::Get).collect()
    }
}

/// A guest with everything that a customer gets.
pub(crate) fn spec(kind: Kind) -> Value {
    let (golden, kind, disk) = match kind {
        Kind::Lxc => (CONTAINER_GOLDEN, "lxc", 10_u64 << 30),
        Kind::Qemu => (MACHINE_GOLDEN, "vm", 4 << 30),
    };
    let mounts = json!([{ "path": MOUNT, "size_bytes": 1_u64 << 30, "backup": false }]);
    json!({
        "backend": "proxmox",
        "plan": {
            "name": GUEST, "golden": golden, "kind": kind,
            "mounts": mounts,
            "size": { "disk_bytes": disk, "cores": 2, "memory_bytes": 1_u64 << 30 },
            "tags": ["customer"],
        },
        "keep_on_failure": false,
        "timeout_ms": 20_000,
        "deadline_ms": 40_000,
        "require": [],
    })
}

//! A cluster, a backend that talks to it, and the engine's rules for one stage.

use std::collections::BTreeMap;
use std::time::Duration;

use firstlight::backend::link::Reports;
use firstlight::backend::proxmox::client::Settings;
use firstlight::backend::proxmox::client::call::Limits;
use firstlight::backend::proxmox::client::link::{Address, ApiToken, Pin};
use firstlight::backend::proxmox::client::verdict::Patience;
use firstlight::backend::proxmox::{Defaults, Proxmox, ProxmoxConfig};
use firstlight::backend::{Allocation, Backend as _, GuestPlan, Placement, Slot, Stage};
use firstlight::outcome::{Act, Fault, Followed, Probe, Undo};
use firstlight_shared::secret::Secret;
use firstlight_tests::simpve::call::Method;
use firstlight_tests::simpve::example::{self, CONTAINER_GOLDEN, SECRET, TOKEN};
use firstlight_tests::simpve::profile::{Locks, Profile};
use firstlight_tests::simpve::wire::{Logged, Pace, SimPve};
use firstlight_tests::simpve::world::World;
use serde_json::{Value, json};

pub(super) const JOB: &str = "01jlxc";
pub(super) const MAC: &str = "BC:24:11:00:00:44";
pub(super) const UUID: &str = "11111111-2222-4333-8444-555566667777";
pub(super) const VMID: u32 = 101;
const BEGAN: u64 = 1_795_259_766;

pub(super) const STAGES: [(&str, Stage); 6] = [
    ("restore", Stage::Restore),
    ("mac", Stage::Mac),
    ("hostname", Stage::Hostname),
    ("size", Stage::Size),
    ("mounts", Stage::Mounts),
    ("start", Stage::Start),
];

pub(super) struct Rig {
    pub(super) sim: SimPve,
    pub(super) backend: Proxmox,
    pub(super) guest: Placement,
}

pub(super) fn plan(more: Value) -> GuestPlan {
    let mut plan = json!({ "name": "web-01", "golden": CONTAINER_GOLDEN, "kind": "lxc" });
    plan.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serde_json::from_value(plan).unwrap()
}

/// A disk of 10 GiB, a mount that is backed up and one that is not.
pub(super) fn large() -> Value {
    json!({
        "size": { "cores": 2, "memory_bytes": 1_u64 << 30, "disk_bytes": 10_u64 << 30 },
        "mounts": [
            { "path": "/srv", "size_bytes": 1_u64 << 30 },
            { "path": "/bulk", "size_bytes": 512_u64 << 20, "storage": "thin", "backup": false },
        ],
        "tags": ["Web"],
    })
}

impl Rig {
    pub(super) fn new(more: Value) -> Self {
        Self::with(more, |_| {})
    }

    pub(super) fn with(more: Value, change: impl FnOnce(&mut World)) -> Self {
        let mut profile = Profile::measured().scaled(0.02);
        // As long as the client waits for an answer.
        profile.locks = Locks { guest: Duration::from_millis(400), ..profile.locks };
        let mut world = example::cluster(2, profile, 1, BEGAN);
        change(&mut world);
        let sim = SimPve::on_loopback(world, Pace::Auto).unwrap();
        let (backend, guest) = (backend(&sim, TOKEN), placement(plan(more)));
        Self { sim, backend, guest }
    }

    /// Through the stage as the engine goes: probe, act where nothing is there, journal a task before it is followed,
    /// and look again as long as nobody knows.
    pub(super) async fn stage(&mut self, name: &str) -> Result<Value, Fault> {
        let stage = STAGES.iter().find(|(known, _)| *known == name).unwrap().1;
        let ended = self.settle(name, stage).await;
        self.guest.tasks.remove(name);
        ended
    }

    async fn settle(&mut self, name: &str, stage: Stage) -> Result<Value, Fault> {
        let mut doubts = Vec::new();
        for _ in 0..40 {
            let task = match self.guest.tasks.get(name).filter(|_| doubts.is_empty()) {
                Some(task) => Some(task.clone()),
                None => match self.backend.probe(stage, &self.guest).await {
                    Ok(Probe::Present(output)) => return Ok(output),
                    Ok(Probe::InFlight(task)) => Some(task),
                    Ok(Probe::Foreign(what)) => return Err(Fault::new("foreign", what)),
                    Ok(Probe::Absent) => match self.backend.act(stage, &self.guest).await {
                        Act::Applied(output) => return Ok(output),
                        Act::Started(task) => Some(task),
                        Act::Refused(fault) => return Err(fault),
                        Act::Unknown(fault) => {
                            doubts.push(fault);
                            None
                        }
                    },
                    Err(fault) => {
                        doubts.push(fault);
                        None
                    }
                },
            };
            if let Some(task) = task {
                self.guest.tasks.insert(name.to_owned(), task.clone());
                match self.backend.follow(stage, &self.guest, &task).await {
                    Followed::Done(output) => return Ok(output),
                    Followed::Failed(fault) => return Err(fault),
                    Followed::Unknown(fault) => doubts.push(fault),
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{name} does not settle: {doubts:#?}");
    }

    pub(super) async fn up(&mut self) -> BTreeMap<&'static str, Value> {
        let mut outputs = BTreeMap::new();
        for (name, _) in STAGES {
            let output = self.stage(name).await.unwrap_or_else(|fault| panic!("{name}: {fault:?}"));
            outputs.insert(name, output);
        }
        outputs
    }

    /// Backward, as the engine goes; how often a stage could not be undone at once.
    pub(super) async fn down(&self) -> Result<usize, Fault> {
        let mut failures = 0;
        for (_, stage) in STAGES.iter().rev() {
            let mut last = None;
            for attempt in 0.. {
                match self.backend.undo(*stage, &self.guest).await {
                    Undo::Absent => break,
                    Undo::Started(task) => self.backend.follow_undo(*stage, &self.guest, &task).await,
                    Undo::Failed(fault) => {
                        failures += 1;
                        last = Some(fault);
                    }
                }
                if attempt == 4 {
                    return Err(last.unwrap_or_else(|| Fault::new("endless", "its tasks do not remove it")));
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        Ok(failures)
    }

    pub(super) fn config(&self) -> BTreeMap<String, String> {
        self.sim
            .with_world(|world| world.guests.get(&VMID).map(|guest| guest.config.clone()).unwrap_or_default())
    }

    pub(super) fn value(&self, key: &str) -> String {
        self.config().get(key).cloned().unwrap_or_default()
    }

    pub(super) fn edit(&self, key: &str, value: Option<&str>) {
        // What the backend has seen of a guest counts for a moment.
        std::thread::sleep(std::time::Duration::from_millis(600));
        self.sim.with_world(|world| {
            let config = &mut world.guests.get_mut(&VMID).unwrap().config;
            match value {
                Some(value) => config.insert(key.to_owned(), value.to_owned()),
                None => config.remove(key),
            }
        });
    }

    /// Requests that change something, as `POST /nodes/pve1/lxc`.
    pub(super) fn changes(&self) -> Vec<String> {
        let changes = self.sim.requests().into_iter().filter(|one| one.method != Method::Get);
        changes.map(|one| format!("{} {}", one.method.as_str(), one.path)).collect()
    }

    pub(super) fn posts(&self) -> Vec<Logged> {
        let all = self.sim.requests().into_iter();
        all.filter(|one| one.method == Method::Post && one.path == "/nodes/pve1/lxc").collect()
    }
}

pub(super) fn backend(sim: &SimPve, token: &str) -> Proxmox {
    let addresses = sim.addresses().values();
    let addresses = addresses.map(|one| Address { host: one.ip().to_string(), port: one.port() }).collect();
    let seconds = Duration::from_secs;
    let limits = Limits {
        connect: seconds(5),
        read: seconds(5),
        change: seconds(5),
        agent: seconds(5),
        answer: 1 << 20,
        at_once: 2,
    };
    let client = Settings {
        addresses,
        pin: Pin::authority(sim.authority().as_bytes()).unwrap(),
        token: ApiToken::parse(&Secret::new(format!("{token}={SECRET}").into_bytes())).unwrap(),
        limits,
        patience: Patience { connection: seconds(2), lock: seconds(10) },
    };
    let reports = Reports { url: Some("https://10.0.0.1:8443".to_owned()), port: 8443 };
    let defaults = Defaults { vmids: 100..=199, ..Defaults::default() };
    Proxmox::new(ProxmoxConfig { client, defaults, reports }).unwrap()
}

pub(super) fn placement(plan: GuestPlan) -> Placement {
    let uuid = (plan.intent == firstlight_shared::wire::Intent::Provision).then(|| UUID.to_owned());
    let slot = Slot { id: VMID.to_string(), node: "pve1".to_owned(), uuid, since_s: BEGAN };
    let allocation = Allocation {
        mac: MAC.parse().unwrap(),
        more_macs: vec!["BC:24:11:00:00:45".parse().unwrap()],
        addresses: Vec::new(),
        slot: Some(slot),
    };
    let claim = json!({ "version": 1, "id": "0b6c4d1e9f", "url": "https://10.0.0.1:8443" });
    let claim = serde_json::from_value(claim).unwrap();
    Placement::new(JOB, plan, allocation, claim)
}

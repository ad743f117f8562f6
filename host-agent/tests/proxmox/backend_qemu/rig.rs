//! A simulated cluster, the backend on it, and the engine's contract in small: probe, act, follow, and probe again.

use std::time::Duration;

use firstlight::backend::link::Reports;
use firstlight::backend::proxmox::client::Settings;
use firstlight::backend::proxmox::client::call::Limits;
use firstlight::backend::proxmox::client::link::{Address, ApiToken, Pin};
use firstlight::backend::proxmox::client::verdict::Patience;
use firstlight::backend::proxmox::{Defaults, Proxmox, ProxmoxConfig};
use firstlight::backend::{Allocation, Backend as _, Placement, Slot, Stage};
use firstlight::outcome::{Act, Fault, Followed, Probe, Undo};
use firstlight_shared::secret::Secret;
use firstlight_tests::simpve::call::Method;
use firstlight_tests::simpve::example::{MACHINE_GOLDEN, SECRET, TOKEN, cluster};
use firstlight_tests::simpve::profile::Profile;
use firstlight_tests::simpve::wire::{Pace, SimPve};
use firstlight_tests::simpve::world::World;
use serde_json::{Value, json};

/// Of the simulated clock, at its start.
const BEGAN: u64 = 1_795_260_000;
pub(crate) const VMID: u32 = 104;
pub(crate) const UUID: &str = "11111111-2222-4333-8444-555555555555";
pub(crate) const MAC: &str = "BC:24:11:00:00:01";
pub(crate) const STAGES: [Stage; 6] =
    [Stage::Restore, Stage::Mac, Stage::Hostname, Stage::Size, Stage::Mounts, Stage::Start];
/// Attempts at one stage, or at its undoing.
const ATTEMPTS: u32 = 60;

pub(crate) struct Rig {
    pub(crate) sim: SimPve,
    pub(crate) backend: Proxmox,
    pub(crate) guest: Placement,
}

/// A fiftieth of the measured times.
pub(crate) fn quick() -> Profile {
    Profile::measured().scaled(0.02)
}

impl Rig {
    /// With these fields in the plan, and the world as `prepare` leaves it.
    pub(crate) fn new(plan: Value, prepare: impl FnOnce(&mut World)) -> Self {
        Self::with(quick(), plan, prepare)
    }

    pub(crate) fn with(profile: Profile, plan: Value, prepare: impl FnOnce(&mut World)) -> Self {
        let mut world = cluster(1, profile, 7, BEGAN);
        prepare(&mut world);
        let sim = SimPve::on_loopback(world, Pace::Auto).unwrap();
        let address = sim.addresses()["pve1"];
        let pin = Pin::authority(sim.authority().as_bytes()).unwrap();
        let backend = backend(Address { host: address.ip().to_string(), port: address.port() }, pin);
        Self { sim, backend, guest: placement(plan) }
    }

    /// What the engine does with one stage, but for its journal, which is `tasks`.
    pub(crate) async fn settle(&mut self, stage: Stage) -> Result<Value, Fault> {
        let mut last = None;
        for attempt in 0..ATTEMPTS {
            let task = match self.backend.probe(stage, &self.guest).await {
                Ok(Probe::Present(output)) => return Ok(output),
                Ok(Probe::Foreign(what)) => return Err(Fault::new("foreign", what)),
                Ok(Probe::InFlight(task)) => task,
                Ok(Probe::Absent) => match self.backend.act(stage, &self.guest).await {
                    Act::Applied(output) => return Ok(output),
                    Act::Refused(fault) => return Err(fault),
                    Act::Started(task) => task,
                    Act::Unknown(fault) => {
                        last = Some(fault);
                        pause(attempt).await;
                        continue;
                    }
                },
                Err(fault) => {
                    last = Some(fault);
                    pause(attempt).await;
                    continue;
                }
            };
            self.guest.tasks.insert(step(stage).to_owned(), task.clone());
            match self.backend.follow(stage, &self.guest, &task).await {
                Followed::Done(output) => return Ok(output),
                Followed::Failed(fault) => return Err(fault),
                Followed::Unknown(fault) => last = Some(fault),
            }
            pause(attempt).await;
        }
        panic!("{stage:?} does not settle: {last:?}")
    }

    /// All stages; the outputs.
    pub(crate) async fn bring_up(&mut self) -> Result<Vec<Value>, Fault> {
        let mut outputs = Vec::new();
        for stage in STAGES {
            outputs.push(self.settle(stage).await?);
        }
        Ok(outputs)
    }

    /// From the last stage to the first, as often as it takes.
    pub(crate) async fn undo(&self) {
        for stage in STAGES.into_iter().rev() {
            let mut last = None;
            let mut absent = false;
            for attempt in 0..ATTEMPTS {
                match self.backend.undo(stage, &self.guest).await {
                    Undo::Absent => absent = true,
                    Undo::Started(task) => self.backend.follow_undo(stage, &self.guest, &task).await,
                    Undo::Failed(fault) => {
                        last = Some(fault);
                        pause(attempt).await;
                    }
                }
                if absent {
                    break;
                }
            }
            assert!(absent, "{stage:?} is not undone: {last:?}");
        }
    }

    pub(crate) fn config(&self, key: &str) -> Option<String> {
        self.sim.with_world(|world| world.guests.get(&VMID)?.config.get(key).cloned())
    }

    /// A file inside the running machine.
    pub(crate) fn file(&self, path: &str) -> Option<String> {
        let bytes = self.sim.with_world(|world| world.machines.read_file(VMID, path))?;
        Some(String::from_utf8(bytes).unwrap().trim_end().to_owned())
    }

    /// How many requests of this method ended so, whatever became of them.
    pub(crate) fn sent(&self, method: Method, end: &str) -> usize {
        let requests = self.sim.requests();
        requests.iter().filter(|request| request.method == method && request.path.ends_with(end)).count()
    }
}

async fn pause(attempt: u32) {
    tokio::time::sleep(Duration::from_millis(u64::from(20 * (attempt + 1).min(10)))).await;
}

pub(crate) fn backend(address: Address, pin: Pin) -> Proxmox {
    let token = ApiToken::parse(&Secret::new(format!("{TOKEN}={SECRET}").into_bytes())).unwrap();
    let patience = Patience { connection: Duration::from_millis(300), lock: Duration::from_secs(3) };
    let client = Settings { addresses: vec![address], pin, token, limits: Limits::default(), patience };
    let reports = Reports { url: None, port: 7443 };
    Proxmox::new(ProxmoxConfig { client, defaults: Defaults::default(), reports }).unwrap()
}

pub(crate) fn placement(fields: Value) -> Placement {
    let mut plan = json!({ "name": "web-01", "kind": "vm", "golden": MACHINE_GOLDEN });
    plan.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let slot = Slot {
        id: VMID.to_string(),
        node: "pve1".to_owned(),
        uuid: (plan["intent"] != "restore").then(|| UUID.to_owned()),
        since_s: BEGAN,
    };
    let allocation = Allocation {
        mac: MAC.parse().unwrap(),
        more_macs: vec!["BC:24:11:00:00:02".parse().unwrap()],
        addresses: Vec::new(),
        slot: Some(slot),
    };
    let claim = json!({
        "version": 1, "id": "0b6c4d1e9f0b6c4d", "intent": "provision", "hostname": "web-01",
        "url": "https://10.78.0.254:7443", "pin": "sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
    });
    Placement::new(
        "0123abcd",
        serde_json::from_value(plan).unwrap(),
        allocation,
        serde_json::from_value(claim).unwrap(),
    )
}

fn step(stage: Stage) -> &'static str {
    match stage {
        Stage::Restore => "restore",
        Stage::Mac => "mac",
        Stage::Hostname => "hostname",
        Stage::Size => "size",
        Stage::Mounts => "mounts",
        Stage::Start => "start",
    }
}

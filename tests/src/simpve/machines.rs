//! Real machines for the simulated cluster: each is one of QEMU's, emulated, booted from the disk of the golden `machine` with
//! the UUID, the serial and the MAC of its configuration. What the API shows of its inside is what its QEMU guest agent told.
//!
//! Each has a network of its own behind QEMU's NAT, where this machine is [`GATEWAY`]. Not as in Proxmox VE: every archive is
//! that golden, memory and disks are the rig's own, and a machine that powers itself off still counts as running.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use super::call::Moment;
use super::guest::Kind;
use super::guests::{Boot, Finished, Guests, Interface, Scripted};
use super::profile::Profile;
use crate::guest::machine::{Agent, Card, Disk, Hardware};
use crate::run;

/// This machine, as every machine sees it.
pub const GATEWAY: &str = "10.0.2.2";
/// Files that may be read in a machine.
const FILES: [&str; 2] = ["/run/firstlight/report.json", "/run/firstlight/delivery.json"];
/// Between two questions to an agent: the answers cost an emulated processor much.
const PAUSE: Duration = Duration::from_secs(1);

/// For [`super::world::World::machines`]. Containers are scripted. Dropping it ends the machines.
#[derive(Debug)]
pub struct RealMachines {
    goldens: PathBuf,
    seats: BTreeMap<u32, Seat>,
    others: Scripted,
    problems: Problems,
    strangers: Credentials,
}

/// Names and texts that the next start of every machine without a claim finds: where to report, as a golden's own
/// configuration says it.
pub type Credentials = Arc<Mutex<Vec<(String, String)>>>;

/// What could not be done for machines, and their last words.
#[derive(Debug, Clone, Default)]
pub struct Problems(Arc<Mutex<Vec<String>>>);

impl Problems {
    fn note(&self, what: &str) {
        locked(&self.0).push(what.to_owned());
    }

    pub fn told(&self) -> String {
        locked(&self.0).join("\n---\n")
    }
}

#[derive(Debug)]
struct Seat {
    disk: Arc<Mutex<Disk>>,
    shown: Arc<Mutex<Shown>>,
    life: Option<(Arc<AtomicBool>, JoinHandle<()>)>,
}

/// What the agent told last.
#[derive(Debug, Default)]
struct Shown {
    answers: bool,
    interfaces: Vec<Interface>,
    files: BTreeMap<&'static str, Vec<u8>>,
}

impl RealMachines {
    pub fn new(goldens: &Path, profile: &Profile, problems: &Problems, strangers: &Credentials) -> Self {
        Self {
            goldens: goldens.to_owned(),
            seats: BTreeMap::new(),
            others: Scripted::of(profile),
            problems: problems.clone(),
            strangers: Arc::clone(strangers),
        }
    }

    fn shown(&self, id: u32) -> Option<MutexGuard<'_, Shown>> {
        self.seats.get(&id).map(|seat| locked(&seat.shown))
    }
}

impl Guests for RealMachines {
    fn remove(&mut self, id: u32) {
        self.seats.remove(&id);
        self.others.remove(id);
    }

    fn boot(&mut self, boot: &Boot, now: Moment) -> Result<(), String> {
        if boot.kind == Kind::Lxc {
            return self.others.boot(boot, now);
        }
        if !self.seats.contains_key(&boot.id) {
            let disk = Disk::new(&self.goldens).map_err(|error| format!("{error:#}"))?;
            self.seats.insert(boot.id, Seat::of(disk));
        }
        let mut hardware = hardware(boot);
        if boot.serial.is_none() {
            hardware.credentials.extend(locked(&self.strangers).iter().cloned());
        }
        if let Some(seat) = self.seats.get_mut(&boot.id) {
            seat.end();
            seat.begin(boot.id, hardware, self.problems.clone());
        }
        Ok(())
    }

    fn stop(&mut self, id: u32) {
        self.others.stop(id);
        if let Some(seat) = self.seats.get(&id) {
            seat.halt();
        }
    }

    fn interfaces(&self, id: u32, now: Moment) -> Vec<Interface> {
        self.shown(id).map_or_else(|| self.others.interfaces(id, now), |shown| shown.interfaces.clone())
    }

    fn obeys(&self, id: u32, now: Moment) -> bool {
        self.seats.contains_key(&id) || self.others.obeys(id, now)
    }

    fn agent_answers(&self, id: u32, _now: Moment) -> bool {
        self.shown(id).is_some_and(|shown| shown.answers)
    }

    fn read_file(&self, id: u32, path: &str) -> Option<Vec<u8>> {
        self.shown(id)?.files.get(path).cloned()
    }

    fn write_file(&mut self, _id: u32, _path: &str, _content: &[u8]) -> bool {
        false
    }

    fn run(&mut self, _id: u32, _command: &[String], _input: &str) -> Option<Finished> {
        None
    }
}

impl Seat {
    fn of(disk: Disk) -> Self {
        Self { disk: Arc::new(Mutex::new(disk)), shown: Arc::default(), life: None }
    }

    fn begin(&mut self, id: u32, hardware: Hardware, problems: Problems) {
        let (disk, shown, end) = (Arc::clone(&self.disk), Arc::clone(&self.shown), Arc::default());
        let ends = Arc::clone(&end);
        let thread = std::thread::spawn(move || {
            if let Err(error) = live(&disk, &hardware, &shown, &ends, &problems) {
                problems.note(&format!("machine {id}: {error:#}"));
            }
            *locked(&shown) = Shown::default();
        });
        self.life = Some((end, thread));
    }

    /// The plug is pulled; its disk stays.
    fn halt(&self) {
        if let Some((end, _)) = &self.life {
            end.store(true, Ordering::Relaxed);
        }
        *locked(&self.shown) = Shown::default();
    }

    /// The same, and waits for it.
    fn end(&mut self) {
        if let Some((end, thread)) = self.life.take() {
            end.store(true, Ordering::Relaxed);
            let _ = thread.join(); // what it panicked with has been printed
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.end();
    }
}

fn hardware(boot: &Boot) -> Hardware {
    // Each has a network of its own, and an address that no other has there: the companion compares them.
    let address = format!("10.0.2.{}", 20 + boot.id % 200);
    // What a DHCP server would call it; a claim's name comes first.
    let name = ("system.hostname".to_owned(), boot.hostname.clone());
    Hardware {
        credentials: vec![name],
        uuid: boot.uuid.clone().unwrap_or_default(),
        serial: boot.serial.clone(),
        card: boot.mac.clone().map(|mac| Card { mac, address }),
        ..Hardware::default()
    }
}

/// Runs the machine and asks its agent, until the end is wanted. What a silent agent told before is still shown: on a busy
/// machine an emulated one is silent for longer than anybody waits.
fn live(
    disk: &Mutex<Disk>,
    hardware: &Hardware,
    shown: &Mutex<Shown>,
    end: &AtomicBool,
    problems: &Problems,
) -> Result<()> {
    let mut machine = locked(disk).begin(hardware)?;
    while !end.load(Ordering::Relaxed) {
        match machine.agent().and_then(hear) {
            Err(error) if machine.has_ended() => {
                return Err(error.context(run::tail(&machine.console(), 40)));
            }
            Err(error) => problems.note(&format!("the agent: {error:#}")),
            Ok(Some(heard)) if !end.load(Ordering::Relaxed) => *locked(shown) = heard,
            Ok(_) => {}
        }
        std::thread::sleep(PAUSE);
    }
    Ok(())
}

/// One round of questions. None: the agent is silent.
fn hear(agent: &mut Agent) -> Result<Option<Shown>> {
    if !agent.answers(Duration::from_secs(3))? {
        return Ok(None);
    }
    let interfaces = interfaces(&agent.ask("guest-network-get-interfaces", &json!({}))?);
    let mut shown = Shown { answers: true, interfaces, files: BTreeMap::new() };
    for path in FILES {
        if let Some(content) = agent.read_file(path)? {
            shown.files.insert(path, content);
        }
    }
    Ok(Some(shown))
}

fn interfaces(told: &Value) -> Vec<Interface> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let address = |told: &Value| {
        let prefix = told["prefix"].as_u64().and_then(|prefix| u8::try_from(prefix).ok())?;
        Some((told["ip-address"].as_str()?.parse().ok()?, prefix))
    };
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let one = |told: Value| Interface {
        name: text(&told["name"]),
        mac: text(&told["hardware-address"]),
        addresses: list(&told["ip-addresses"]).iter().filter_map(address).collect(),
    };
    list(told).into_iter().map(one).collect()
}

/// A thread that panicked has said so; what it held is as good as before.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! The whole state of a cluster. Pure: nothing moves but by [`World::call`] and [`World::advance`].

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use serde_json::{Value, json};

use super::access::Access;
use super::answer::{Answer, Refusal};
use super::call::{Call, Moment};
use super::guest::{Guest, Kind, Power};
use super::guests::{Finished, Guests, Scripted};
use super::profile::Profile;
use super::random::Random;
use super::storage::{Archive, Storage, Volume};
use super::task::{Doom, Task};

/// A call is answered, or waits for a lock until the world changes or this moment has come.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    Answer(Box<Answer>),
    Wait { until: Moment },
}

/// Why a call has no answer yet, or none that it wanted.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Halt {
    Refused(Refusal),
    Wait { until: Moment },
}

impl From<Refusal> for Halt {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

#[derive(Debug, Clone)]
pub struct Node {
    /// Reachable for its neighbours.
    pub online: bool,
    pub address: String,
    pub certificate: Certificate,
}

/// What the API tells of a certificate; the server sets it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Certificate {
    /// SHA-256: `AA:BB:...`.
    pub fingerprint: String,
    pub pem: String,
}

/// A call that is carried out later than it was answered.
#[derive(Debug, Clone)]
struct Late {
    at: Moment,
    call: Call,
}

#[derive(Debug)]
pub struct World {
    pub(super) now: Moment,
    /// Seconds since 1970 at the start.
    pub began: u64,
    pub profile: Profile,
    /// Before 9.1, containers have no `env`. Everything else is as in 9.2, whatever this says.
    pub version: String,
    pub access: Access,
    /// Of the cluster.
    pub authority: Certificate,
    pub nodes: BTreeMap<String, Node>,
    pub storages: BTreeMap<String, Storage>,
    pub archives: BTreeMap<String, Archive>,
    pub volumes: BTreeMap<String, Volume>,
    pub guests: BTreeMap<u32, Guest>,
    pub pools: BTreeMap<String, BTreeSet<u32>>,
    pub bridges: BTreeSet<String>,
    /// Where free numbers are looked for.
    pub numbers: Range<u32>,
    /// Without it nothing can be written. Not recorded: the words are the code's.
    pub quorate: bool,
    pub tasks: Vec<Task>,
    /// Guests whose lock somebody else holds.
    pub held: BTreeSet<u32>,
    pub machines: Box<dyn Guests>,
    /// The first three bytes of MAC addresses.
    pub mac_prefix: String,
    /// What awaits the next worker.
    pub doom: Option<Doom>,
    /// The next POST of a guest loses a race for its number.
    pub lose_race: bool,
    /// Ends of commands that nobody has asked for yet, by guest and process.
    pub(super) commands: BTreeMap<(u32, u32), Finished>,
    pub(super) random: Random,
    /// Places of the tasks that have not ended.
    pub(super) active: Vec<usize>,
    late: Vec<Late>,
    pid: u32,
}

enum Event {
    Task(usize),
    Late(usize),
}

impl World {
    /// An empty cluster; `began` is its clock at the start, in seconds since 1970.
    pub fn new(profile: Profile, seed: u64, began: u64) -> Self {
        Self {
            now: Moment::ZERO,
            began,
            machines: Box::new(Scripted::of(&profile)),
            profile,
            version: "9.2.11".into(),
            access: Access::default(),
            authority: Certificate::default(),
            nodes: BTreeMap::new(),
            storages: BTreeMap::new(),
            archives: BTreeMap::new(),
            volumes: BTreeMap::new(),
            guests: BTreeMap::new(),
            pools: BTreeMap::new(),
            bridges: BTreeSet::from(["vmbr0".into()]),
            numbers: 100..1_000_000,
            quorate: true,
            tasks: Vec::new(),
            held: BTreeSet::new(),
            mac_prefix: "BC:24:11".into(),
            doom: None,
            lose_race: false,
            commands: BTreeMap::new(),
            random: Random::new(seed),
            active: Vec::new(),
            late: Vec::new(),
            pid: 1280,
        }
    }

    pub fn add_node(&mut self, name: &str, address: &str) {
        let certificate = Certificate::default();
        self.nodes.insert(name.into(), Node { online: true, address: address.into(), certificate });
    }

    pub fn now(&self) -> Moment {
        self.now
    }

    /// Seconds since 1970.
    pub(super) fn epoch(&self) -> u64 {
        self.began + self.now.as_secs()
    }

    pub(super) fn next_pid(&mut self) -> u32 {
        let step = self.random.between(1, 40);
        self.pid += u32::try_from(step).unwrap_or(1);
        self.pid
    }

    /// Carries the call out, or says until when it waits for a lock. Ask again with the same call.
    pub fn call(&mut self, call: &Call) -> Step {
        match self.route(call) {
            Ok(answer) => Step::Answer(Box::new(answer)),
            Err(Halt::Refused(refusal)) => Step::Answer(Box::new(refusal.into())),
            Err(Halt::Wait { until }) => Step::Wait { until },
        }
    }

    /// Carries the call out later, whoever has gone away in the meantime.
    pub fn call_late(&mut self, at: Moment, mut call: Call) {
        call.arrived = at;
        self.late.push(Late { at, call });
    }

    /// For calls that wait for the guest's lock: goes on, waits, or gives up with `words`.
    pub(super) fn wait_for_guest(
        &self,
        call: &Call,
        id: u32,
        limit: Moment,
        words: impl FnOnce() -> String,
    ) -> Result<(), Halt> {
        let until = call.arrived + limit;
        match self.is_flocked(id) {
            false => Ok(()),
            true if self.now < until => Err(Halt::Wait { until }),
            true => Err(Refusal::died(words()).into()),
        }
    }

    /// When something happens by itself; none if nothing will.
    pub fn next_due(&self) -> Option<Moment> {
        self.next_event().map(|(at, _)| at)
    }

    fn next_event(&self) -> Option<(Moment, Event)> {
        let tasks =
            self.active.iter().filter_map(|place| Some((self.task_due(*place)?, Event::Task(*place))));
        let late = self.late.iter().enumerate().map(|(place, late)| (late.at, Event::Late(place)));
        tasks.chain(late).min_by_key(|(at, _)| *at)
    }

    /// Lets time pass until `to`, with all that happens until then, in order.
    pub fn advance(&mut self, to: Moment) {
        while self.next_due().is_some_and(|at| at <= to) && self.step() {}
        self.now = self.now.max(to);
    }

    /// Lets the next thing happen, whenever that is; false if nothing will.
    pub fn step(&mut self) -> bool {
        let Some((at, event)) = self.next_event() else { return false };
        self.now = self.now.max(at);
        match event {
            Event::Task(place) => self.drive(place),
            Event::Late(place) => self.carry_out_late(place),
        }
        true
    }

    fn carry_out_late(&mut self, place: usize) {
        let Late { call, .. } = self.late.remove(place);
        if let Step::Wait { until } = self.call(&call) {
            // Not before something else has happened, or the wait has ended.
            let next = self.next_due().map_or(until, |due| due.min(until)).max(self.now);
            let at = if next == self.now { self.now + Moment::from_millis(1) } else { next };
            self.late.push(Late { at, call });
        }
    }

    /// Lets time pass until the task has ended; its exit status.
    pub fn finish_task(&mut self, upid: &str) -> Option<String> {
        while self.active_task(upid).is_some() && self.step() {}
        self.tasks.iter().find(|task| task.upid == upid)?.exit.clone()
    }

    /// Lets time pass until no task runs.
    pub fn settle(&mut self) {
        while !self.active.is_empty() && self.step() {}
    }

    /// How many tasks have not ended.
    pub fn running(&self) -> usize {
        self.active.len()
    }

    /// What stands: two of these are equal if nothing was left behind and nothing was taken.
    pub fn inventory(&self) -> Value {
        let guest = |(id, guest): (&u32, &Guest)| {
            let power = if guest.power == Power::Stopped { "stopped" } else { "running" };
            json!({
                "id": id, "kind": guest.kind.as_str(), "node": guest.node, "power": power,
                "config": guest.config, "pending": guest.pending,
            })
        };
        let volume = |(name, volume): (&String, &Volume)| json!([name, volume.node, volume.size]);
        json!({
            "guests": self.guests.iter().map(guest).collect::<Vec<_>>(),
            "volumes": self.volumes.iter().map(volume).collect::<Vec<_>>(),
            "pools": self.pools,
            "running": self.active.len(),
        })
    }

    /// A guest that was there before the test.
    pub fn put_guest(&mut self, id: u32, kind: Kind, node: &str, config: &[(&str, &str)]) {
        let mut guest = Guest::new(kind, node, self.now);
        config.iter().for_each(|(key, value)| guest.set(key, *value));
        self.guests.insert(id, guest);
    }

    /// What `pct unlock` and `qm unlock` do for the operator.
    pub fn unlock(&mut self, id: u32) {
        if let Some(guest) = self.guests.get_mut(&id) {
            guest.config.remove("lock");
        }
    }

    pub(super) fn mac(&mut self) -> String {
        let prefix = self.mac_prefix.clone();
        self.random.mac(&prefix)
    }
}

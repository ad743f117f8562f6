//! What the hypervisor holds, and what requests do to it. Plain values: no tasks, no network.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Instant;

use firstlight_shared::ids::MacAddress;
use firstlight_shared::wire::Claim;
use serde::{Deserialize, Serialize};

/// A guest as it is asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Wanted {
    /// Its stamp: every object belongs to a job.
    pub(crate) job: String,
    pub(crate) guest: String,
    pub(crate) mac: MacAddress,
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) claim: Claim,
    /// In bytes.
    pub(crate) memory: u64,
    pub(crate) ephemeral: bool,
}

/// What is done to a guest that is there.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Alteration {
    Memory(u64),
    Keep,
    TakeSnapshot(String),
    GoBack(String),
    DropSnapshot(String),
}

/// A guest that is there. Names are not unique, as on real hypervisors: two jobs can make two of one name.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) job: String,
    pub(crate) guest: String,
    pub(crate) mac: MacAddress,
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) claim: Option<Claim>,
    /// The task that makes it, until it is made.
    pub(crate) task: Option<String>,
    pub(crate) running: bool,
    /// What the guest sent, as the hypervisor can read it.
    pub(crate) report: Option<String>,
    pub(crate) memory: u64,
    pub(crate) ephemeral: bool,
    /// With the memory that it had then.
    pub(crate) snapshots: Vec<(String, u64)>,
    /// Somebody else made it: its number stands where others have their job.
    pub(crate) foreign: bool,
}

impl Machine {
    pub(crate) fn without_report(&self) -> Self {
        Self { report: None, ..self.clone() }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verb {
    Make,
    Start,
    Stop,
    Remove,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    /// It was so already.
    Repeated,
    Refused,
}

/// One request that changes something.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) companion: String,
    pub(crate) verb: Verb,
    pub(crate) job: String,
    pub(crate) guest: String,
    pub(crate) outcome: Outcome,
    pub(crate) at: Instant,
}

#[derive(Debug, Default)]
pub(crate) struct World {
    /// By job.
    pub(crate) machines: BTreeMap<String, Machine>,
    pub(crate) journal: Vec<Entry>,
    /// Starts of these guests are refused.
    pub(crate) broken: BTreeSet<String>,
    /// What must never be.
    pub(crate) twins: Vec<String>,
    pub(crate) most_half_made: usize,
    half_made: BTreeSet<String>,
    /// Jobs whose guests run, by name and by MAC.
    running: BTreeMap<String, BTreeSet<String>>,
    tasks: u64,
}

impl World {
    /// The task that makes it; none: it is made already. The flag says that the task is new.
    pub(crate) fn make(&mut self, companion: &str, wanted: Wanted) -> (Option<String>, bool) {
        let (job, guest) = (wanted.job.clone(), wanted.guest.clone());
        if let Some(machine) = self.machines.get(&job) {
            let task = machine.task.clone();
            self.note(companion, Verb::Make, &job, &guest, Outcome::Repeated);
            return (task, false);
        }
        self.tasks += 1;
        let task = format!("task:{}:{job}", self.tasks);
        let machine = Machine {
            job: job.clone(),
            guest: guest.clone(),
            mac: wanted.mac,
            addresses: wanted.addresses,
            claim: Some(wanted.claim),
            task: Some(task.clone()),
            running: false,
            report: None,
            memory: wanted.memory,
            ephemeral: wanted.ephemeral,
            snapshots: Vec::new(),
            foreign: false,
        };
        self.machines.insert(job.clone(), machine);
        self.half_made.insert(job.clone());
        self.most_half_made = self.most_half_made.max(self.half_made.len());
        self.note(companion, Verb::Make, &job, &guest, Outcome::Done);
        (Some(task), true)
    }

    /// Somebody makes a machine with nothing but its own tools, and starts it.
    pub(crate) fn make_foreign(&mut self, id: &str, guest: &str) {
        let number: u8 = id.parse().unwrap_or(200);
        let machine = Machine {
            job: id.to_owned(),
            guest: guest.to_owned(),
            mac: MacAddress([0xbc, 0x24, 0x11, 0, 0, number]),
            addresses: vec![IpAddr::from([10, 9, 9, number])],
            claim: None,
            task: None,
            running: true,
            report: None,
            memory: 0,
            ephemeral: false,
            snapshots: Vec::new(),
            foreign: true,
        };
        for known_by in [machine.guest.clone(), machine.mac.to_string()] {
            self.running.entry(known_by).or_default().insert(id.to_owned());
        }
        self.machines.insert(id.to_owned(), machine);
    }

    /// The task has ended.
    pub(crate) fn made(&mut self, job: &str) {
        if let Some(machine) = self.machines.get_mut(job) {
            machine.task = None;
        }
    }

    pub(crate) fn start(&mut self, companion: &str, job: &str) -> Outcome {
        let startable = |machine: &&Machine| machine.task.is_none() && !self.broken.contains(&machine.guest);
        let Some(machine) = self.machines.get(job).filter(startable).cloned() else {
            return self.refuse(companion, Verb::Start, job);
        };
        if machine.running {
            return self.note(companion, Verb::Start, job, &machine.guest, Outcome::Repeated);
        }
        for known_by in [machine.guest.clone(), machine.mac.to_string()] {
            let jobs = self.running.entry(known_by).or_default();
            for other in jobs.iter() {
                self.twins.push(format!("{} of jobs {other} and {job}", machine.guest));
            }
            jobs.insert(job.to_owned());
        }
        self.half_made.remove(job);
        if let Some(machine) = self.machines.get_mut(job) {
            machine.running = true;
        }
        self.note(companion, Verb::Start, job, &machine.guest, Outcome::Done)
    }

    pub(crate) fn stop(&mut self, companion: &str, job: &str) -> Outcome {
        let Some(machine) = self.machines.get_mut(job) else {
            return self.refuse(companion, Verb::Stop, job);
        };
        let outcome = if machine.running { Outcome::Done } else { Outcome::Repeated };
        machine.running = false;
        let guest = machine.guest.clone();
        for known_by in [guest.clone(), machine.mac.to_string()] {
            if let Some(jobs) = self.running.get_mut(&known_by) {
                jobs.remove(job);
            }
        }
        self.note(companion, Verb::Stop, job, &guest, outcome)
    }

    /// Refused: there is no such guest, or no such snapshot.
    pub(crate) fn alter(&mut self, job: &str, alteration: Alteration) -> Outcome {
        let Some(machine) = self.machines.get_mut(job) else { return Outcome::Refused };
        match alteration {
            Alteration::Memory(bytes) => machine.memory = bytes,
            Alteration::Keep => machine.ephemeral = false,
            Alteration::TakeSnapshot(name) => machine.snapshots.push((name, machine.memory)),
            Alteration::GoBack(name) => match machine.snapshots.iter().find(|(known, _)| *known == name) {
                Some((_, memory)) => machine.memory = *memory,
                None => return Outcome::Refused,
            },
            Alteration::DropSnapshot(name) => machine.snapshots.retain(|(known, _)| *known != name),
        }
        Outcome::Done
    }

    /// What is being made is locked.
    pub(crate) fn remove(&mut self, companion: &str, job: &str) -> Outcome {
        match self.machines.get(job) {
            Some(machine) if machine.task.is_some() || machine.running => {
                self.refuse(companion, Verb::Remove, job)
            }
            Some(machine) => {
                let guest = machine.guest.clone();
                self.machines.remove(job);
                self.half_made.remove(job);
                self.note(companion, Verb::Remove, job, &guest, Outcome::Done)
            }
            None => self.note(companion, Verb::Remove, job, "", Outcome::Repeated),
        }
    }

    fn refuse(&mut self, companion: &str, verb: Verb, job: &str) -> Outcome {
        let guest = self.machines.get(job).map(|machine| machine.guest.clone()).unwrap_or_default();
        self.note(companion, verb, job, &guest, Outcome::Refused)
    }

    fn note(&mut self, companion: &str, verb: Verb, job: &str, guest: &str, outcome: Outcome) -> Outcome {
        self.journal.push(Entry {
            companion: companion.to_owned(),
            verb,
            job: job.to_owned(),
            guest: guest.to_owned(),
            outcome,
            at: Instant::now(),
        });
        outcome
    }
}

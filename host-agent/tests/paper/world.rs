//! The world: what is there, which tasks are at work, which requests are under way, and what must never have happened.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use super::trouble::{Armed, Trouble, Verb};

/// One thing that a step made: of a guest, under an id that was chosen before, with the stamp of its job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thing {
    pub guest: String,
    pub step: String,
    pub id: String,
    pub stamp: String,
    /// Its task ended badly: it is there, but not as asked.
    pub half: bool,
}

impl Thing {
    fn key(&self) -> String {
        format!("{}/{}#{}", self.guest, self.step, self.id)
    }

    fn is_beside(&self, other: &Self) -> bool {
        self.guest == other.guest && self.step == other.step
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Stand {
    Running,
    Well,
    Badly,
}

/// A remote task. It ends by itself, whether anybody follows it or not.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Task {
    pub(super) verb: Verb,
    pub(super) thing: Thing,
    pub(super) trouble: Option<Trouble>,
    pub(super) ends_at: u64,
    pub(super) stand: Stand,
    /// Whoever followed it was told that nobody knows it.
    pub(super) disowned: bool,
    /// Its request was given up long before.
    pub(super) late: bool,
}

/// A request whose reply was given up and that is still under way.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct UnderWay {
    verb: Verb,
    thing: Thing,
    task: bool,
    due: u64,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Ground {
    /// Looks at the world so far: the world's own time, which survives a process.
    pub(super) tick: u64,
    pub(super) things: BTreeMap<String, Thing>,
    pub(super) tasks: BTreeMap<String, Task>,
    under_way: Vec<UnderWay>,
    /// Guests that have reported.
    pub(super) reports: BTreeSet<String>,
    /// Guests do not report by themselves.
    pub(super) silent: bool,
    troubles: Vec<Armed>,
    /// Steps (`guest/step`) that cannot be seen any more.
    pub(super) dark: BTreeSet<String>,
    violations: Vec<String>,
    requests: u64,
    /// Ticks from a task's beginning to its end.
    pub(super) task_ticks: u64,
    /// The same for a task of these steps.
    slow: BTreeMap<String, u64>,
}

#[derive(Debug, Default)]
struct Inner {
    ground: Mutex<Ground>,
    file: Option<PathBuf>,
    reported: Notify,
}

/// Handle on the world; clones share it.
#[derive(Debug, Clone, Default)]
pub struct World(Arc<Inner>);

/// Writes the world down when it is let go.
pub(super) struct Look<'a> {
    ground: MutexGuard<'a, Ground>,
    inner: &'a Inner,
}

impl std::ops::Deref for Look<'_> {
    type Target = Ground;
    fn deref(&self) -> &Ground {
        &self.ground
    }
}

impl std::ops::DerefMut for Look<'_> {
    fn deref_mut(&mut self) -> &mut Ground {
        &mut self.ground
    }
}

impl Drop for Look<'_> {
    fn drop(&mut self) {
        if let Some(file) = &self.inner.file {
            let fresh = file.with_extension("fresh");
            std::fs::write(&fresh, serde_json::to_vec(&*self.ground).unwrap()).unwrap();
            std::fs::rename(&fresh, file).unwrap();
        }
    }
}

impl World {
    pub fn new() -> Self {
        let world = Self::default();
        world.0.ground.lock().unwrap().task_ticks = 2;
        world
    }

    /// A world that is written to `file` with every change, before anybody hears of it; read from there if it exists.
    pub fn in_file(file: &Path) -> Self {
        let ground = match std::fs::read(file) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap(),
            Err(_) => Ground { task_ticks: 2, ..Ground::default() },
        };
        let file = Some(file.to_owned());
        Self(Arc::new(Inner { ground: Mutex::new(ground), file, reported: Notify::new() }))
    }

    /// Every look lets the world's time pass: tasks end, requests arrive.
    pub(super) fn look(&self) -> Look<'_> {
        let ground = self.0.ground.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut look = Look { ground, inner: &self.0 };
        look.tick += 1;
        if look.pass() {
            self.0.reported.notify_waiters();
        }
        look
    }

    pub fn arm(&self, guest: &str, step: &str, verb: Verb, trouble: Trouble, times: u32) {
        let armed = Armed { guest: guest.into(), step: step.into(), verb, trouble, times };
        let mut look = self.look();
        if trouble == Trouble::Foreign {
            let thing = Thing {
                guest: armed.guest,
                step: armed.step,
                id: "foreign".into(),
                stamp: "somebody".into(),
                half: false,
            };
            look.things.insert(thing.key(), thing);
        } else {
            look.troubles.push(armed);
        }
    }

    /// Nothing goes wrong any more; what is dark can be seen again.
    pub fn disarm(&self) {
        let mut look = self.look();
        look.troubles.clear();
        look.dark.clear();
    }

    /// Remote tasks of this step take so many looks at the world.
    pub fn slow_tasks(&self, step: &str, ticks: u64) {
        self.look().slow.insert(step.to_owned(), ticks);
    }

    /// Guests report only when [`World::report`] says so.
    pub fn silence(&self) {
        self.look().silent = true;
    }

    pub fn report(&self, guest: &str) {
        self.look().reports.insert(guest.to_owned());
        self.0.reported.notify_waiters();
    }

    /// Carries out every request that is still under way; how many there were.
    pub fn carry_out_late(&self) -> usize {
        let mut look = self.look();
        let count = look.under_way.len();
        let tick = look.tick;
        look.under_way.iter_mut().for_each(|request| request.due = tick);
        look.pass();
        drop(look);
        // Their tasks end as well.
        for _ in 0..10 {
            self.look();
        }
        count
    }

    /// Things that carry this stamp.
    pub fn things_of(&self, stamp: &str) -> Vec<Thing> {
        self.look().things.values().filter(|thing| thing.stamp == stamp).cloned().collect()
    }

    /// Tasks at work for this stamp.
    pub fn tasks_of(&self, stamp: &str) -> Vec<String> {
        let look = self.look();
        let running =
            look.tasks.iter().filter(|(_, task)| task.stand == Stand::Running && task.thing.stamp == stamp);
        running.map(|(id, _)| id.clone()).collect()
    }

    /// What must never have happened.
    pub fn violations(&self) -> Vec<String> {
        self.look().violations.clone()
    }

    pub fn requests(&self) -> u64 {
        self.look().requests
    }

    pub(super) async fn reported(&self, guest: &str) {
        loop {
            let notified = self.0.reported.notified();
            if self.look().reports.contains(guest) {
                return;
            }
            notified.await;
        }
    }

    /// How often a task is looked at.
    pub(super) fn pace(&self) -> Duration {
        Duration::from_millis(50)
    }
}

impl Ground {
    pub(super) fn violation(&mut self, what: String) {
        self.violations.push(what);
    }

    pub(super) fn meet(&mut self, guest: &str, step: &str, verb: Verb) -> Option<Trouble> {
        self.requests += 1;
        let fits = |armed: &Armed| {
            armed.guest == guest && armed.step == step && armed.verb == verb && armed.times > 0
        };
        let armed = self.troubles.iter_mut().find(|armed| fits(armed))?;
        armed.times -= u32::from(armed.times != u32::MAX);
        Some(armed.trouble)
    }

    /// Tasks end, requests arrive. True: a guest may have reported.
    fn pass(&mut self) -> bool {
        let tick = self.tick;
        let (due, waiting): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.under_way).into_iter().partition(|request| request.due <= tick);
        self.under_way = waiting;
        for request in due {
            match (request.verb, request.task) {
                (verb, true) => {
                    let task = self.begin(verb, request.thing, None);
                    self.tasks.entry(task).and_modify(|task| task.late = true);
                }
                (Verb::Act, false) => {
                    self.make(request.thing, true);
                }
                (Verb::Undo, false) => self.remove(&request.thing),
            }
        }
        let ended = |task: &Task| task.stand == Stand::Running && task.ends_at <= tick;
        let ended: Vec<String> =
            self.tasks.iter().filter(|(_, task)| ended(task)).map(|(id, _)| id.clone()).collect();
        for id in &ended {
            self.end(id);
        }
        !ended.is_empty()
    }

    fn end(&mut self, id: &str) {
        let Some(task) = self.tasks.get_mut(id) else { return };
        let (verb, thing, trouble, late) = (task.verb, task.thing.clone(), task.trouble, task.late);
        let stand = if trouble == Some(Trouble::EndsBadly) { Stand::Badly } else { Stand::Well };
        task.stand = stand;
        match (verb, trouble) {
            (_, Some(Trouble::Vanished)) | (Verb::Undo, Some(Trouble::EndsBadly)) => {}
            (Verb::Act, Some(Trouble::EndsBadly)) => {
                self.make(Thing { half: true, ..thing }, late);
            }
            (Verb::Act, _) => {
                self.make(thing, late);
            }
            (Verb::Undo, _) => self.remove(&thing),
        }
    }

    /// Makes a thing. False: this very thing is there already. `late`: its job may be gone, and another may have its name.
    pub(super) fn make(&mut self, thing: Thing, late: bool) -> bool {
        if self.things.contains_key(&thing.key()) {
            return false;
        }
        let other = self.things.values().find(|there| there.is_beside(&thing));
        if let Some(other) = other.filter(|other| !late || other.stamp == thing.stamp) {
            let what = format!("two of {}/{}: {other:?} and {thing:?}", thing.guest, thing.step);
            self.violation(what);
        }
        if thing.step == "start" && !thing.half && !self.silent {
            self.reports.insert(thing.guest.clone());
        }
        self.things.insert(thing.key(), thing);
        true
    }

    /// Removes what carries the same stamp.
    pub(super) fn remove(&mut self, like: &Thing) {
        self.things.retain(|_, there| !(there.is_beside(like) && there.stamp == like.stamp));
    }

    pub(super) fn begin(&mut self, verb: Verb, thing: Thing, trouble: Option<Trouble>) -> String {
        let id = format!("task-{}", self.tasks.len());
        let ends_at = self.tick + self.slow.get(&thing.step).unwrap_or(&self.task_ticks);
        let task =
            Task { verb, thing, trouble, ends_at, stand: Stand::Running, disowned: false, late: false };
        self.tasks.insert(id.clone(), task);
        id
    }

    pub(super) fn send_late(&mut self, verb: Verb, thing: Thing, task: bool, ticks: u64) {
        let due = self.tick.saturating_add(ticks);
        self.under_way.push(UnderWay { verb, thing, task, due });
    }

    pub(super) fn running(&self, verb: Verb, like: &Thing) -> Option<(String, Option<Trouble>)> {
        let mut tasks = self.tasks.iter();
        let at_work = tasks.find(|(_, task)| {
            task.stand == Stand::Running
                && task.verb == verb
                && task.thing.is_beside(like)
                && task.thing.stamp == like.stamp
        });
        at_work.map(|(id, task)| (id.clone(), task.trouble))
    }

    pub(super) fn beside(&self, like: &Thing) -> Vec<Thing> {
        self.things.values().filter(|there| there.is_beside(like)).cloned().collect()
    }
}

//! Tasks: what a worker does, in which order it waits for locks, and what is told of it.

use std::fmt::Debug;
use std::time::Duration;

use super::call::Moment;
use super::guest::{Kind, lock_timeout};
use super::world::World;

/// How a worker was stopped before its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// Its work failed, in these words.
    Failed(String),
    /// Somebody deleted the task.
    Interrupted,
}

/// A piece of work between two looks at the clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// The storage whose lock it holds.
    pub storage: Option<String>,
    pub lasts: Duration,
}

impl Stage {
    pub fn of(lasts: Duration) -> Self {
        Self { storage: None, lasts }
    }

    pub fn under(storage: &str, lasts: Duration) -> Self {
        Self { storage: Some(storage.into()), lasts }
    }
}

/// What a worker does. Errors are the task's exit status.
pub(super) trait Job: Debug + Send {
    /// The guest's lock, held from the beginning to the end, and how long it waits for it.
    fn flock(&self, _world: &World) -> Option<(Kind, u32, Duration)> {
        None
    }

    /// The lock is held: looks whether it can be done, and says how long it takes.
    fn begin(&mut self, world: &mut World, log: &mut Vec<String>) -> Result<Vec<Stage>, String>;

    /// The stage with this number has ended.
    fn advance(&mut self, _world: &mut World, _stage: usize, _log: &mut Vec<String>) -> Result<(), String> {
        Ok(())
    }

    /// All stages have ended. The number is that of its warnings.
    fn finish(&mut self, world: &mut World, log: &mut Vec<String>) -> Result<usize, String>;

    /// Cleans up as the real worker does; the exit status.
    fn stop(&mut self, _world: &mut World, how: &Stop, _log: &mut Vec<String>) -> String {
        match how {
            Stop::Failed(text) => text.clone(),
            Stop::Interrupted => "received interrupt".into(),
        }
    }
}

/// Makes a worker's end another one than its work would have had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doom {
    /// Fails with this exit status, having cleaned up as after any failure.
    Fails(String),
    /// Its process is killed halfway: nobody cleans up, and the exit status is `unexpected status`.
    Lost,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Waits for the guest's lock.
    Locked {
        since: Moment,
    },
    /// Waits for the lock of the storage of a stage.
    Queued {
        stage: usize,
        since: Moment,
    },
    Working {
        stage: usize,
        until: Moment,
    },
    Ended,
}

#[derive(Debug)]
pub struct Task {
    pub upid: String,
    pub node: String,
    pub kind: String,
    /// The guest's number, or what else it works on.
    pub id: String,
    /// The token that asked for it.
    pub owner: String,
    pub pid: u32,
    pub pstart: u32,
    /// Seconds since 1970.
    pub started: u64,
    pub ended: Option<u64>,
    pub exit: Option<String>,
    pub log: Vec<String>,
    /// Forked by another worker: while it runs it is shown with the whole token as user.
    pub nested: bool,
    pub(super) state: State,
    pub(super) flock: Option<(Kind, u32, Duration)>,
    stages: Vec<Stage>,
    job: Option<Box<dyn Job>>,
    doom: Option<Doom>,
}

impl Task {
    pub fn is_active(&self) -> bool {
        self.state != State::Ended
    }

    /// It holds the lock of this guest.
    fn holds_guest(&self, id: u32) -> bool {
        let holds = matches!(self.state, State::Queued { .. } | State::Working { .. });
        holds && self.flock.is_some_and(|(_, locked, _)| locked == id)
    }

    fn waits_for(&self, id: u32) -> bool {
        self.flock.is_some_and(|(_, locked, _)| locked == id)
    }

    fn holds_storage(&self, node: &str, storage: &str) -> bool {
        let State::Working { stage, .. } = self.state else { return false };
        self.node == node && self.stages[stage].storage.as_deref() == Some(storage)
    }
}

impl World {
    /// Starts a worker; what comes back is its UPID.
    pub(super) fn fork(
        &mut self,
        node: &str,
        kind: &str,
        id: &str,
        owner: &str,
        job: Box<dyn Job>,
    ) -> String {
        let place = self.spawn(node, kind, id, owner, job);
        self.tasks[place].doom = self.doom.take();
        self.tasks[place].upid.clone()
    }

    /// A worker that another worker starts.
    pub(super) fn fork_nested(&mut self, node: &str, kind: &str, id: &str, owner: &str, job: Box<dyn Job>) {
        let place = self.spawn(node, kind, id, owner, job);
        self.tasks[place].nested = true;
    }

    fn spawn(&mut self, node: &str, kind: &str, id: &str, owner: &str, job: Box<dyn Job>) -> usize {
        let pid = self.next_pid();
        let started = self.epoch();
        let hundredths = u32::try_from(self.now.as_millis() / 10).unwrap_or(u32::MAX);
        let pstart = hundredths.saturating_add(315_000);
        let upid = format!("UPID:{node}:{pid:08X}:{pstart:08X}:{started:08X}:{kind}:{id}:{owner}:");
        let flock = job.flock(self);
        self.tasks.push(Task {
            upid,
            node: node.into(),
            kind: kind.into(),
            id: id.into(),
            owner: owner.into(),
            pid,
            pstart,
            started,
            ended: None,
            exit: None,
            log: Vec::new(),
            nested: false,
            state: State::Locked { since: self.now },
            flock,
            stages: Vec::new(),
            job: Some(job),
            doom: None,
        });
        let place = self.tasks.len() - 1;
        self.active.push(place);
        match self.flock_is_free(flock) && !self.someone_waits_for_guest(place) {
            true => self.begin(place),
            false => self.tasks[place].log.push("trying to acquire lock...".into()),
        }
        place
    }

    /// Locks are given in the order in which they were asked for.
    fn someone_waits_for_guest(&self, place: usize) -> bool {
        let Some((_, id, _)) = self.tasks[place].flock else { return false };
        let waits = |task: &Task| matches!(task.state, State::Locked { .. }) && task.waits_for(id);
        self.active_before(place).any(waits)
    }

    fn flock_is_free(&self, flock: Option<(Kind, u32, Duration)>) -> bool {
        flock.is_none_or(|(_, id, _)| !self.is_flocked(id))
    }

    /// Somebody holds the guest's lock: a worker, or a test.
    pub fn is_flocked(&self, id: u32) -> bool {
        self.held.contains(&id) || self.active().any(|task| task.holds_guest(id))
    }

    /// When the task with this place wants to go on; none if it cannot by itself.
    pub(super) fn task_due(&self, place: usize) -> Option<Moment> {
        let task = &self.tasks[place];
        match task.state {
            State::Ended => None,
            State::Working { until, .. } => Some(until),
            State::Locked { since } => match self.flock_is_free(task.flock) {
                true => Some(self.now),
                false => Some(since + task.flock?.2),
            },
            State::Queued { stage, since } => match self.storage_is_free(place, stage) {
                true => Some(self.now),
                false => Some(since + self.profile.locks.storage),
            },
        }
    }

    fn storage_is_free(&self, place: usize, stage: usize) -> bool {
        let task = &self.tasks[place];
        let Some(storage) = &task.stages[stage].storage else { return true };
        !self.active().any(|other| other.holds_storage(&task.node, storage))
    }

    /// Lets the task go on that [`World::task_due`] named.
    pub(super) fn drive(&mut self, place: usize) {
        match self.tasks[place].state {
            State::Ended => {}
            State::Locked { .. } if self.flock_is_free(self.tasks[place].flock) => {
                self.tasks[place].log.push(" OK".into());
                self.begin(place);
            }
            State::Locked { .. } => {
                let text = self.tasks[place].flock.map(|(kind, id, _)| lock_timeout(kind, id));
                self.fail(place, text.unwrap_or_default());
            }
            State::Queued { stage, .. } if self.storage_is_free(place, stage) => self.work(place, stage),
            State::Queued { stage, .. } => {
                let storage = self.tasks[place].stages[stage].storage.clone().unwrap_or_default();
                let text =
                    format!("can't lock file '/var/lock/pve-manager/pve-storage-{storage}' - got timeout");
                self.fail(place, text);
            }
            State::Working { stage, .. } => self.stage_ended(place, stage),
        }
    }

    /// Takes the task's work out of it, so that the work may change the world.
    fn with_job<T>(
        &mut self,
        place: usize,
        action: impl FnOnce(&mut dyn Job, &mut World, &mut Vec<String>) -> T,
    ) -> Option<T> {
        let mut job = self.tasks[place].job.take()?;
        let mut log = std::mem::take(&mut self.tasks[place].log);
        let result = action(job.as_mut(), self, &mut log);
        let task = &mut self.tasks[place];
        task.log = log;
        task.job = Some(job);
        Some(result)
    }

    fn begin(&mut self, place: usize) {
        self.tasks[place].state = State::Working { stage: 0, until: self.now };
        self.tasks[place].stages = vec![Stage::of(Duration::ZERO)];
        match self.with_job(place, |job, world, log| job.begin(world, log)) {
            Some(Ok(stages)) => {
                self.tasks[place].stages = stages;
                self.go_to(place, 0);
            }
            Some(Err(text)) => self.fail(place, text),
            None => {}
        }
    }

    fn go_to(&mut self, place: usize, stage: usize) {
        if stage >= self.tasks[place].stages.len() {
            self.finish(place);
            return;
        }
        // Ahead of its turn nobody gets a lock: the others are asked first, in the order of their start.
        let since = self.now;
        let free = {
            self.tasks[place].state = State::Queued { stage, since };
            self.storage_is_free(place, stage) && !self.someone_waits_before(place, stage)
        };
        if free {
            self.work(place, stage);
        }
    }

    fn someone_waits_before(&self, place: usize, stage: usize) -> bool {
        let mine = &self.tasks[place].stages[stage].storage;
        mine.is_some()
            && self.active_before(place).any(|other| match other.state {
                State::Queued { stage, .. } => &other.stages[stage].storage == mine,
                _ => false,
            })
    }

    fn work(&mut self, place: usize, stage: usize) {
        let until = self.now + self.tasks[place].stages[stage].lasts;
        self.tasks[place].state = State::Working { stage, until };
    }

    fn stage_ended(&mut self, place: usize, stage: usize) {
        let last = stage + 1 == self.tasks[place].stages.len();
        // Killed in the middle: after the first of several stages, before the effect of a single one.
        let lost = self.tasks[place].doom == Some(Doom::Lost);
        if lost && last {
            return self.end(place, "unexpected status".into());
        }
        match self.with_job(place, |job, world, log| job.advance(world, stage, log)) {
            Some(Ok(())) if lost => self.end(place, "unexpected status".into()),
            Some(Ok(())) if last => self.finish(place),
            Some(Ok(())) => self.go_to(place, stage + 1),
            Some(Err(text)) => self.fail(place, text),
            None => {}
        }
    }

    fn finish(&mut self, place: usize) {
        match self.tasks[place].doom.take() {
            Some(Doom::Fails(text)) => return self.fail(place, text),
            Some(Doom::Lost) => return self.end(place, "unexpected status".into()),
            None => {}
        }
        match self.with_job(place, |job, world, log| job.finish(world, log)) {
            Some(Ok(0)) => self.close(place, "OK".into(), "TASK OK".into()),
            Some(Ok(count)) => {
                self.close(place, format!("WARNINGS: {count}"), format!("TASK WARNINGS: {count}"))
            }
            Some(Err(text)) => self.fail(place, text),
            None => {}
        }
    }

    fn fail(&mut self, place: usize, text: String) {
        self.stop_job(place, &Stop::Failed(text));
    }

    fn stop_job(&mut self, place: usize, how: &Stop) {
        let exit = self.with_job(place, |job, world, log| job.stop(world, how, log)).unwrap_or_default();
        let last = format!("TASK ERROR: {exit}");
        self.close(place, exit, last);
    }

    fn close(&mut self, place: usize, exit: String, last: String) {
        self.tasks[place].log.push(last);
        self.end(place, exit);
    }

    fn end(&mut self, place: usize, exit: String) {
        let now = self.epoch();
        let task = &mut self.tasks[place];
        (task.state, task.ended, task.exit, task.job) = (State::Ended, Some(now), Some(exit), None);
        self.active.retain(|active| *active != place);
    }

    /// What DELETE of a task does: the worker cleans up and ends. A task that has ended stays as it is.
    pub fn interrupt(&mut self, upid: &str) {
        if let Some(place) = self.active_task(upid) {
            self.stop_job(place, &Stop::Interrupted);
        }
    }

    /// The worker's process dies at once: nothing is cleaned up.
    pub fn kill(&mut self, upid: &str) {
        if let Some(place) = self.active_task(upid) {
            self.end(place, "unexpected status".into());
        }
    }

    pub(super) fn active_task(&self, upid: &str) -> Option<usize> {
        self.active.iter().copied().find(|place| self.tasks[*place].upid == upid)
    }

    /// Tasks that have not ended, in the order of their start: few, however many there have been.
    fn active(&self) -> impl Iterator<Item = &Task> {
        self.active_before(usize::MAX)
    }

    fn active_before(&self, end: usize) -> impl Iterator<Item = &Task> {
        self.active.iter().filter(move |place| **place < end).map(|place| &self.tasks[*place])
    }
}

//! A whole `JobStore` in memory. Leases end in tokio's time, so that tests can pause it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use firstlight::job::{
    Change, Claimant, Claimed, Event, JobStore, JournalError, Lease, NewJob, Outline, Phase, Recorded,
    Request, RequestKind, State, Taken, Waiting, choose,
};
use tokio::sync::broadcast;
use tokio::time::Instant;

#[derive(Debug)]
struct Row {
    events: Vec<Recorded>,
    outline: Outline,
    state: State,
    fence: u64,
    held_until: Option<Instant>,
    /// Until when each lease that was ever given held, by its fence.
    leases: BTreeMap<u64, Instant>,
    companion: Option<String>,
    request: Option<Request>,
}

/// See the module.
#[derive(Debug)]
pub struct MemoryStore {
    rows: Mutex<BTreeMap<String, Row>>,
    changes: broadcast::Sender<Change>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self { rows: Mutex::default(), changes: broadcast::Sender::new(4096) }
    }
}

impl MemoryStore {
    fn rows(&self) -> MutexGuard<'_, BTreeMap<String, Row>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, job: &str) {
        let _ = self.changes.send(Change::Job(job.to_owned()));
    }

    /// Ends the job's lease as if another companion had claimed the job and given it back.
    pub fn steal(&self, job: &str) {
        if let Some(row) = self.rows().get_mut(job) {
            row.fence += 1;
            row.held_until = None;
            row.companion = Some("a thief".into());
        }
        self.tell(job);
    }

    /// The number of the latest lease: how often the job was claimed.
    pub fn fence(&self, job: &str) -> u64 {
        self.rows().get(job).map_or(0, |row| row.fence)
    }

    /// This lease does not hold any more, by time or because it was given back.
    pub fn is_over(&self, job: &str, fence: u64) -> bool {
        let rows = self.rows();
        let until = rows.get(job).and_then(|row| row.leases.get(&fence));
        until.is_some_and(|until| *until <= Instant::now())
    }

    pub fn jobs(&self) -> Vec<String> {
        self.rows().keys().cloned().collect()
    }

    /// Nobody has to drive anything, and nothing is asked.
    pub fn is_quiet(&self) -> bool {
        self.rows().values().all(|row| !row.outline.open && row.request.is_none())
    }

    /// Jobs that hold a place of a resource now.
    pub fn at_work(&self, resource: &str) -> usize {
        let rows = self.rows();
        let works = |row: &&Row| row.outline.works || (row.begins() && row.held_until.is_some());
        let uses = |row: &Row| row.state.spec.resources.iter().any(|of| of == resource);
        rows.values().filter(works).filter(|row| uses(row)).count()
    }
}

impl Row {
    fn hold(&mut self, until: Instant) {
        self.held_until = Some(until);
        self.leases.insert(self.fence, until);
    }

    /// Needs a place of its resources to begin: queued, or to be tried again.
    fn begins(&self) -> bool {
        self.outline.phase == Phase::Queued || self.tries_again()
    }

    fn tries_again(&self) -> bool {
        let asked = self.request.as_ref().is_some_and(|request| request.kind == RequestKind::Retry);
        asked && self.outline.phase == Phase::NeedsOperator
    }

    fn is_free(&self, now: Instant, grace: Duration) -> bool {
        self.held_until.is_none_or(|until| until + grace <= now)
    }

    fn take(&mut self, job: &str, claimant: &Claimant, now: Instant) -> Claimed {
        self.fence += 1;
        self.hold(now + claimant.lease);
        let before = self.companion.replace(claimant.companion.clone());
        Claimed {
            lease: Lease { job: job.to_owned(), fence: self.fence },
            taken_over: before.is_some_and(|before| before != claimant.companion),
            events: self.events.clone(),
        }
    }
}

fn waiting_and_taken(
    rows: &BTreeMap<String, Row>,
    claimant: &Claimant,
    now: Instant,
) -> (Vec<Waiting>, Taken) {
    let (mut waiting, mut taken) = (Vec::new(), Taken::default());
    for (job, row) in rows {
        let held = !row.is_free(now, claimant.grace);
        if row.begins() && !held {
            waiting.push(Waiting {
                job: job.clone(),
                batch: row.state.spec.batch.clone(),
                resources: row.state.spec.resources.clone(),
            });
        } else if row.outline.works || (row.begins() && held) {
            *taken.batches.entry(row.state.spec.batch.clone()).or_default() += 1;
            for resource in &row.state.spec.resources {
                *taken.resources.entry(resource.clone()).or_default() += 1;
            }
        }
    }
    (waiting, taken)
}

#[async_trait]
impl JobStore for MemoryStore {
    async fn create(&self, jobs: &[NewJob]) -> Result<(), JournalError> {
        let mut rows = self.rows();
        for job in jobs {
            if rows.get(&job.id).is_some_and(|row| row.events[0].event == job.created.event) {
                continue;
            }
            let Event::Created(spec) = &job.created.event else { panic!("not a first event") };
            let other = rows.iter().find(|(_, row)| row.outline.live && row.state.spec.guest == spec.guest);
            if let Some((other, _)) = other {
                return Err(JournalError::NameTaken { guest: spec.guest.clone(), job: other.clone() });
            }
            let state = State::created(&job.created).unwrap();
            let row = Row {
                events: vec![job.created.clone()],
                outline: state.outline(),
                state,
                fence: 0,
                held_until: None,
                leases: BTreeMap::new(),
                companion: None,
                request: None,
            };
            rows.insert(job.id.clone(), row);
        }
        drop(rows);
        jobs.iter().for_each(|job| self.tell(&job.id));
        Ok(())
    }

    async fn claim(&self, claimant: &Claimant) -> Result<Vec<Claimed>, JournalError> {
        let now = Instant::now();
        let mut rows = self.rows();
        let needs = |row: &Row| {
            let begun = row.outline.open && row.outline.phase != Phase::Queued;
            let asked = row.request.is_some() && !row.tries_again();
            row.is_free(now, claimant.grace) && (begun || asked)
        };
        let begun: Vec<String> = rows
            .iter()
            .filter(|(_, row)| needs(row))
            .map(|(job, _)| job.clone())
            .take(claimant.room)
            .collect();
        let mut claimed: Vec<Claimed> = Vec::new();
        for job in begun {
            claimed.extend(rows.get_mut(&job).map(|row| row.take(&job, claimant, now)));
        }
        let (waiting, taken) = waiting_and_taken(&rows, claimant, now);
        for job in choose(&waiting, &taken, &claimant.limits, claimant.room.saturating_sub(claimed.len())) {
            claimed.extend(rows.get_mut(&job).map(|row| row.take(&job, claimant, now)));
        }
        Ok(claimed)
    }

    async fn append(
        &self,
        lease: &Lease,
        recorded: &Recorded,
        outline: &Outline,
    ) -> Result<(), JournalError> {
        let mut rows = self.rows();
        let row = rows.get_mut(&lease.job).ok_or(JournalError::NoSuchJob { job: lease.job.clone() })?;
        if row.fence != lease.fence || row.events.len() as u64 != recorded.seq {
            return Err(JournalError::Fenced { job: lease.job.clone() });
        }
        row.state.apply(recorded).unwrap();
        assert_eq!(row.state.outline(), *outline, "the outline is not that of the journal");
        row.events.push(recorded.clone());
        row.outline = outline.clone();
        drop(rows);
        self.tell(&lease.job);
        Ok(())
    }

    async fn renew(&self, leases: &[Lease], ttl: Duration) -> Result<Vec<String>, JournalError> {
        let mut rows = self.rows();
        let mut lost = Vec::new();
        for lease in leases {
            match rows.get_mut(&lease.job).filter(|row| row.fence == lease.fence) {
                Some(row) => row.hold(Instant::now() + ttl),
                None => lost.push(lease.job.clone()),
            }
        }
        Ok(lost)
    }

    async fn release(&self, leases: &[Lease]) -> Result<(), JournalError> {
        for lease in leases {
            if let Some(row) = self.rows().get_mut(&lease.job).filter(|row| row.fence == lease.fence) {
                row.hold(Instant::now());
                row.held_until = None;
            }
            self.tell(&lease.job);
        }
        Ok(())
    }

    async fn ask(&self, job: &str, request: &Request) -> Result<(), JournalError> {
        let missing = || JournalError::NoSuchJob { job: job.to_owned() };
        self.rows().get_mut(job).ok_or_else(missing)?.request = Some(request.clone());
        self.tell(job);
        Ok(())
    }

    async fn request(&self, job: &str) -> Result<Option<Request>, JournalError> {
        Ok(self.rows().get(job).and_then(|row| row.request.clone()))
    }

    async fn settle_request(&self, lease: &Lease, request: &Request) -> Result<(), JournalError> {
        let mut rows = self.rows();
        let row = rows.get_mut(&lease.job).filter(|row| row.fence == lease.fence);
        let row = row.ok_or(JournalError::Fenced { job: lease.job.clone() })?;
        row.request.take_if(|open| open == request);
        drop(rows);
        self.tell(&lease.job);
        Ok(())
    }

    async fn events(&self, job: &str) -> Result<Vec<Recorded>, JournalError> {
        Ok(self.rows().get(job).map(|row| row.events.clone()).unwrap_or_default())
    }

    fn changes(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }
}

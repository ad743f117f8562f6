//! Any store, made to fail: at the nth append, or like the weather.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::time::Duration;

use async_trait::async_trait;
use firstlight::job::{
    Change, Claimant, Claimed, JobStore, JournalError, Lease, NewJob, Outline, Recorded, Request,
};
use tokio::sync::{broadcast, watch};

use super::memory::MemoryStore;

/// Longer than any lease and its grace.
const FROZEN: Duration = Duration::from_secs(60);

/// What happens at an append; they count from 1 in each [`Brittle`]'s life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Break {
    /// The process dies; the event is not durable.
    DieBefore(u64),
    /// The process dies; the event is durable.
    DieAfter(u64),
    /// Refused without writing, this often.
    Refuse(u64, u32),
    /// Written, and the caller hears of an error.
    LoseReply(u64),
    /// The lease is lost just before (needs a [`MemoryStore`]).
    Steal(u64),
    /// Written; then the whole process stands still, and another companion has had the job before it goes on (needs a
    /// [`MemoryStore`] and paused time).
    Freeze(u64),
}

/// How a process dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Death {
    /// Every call hangs from then on; the test drops the runner after [`Brittle::died`].
    Hang,
    /// SIGKILL to this very process.
    Kill,
}

/// What the store takes now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weather {
    Fine,
    /// Reads are answered, writes are refused.
    Full,
    /// Nothing is answered but errors.
    Gone,
    /// Nothing is answered at all.
    Silent,
}

/// See the module.
#[derive(Debug)]
pub struct Brittle {
    inner: Arc<dyn JobStore>,
    memory: Option<Arc<MemoryStore>>,
    breaks: Mutex<Vec<Break>>,
    death: Death,
    appends: AtomicU64,
    calls: AtomicU64,
    dead: AtomicBool,
    died: watch::Sender<bool>,
    weather: Mutex<Weather>,
}

impl Brittle {
    pub fn over(memory: &Arc<MemoryStore>, breaks: &[Break]) -> Arc<Self> {
        let inner: Arc<dyn JobStore> = Arc::clone(memory) as Arc<dyn JobStore>;
        Arc::new(Self { memory: Some(Arc::clone(memory)), ..Self::new(inner, breaks, Death::Hang) })
    }

    pub fn over_any(inner: Arc<dyn JobStore>, breaks: &[Break], death: Death) -> Arc<Self> {
        Arc::new(Self::new(inner, breaks, death))
    }

    fn new(inner: Arc<dyn JobStore>, breaks: &[Break], death: Death) -> Self {
        Self {
            inner,
            memory: None,
            breaks: Mutex::new(breaks.to_vec()),
            death,
            appends: AtomicU64::new(0),
            calls: AtomicU64::new(0),
            dead: AtomicBool::new(false),
            died: watch::Sender::new(false),
            weather: Mutex::new(Weather::Fine),
        }
    }

    /// Ends when the process has died, if it ever does.
    pub async fn died(&self) {
        let _ = self.died.subscribe().wait_for(|died| *died).await;
    }

    pub fn is_dead(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }

    /// Appends that were asked for.
    pub fn appends(&self) -> u64 {
        self.appends.load(Ordering::SeqCst)
    }

    /// Calls of any kind.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    pub fn set_weather(&self, weather: Weather) {
        *self.weather.lock().unwrap() = weather;
    }

    async fn die(&self) {
        if self.death == Death::Kill {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::this(), nix::sys::signal::Signal::SIGKILL);
        }
        self.dead.store(true, Ordering::SeqCst);
        self.died.send_replace(true);
        std::future::pending::<()>().await;
    }

    /// Before any call.
    async fn weather(&self, job: &str, writes: bool) -> Result<(), JournalError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        if self.is_dead() {
            std::future::pending::<()>().await;
        }
        let weather = *self.weather.lock().unwrap();
        match weather {
            Weather::Fine => Ok(()),
            Weather::Full if !writes => Ok(()),
            Weather::Full => Err(refused(job, "the disk is full")),
            Weather::Gone => Err(refused(job, "nobody is there")),
            Weather::Silent => {
                // As a connection does that nobody answers.
                tokio::time::sleep(Duration::from_secs(30)).await;
                Err(refused(job, "no answer"))
            }
        }
    }

    fn breaks_at(&self, number: u64) -> Vec<Break> {
        let breaks = self.breaks.lock().unwrap();
        let at = |one: &&Break| match **one {
            Break::DieBefore(at)
            | Break::DieAfter(at)
            | Break::LoseReply(at)
            | Break::Steal(at)
            | Break::Freeze(at) => at == number,
            Break::Refuse(from, times) => (from..from.saturating_add(u64::from(times))).contains(&number),
        };
        breaks.iter().filter(at).copied().collect()
    }
}

fn refused(job: &str, why: &str) -> JournalError {
    JournalError::Store { job: job.to_owned(), source: why.to_owned().into() }
}

/// As a process that is stopped, or a machine that sleeps: time goes on, and nothing of this runtime has run when it
/// returns.
fn stand_still() {
    let later = pin!(tokio::time::advance(FROZEN));
    // The first poll moves the clock; those after it would let others run.
    let _ = later.poll(&mut Context::from_waker(Waker::noop()));
}

#[async_trait]
impl JobStore for Brittle {
    async fn create(&self, jobs: &[NewJob]) -> Result<(), JournalError> {
        self.weather("new", true).await?;
        self.inner.create(jobs).await
    }

    async fn claim(&self, claimant: &Claimant) -> Result<Vec<Claimed>, JournalError> {
        self.weather("any", true).await?;
        self.inner.claim(claimant).await
    }

    async fn append(
        &self,
        lease: &Lease,
        recorded: &Recorded,
        outline: &Outline,
    ) -> Result<(), JournalError> {
        self.weather(&lease.job, true).await?;
        let breaks = self.breaks_at(self.appends.fetch_add(1, Ordering::SeqCst) + 1);
        for one in &breaks {
            match one {
                Break::DieBefore(_) => self.die().await,
                Break::Refuse(..) => return Err(refused(&lease.job, "the disk is full")),
                Break::Steal(_) => self.memory.iter().for_each(|memory| memory.steal(&lease.job)),
                Break::DieAfter(_) | Break::LoseReply(_) | Break::Freeze(_) => {}
            }
        }
        self.inner.append(lease, recorded, outline).await?;
        for one in &breaks {
            match one {
                Break::DieAfter(_) => self.die().await,
                Break::LoseReply(_) => return Err(refused(&lease.job, "the reply was lost")),
                Break::Freeze(_) => {
                    stand_still();
                    self.memory.iter().for_each(|memory| memory.steal(&lease.job));
                }
                _ => {}
            }
        }
        Ok(())
    }

    async fn renew(&self, leases: &[Lease], ttl: Duration) -> Result<Vec<String>, JournalError> {
        self.weather("all", true).await?;
        self.inner.renew(leases, ttl).await
    }

    async fn release(&self, leases: &[Lease]) -> Result<(), JournalError> {
        self.weather("all", true).await?;
        self.inner.release(leases).await
    }

    async fn ask(&self, job: &str, request: &Request) -> Result<(), JournalError> {
        self.weather(job, true).await?;
        self.inner.ask(job, request).await
    }

    async fn request(&self, job: &str) -> Result<Option<Request>, JournalError> {
        self.weather(job, false).await?;
        self.inner.request(job).await
    }

    async fn settle_request(&self, lease: &Lease, request: &Request) -> Result<(), JournalError> {
        self.weather(&lease.job, true).await?;
        self.inner.settle_request(lease, request).await
    }

    async fn events(&self, job: &str) -> Result<Vec<Recorded>, JournalError> {
        self.weather(job, false).await?;
        self.inner.events(job).await
    }

    fn changes(&self) -> broadcast::Receiver<Change> {
        self.inner.changes()
    }
}

//! What the engine asks of a store: journals, leases, requests and wake-ups. The store itself is elsewhere.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

use super::event::Recorded;
use super::fold::Outline;
use super::queue::Limits;

/// The right to write to a job. Every write names it; a number that was overtaken writes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Lease {
    pub job: String,
    /// Grows with each claim of the job.
    pub fence: u64,
}

/// Who claims, and how much.
#[derive(Debug, Clone)]
pub struct Claimant {
    /// Of one life of one companion: a new process has a new one.
    pub companion: String,
    /// How many jobs it can take now.
    pub room: usize,
    pub limits: Limits,
    /// How long a lease holds without being renewed.
    pub lease: Duration,
    /// How long after a lease's end another may take the job: the longest time that a request may be under way.
    pub grace: Duration,
}

/// A job that was claimed, with its whole journal.
#[derive(Debug, Clone)]
pub struct Claimed {
    pub lease: Lease,
    /// Another companion had it before.
    pub taken_over: bool,
    pub events: Vec<Recorded>,
}

/// A job to be made, by its first event.
#[derive(Debug, Clone)]
pub struct NewJob {
    pub id: String,
    /// `seq` 0, `Created`.
    pub created: Recorded,
}

/// What people ask of a job. Kept in the store until a companion has answered it in the journal; the latest counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    pub kind: RequestKind,
    /// Who asks, for people.
    pub by: String,
    pub reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum RequestKind {
    /// Stop and undo everything; of a ready guest: destroy it.
    Unwind,
    /// Try the failed step again.
    Retry,
    /// Undo everything, then begin anew under the id given.
    Anew { successor: String },
    /// Leave everything as it is.
    Abandon,
    /// The job is gone, but something with its stamp is there: ensure again that it is absent.
    Sweep,
    /// The guest lives until then (milliseconds since the Unix epoch), or for ever. `promote`: also when it stops.
    Keep {
        until_ms: Option<u64>,
        #[serde(default)]
        promote: bool,
    },
    /// Its time is over, or nearly: do what is due, if that is still so.
    Attend,
    /// An ephemeral guest has stopped: it is gone.
    Stopped,
}

impl RequestKind {
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Unwind => "unwind",
            Self::Retry => "retry",
            Self::Anew { .. } => "anew",
            Self::Abandon => "abandon",
            Self::Sweep => "sweep",
            Self::Keep { .. } => "keep",
            Self::Attend => "attend",
            Self::Stopped => "stopped",
        }
    }

    /// Companions ask it by themselves, and again if it is still so.
    pub fn is_our_own(&self) -> bool {
        matches!(self, Self::Sweep | Self::Attend | Self::Stopped)
    }

    /// The same is asked already.
    pub fn repeats(&self, open: &Self) -> bool {
        match (self, open) {
            // The last word counts.
            (Self::Keep { .. }, Self::Keep { .. }) => self == open,
            _ => self.as_str() == open.as_str(),
        }
    }

    /// May be asked in place of what is not answered yet: what takes it back, and anything before a sweep, which comes
    /// again by itself.
    pub fn overrules(&self, open: &Self) -> bool {
        match self {
            Self::Unwind => !matches!(open, Self::Unwind | Self::Abandon),
            Self::Sweep | Self::Attend | Self::Stopped => false,
            Self::Retry | Self::Anew { .. } | Self::Abandon => open.is_our_own(),
            Self::Keep { .. } => matches!(open, Self::Keep { .. } | Self::Attend | Self::Sweep),
        }
    }
}

/// What became of a request that must not overwrite another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    Recorded,
    /// The same was asked before: this request, or the job's answer to one, counts.
    Already(RequestKind),
    /// Another request is open, and nothing was recorded.
    Pending(Request),
}

/// Something that was committed, by whichever companion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A job was made, moved on, or was asked for something.
    Job(String),
    /// A report of this claim was taken.
    Report { claim: String },
    /// A guest that proved this claim can never be taken.
    Refused { claim: String, code: String, message: String },
    /// Changes may have been missed: look at everything.
    Unknown,
}

/// Why the store did not do what was asked. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Another companion has taken the job over.
    #[error("job {job} is in other hands")]
    Fenced { job: String },
    /// A job for this guest exists and is not gone.
    #[error("guest {guest} belongs to job {job}")]
    NameTaken { guest: String, job: String },
    #[error("there is no job {job}")]
    NoSuchJob { job: String },
    /// The store refuses or is not there.
    #[error("the journal did not take what was written for job {job}")]
    Store {
        job: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl firstlight_shared::error::Code for JournalError {
    fn code(&self) -> &'static str {
        match self {
            Self::Fenced { .. } => "fenced",
            Self::NameTaken { .. } => "guest-exists",
            Self::NoSuchJob { .. } => "no-such-job",
            Self::Store { .. } => "journal",
        }
    }
}

/// Durable journals. A call returns when what it wrote survives a power cut.
#[async_trait]
pub trait JobStore: Send + Sync + Debug {
    /// Makes jobs, all or none. An id that exists with the same first event counts as made.
    ///
    /// # Errors
    /// `NameTaken`: a guest has a job that is not gone.
    async fn create(&self, jobs: &[NewJob]) -> Result<(), JournalError>;

    /// Leases up to `room` jobs that need somebody: first those that have begun or were asked for something (nobody's,
    /// or of a companion whose lease and grace are over), then, as [`super::queue::choose`] says, those that wait for a
    /// place: stopped ones that are asked to retry, and queued ones.
    async fn claim(&self, claimant: &Claimant) -> Result<Vec<Claimed>, JournalError>;

    /// Appends one event.
    ///
    /// # Errors
    /// `Fenced`, and the number must be the next one.
    async fn append(&self, lease: &Lease, recorded: &Recorded, outline: &Outline)
    -> Result<(), JournalError>;

    /// Holds the leases for another `ttl`; answers the jobs that are lost.
    async fn renew(&self, leases: &[Lease], ttl: Duration) -> Result<Vec<String>, JournalError>;

    /// Gives leases back at once. A job that has not ended may be claimed by anybody, without grace.
    async fn release(&self, leases: &[Lease]) -> Result<(), JournalError>;

    /// Records a request and wakes whoever drives the job; nobody does: it can be claimed.
    async fn ask(&self, job: &str, request: &Request) -> Result<(), JournalError>;

    /// The open request of a job.
    async fn request(&self, job: &str) -> Result<Option<Request>, JournalError>;

    /// The open request is answered (or was impossible).
    async fn settle_request(&self, lease: &Lease, request: &Request) -> Result<(), JournalError>;

    /// A job's journal; empty: there is no such job.
    async fn events(&self, job: &str) -> Result<Vec<Recorded>, JournalError>;

    /// Hears of everything that is committed from now on.
    fn changes(&self) -> broadcast::Receiver<Change>;
}

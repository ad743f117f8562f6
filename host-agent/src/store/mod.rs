//! The durable store: journals, leases, requests, claims, reports and refusals. Nothing else is remembered.
//!
//! [`Store`] is a handle; clones share it. Everything is written in plain SQL that both databases speak, through one trait,
//! `Database`, with two implementations: the embedded SQLite, and PostgreSQL, on which several companions share the work.
//! They are in `database`; what is asked of them is in the files beside it. The engine sees the half that is its own as
//! [`crate::job::JobStore`].
//!
//! When a call returns, what it wrote survives a power cut; a call that fails has written nothing (if the connection broke
//! while the server committed, nobody knows: every call can be repeated, and a repeated call is the same call).

mod admin;
mod adoptions;
mod candidates;
mod census;
mod certificates;
mod claims;
mod database;
mod duplicates;
mod error;
mod evidence;
mod export;
mod fleet;
mod goldens;
mod identities;
mod jobs;
mod leases;
mod lists;
mod lives;
mod lookups;
mod outbox;
mod prune;
mod query;
mod refusals;
mod reports;
mod requests;
mod reservations;
mod rows;
mod secrets;
mod verdicts;

use std::path::Path;
use std::sync::{Arc, RwLock};

use futures_util::future::BoxFuture;

use database::{Database, Manner, Postgres, Sqlite, Writing};

pub use adoptions::ADOPTED;
pub use candidates::{Added, Candidate};
pub use census::GuestCount;
pub use certificates::StoredCertificate;
pub use claims::StoredClaim;
pub use database::{Location, Server};
pub use duplicates::{HolderRow, SharedFilter, SharedPage, SharedRow};
pub use error::{StoreError, Trouble};
pub use evidence::{Heard, StoredEvidence};
pub use export::{Exported, ExportedReport};
pub use fleet::{FleetCount, FleetFilter, FleetPlace, FleetRow, FleetSort};
pub use goldens::GoldenRun;
pub use identities::Shared;
pub use lists::{JobFilter, JobRow};
pub use lookups::{Answered, Ground};
pub use outbox::{Message, MessageRow, Posted, Settled};
pub use prune::Pruned;
pub use refusals::Refused;
pub use reports::{ReportFilter, StoredReport};
pub use verdicts::{GoldenVerdict, LintFinding, LintLook};

/// Handle on the store; clones share it.
#[derive(Debug, Clone)]
pub struct Store {
    database: Arc<dyn Database>,
    /// Who is told of ends of jobs, as the outbox names them.
    targets: Arc<RwLock<Arc<[String]>>>,
}

impl Store {
    /// Opens or makes the embedded store, checks its integrity and brings its schema up to date.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        Ok(Self::of(Arc::new(Sqlite::open(path).await?)))
    }

    fn of(database: Arc<dyn Database>) -> Self {
        Self { database, targets: Arc::new(RwLock::new(Arc::from(Vec::new()))) }
    }

    /// Opens the store wherever it is; see [`Location`].
    pub async fn connect(location: &Location) -> Result<Self, StoreError> {
        match location {
            Location::File(path) => Self::open(path).await,
            Location::Server(server) => {
                let database = Postgres::open(server, &location.to_string()).await?;
                Ok(Self::of(Arc::new(database)))
            }
        }
    }

    /// Writes everything out and closes; the handle and its clones are of no use afterwards.
    pub async fn close(&self) {
        self.database.close().await;
    }

    /// Has `work` done in a transaction.
    async fn write<T, E, Work>(&self, work: Work) -> Result<T, E>
    where
        Work: for<'c> FnOnce(&'c mut Writing<'_>) -> BoxFuture<'c, Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        database::write(&*self.database, Manner::Usual, work).await
    }

    /// The same for what is done all the time: `work` begins its first statement with [`Writing::opening`].
    async fn write_often<T, E, Work>(&self, work: Work) -> Result<T, E>
    where
        Work: for<'c> FnOnce(&'c mut Writing<'_>) -> BoxFuture<'c, Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        database::write(&*self.database, Manner::OpensItself, work).await
    }

    /// The same for what may not wait behind everything else.
    async fn write_first<T, E, Work>(&self, work: Work) -> Result<T, E>
    where
        Work: for<'c> FnOnce(&'c mut Writing<'_>) -> BoxFuture<'c, Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        database::write(&*self.database, Manner::First, work).await
    }
}

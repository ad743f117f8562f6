//! The door to a database: the one trait that everything in the store goes through. SQLite and PostgreSQL are behind it.

mod backup;
mod dialect;
mod location;
mod notices;
mod old;
mod postgres;
mod schema;
mod sqlite;

use std::fmt::Debug;
use std::path::Path;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use sqlx::pool::PoolConnection;
use sqlx::{Any, AnyConnection};
use tokio::sync::{broadcast, oneshot};

use crate::job::Change;
use crate::store::error::StoreError;

pub(in crate::store) use dialect::Dialect;
pub use location::{Location, Server};
pub(in crate::store) use postgres::Postgres;
pub(in crate::store) use sqlite::Sqlite;

/// How many changes a slow listener may be behind before it is told that it missed some.
pub(in crate::store) const CHANGES_KEPT: usize = 8192;

#[async_trait]
pub(in crate::store) trait Database: Send + Sync + Debug {
    fn dialect(&self) -> Dialect;

    /// Runs the operation in a transaction, commits durably, tells the changes, then answers the operation.
    async fn write(&self, operation: Box<dyn Operation>);

    /// A connection to read with; it never waits for writers.
    async fn reader(&self) -> Result<PoolConnection<Any>, StoreError>;

    fn changes(&self) -> broadcast::Receiver<Change>;

    /// What the database finds wrong with itself.
    async fn check(&self) -> Result<Vec<String>, StoreError>;

    /// Writes a copy of everything to a file that does not exist yet.
    async fn backup(&self, to: &Path) -> Result<(), StoreError>;

    async fn close(&self);
}

/// A transaction at work.
pub(in crate::store) struct Writing<'c> {
    pub(in crate::store) sql: &'c mut AnyConnection,
    pub(in crate::store) dialect: Dialect,
    /// The time to bind where [`Dialect::now`] wants one; none: the server's clock.
    pub(in crate::store) now: Option<i64>,
    /// Told when the transaction is committed.
    pub(in crate::store) changes: Vec<Change>,
    /// Told soon after that. Not told if we die just then: nobody may depend on it.
    pub(in crate::store) moves: Vec<Change>,
    /// A secret was overwritten: no copy of it may stay in the log of writes.
    pub(in crate::store) wiped: bool,
    /// What is still to be said before the operation's first statement.
    pub(in crate::store) opening: &'static str,
}

impl Writing<'_> {
    /// What the operation's first statement begins with, if it said that it opens itself.
    pub(in crate::store) fn opening(&mut self) -> &'static str {
        std::mem::take(&mut self.opening)
    }
}

/// How an operation comes into the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Manner {
    Usual,
    /// Its first statement says [`Writing::opening`]: each statement is a way to another thread and back.
    OpensItself,
    /// It waits for no other: what is late is lost.
    First,
}

/// Something to be written as a whole or not at all.
pub(in crate::store) trait Operation: Send {
    fn manner(&self) -> Manner;

    /// False: it failed, and what it wrote is to be undone.
    fn run<'c>(&'c mut self, writing: &'c mut Writing<'_>) -> BoxFuture<'c, bool>;

    /// Answers whoever waits: with what `run` came to, or with why that was not committed.
    fn answer(self: Box<Self>, committed: Result<(), StoreError>);
}

/// An operation that is a function, and the way back to its caller.
struct Pending<Work, T, E> {
    manner: Manner,
    work: Option<Work>,
    result: Option<Result<T, E>>,
    answer: oneshot::Sender<Result<T, E>>,
}

impl<Work, T, E> Operation for Pending<Work, T, E>
where
    Work: for<'c> FnOnce(&'c mut Writing<'_>) -> BoxFuture<'c, Result<T, E>> + Send,
    T: Send,
    E: From<StoreError> + Send,
{
    fn manner(&self) -> Manner {
        self.manner
    }

    fn run<'c>(&'c mut self, writing: &'c mut Writing<'_>) -> BoxFuture<'c, bool> {
        Box::pin(async move {
            if let Some(work) = self.work.take() {
                self.result = Some(work(writing).await);
            }
            matches!(self.result, Some(Ok(_)))
        })
    }

    fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
        let result = match (committed, self.result) {
            // What it failed of itself says more than that nothing was committed.
            (_, Some(Err(error))) => Err(error),
            (Ok(()), Some(Ok(value))) => Ok(value),
            (Err(error), _) => Err(error.into()),
            (Ok(()), None) => Err(StoreError::Closed.into()),
        };
        // Whoever asked may be gone; what was written stays.
        let _ = self.answer.send(result);
    }
}

/// Has `work` done in a transaction of `database`.
pub(in crate::store) async fn write<T, E, Work>(
    database: &dyn Database,
    manner: Manner,
    work: Work,
) -> Result<T, E>
where
    Work: for<'c> FnOnce(&'c mut Writing<'_>) -> BoxFuture<'c, Result<T, E>> + Send + 'static,
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
{
    let (answer, answered) = oneshot::channel();
    database.write(Box::new(Pending { manner, work: Some(work), result: None, answer })).await;
    answered.await.unwrap_or_else(|_| Err(StoreError::Closed.into()))
}

//! The durable store: embedded SQLite. Journals, claims, reports and refusals; nothing else is remembered.
//!
//! WAL with `synchronous=FULL`: when a call returns, the row survives a power cut. One writer connection, so that
//! rows are written in the order of the calls.

mod claims;
mod journal;
mod reports;

use std::path::Path;

use firstlight_shared::error::Code;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};

pub use claims::StoredClaim;
pub use journal::StoredJob;
pub use reports::{Refused, StoredReport};

/// Each entry is applied once, in order; `PRAGMA user_version` counts them. Never change one that was released.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE jobs (id TEXT PRIMARY KEY, guest TEXT NOT NULL, created_at_ms INTEGER NOT NULL) STRICT;
    CREATE TABLE events (
        job TEXT NOT NULL REFERENCES jobs(id), seq INTEGER NOT NULL, at_ms INTEGER NOT NULL, body TEXT NOT NULL,
        PRIMARY KEY (job, seq)) STRICT, WITHOUT ROWID;
    CREATE TABLE claims (
        id TEXT PRIMARY KEY, job TEXT NOT NULL UNIQUE, guest TEXT NOT NULL, secret BLOB NOT NULL,
        expired INTEGER NOT NULL DEFAULT 0) STRICT;
    CREATE TABLE reports (
        sha256 TEXT PRIMARY KEY, claim_id TEXT NOT NULL UNIQUE, job TEXT NOT NULL, guest TEXT NOT NULL,
        received_at_ms INTEGER NOT NULL, source TEXT NOT NULL, trust TEXT NOT NULL, envelope TEXT NOT NULL,
        ack TEXT NOT NULL) STRICT;
    CREATE INDEX reports_by_job ON reports(job);
    CREATE TABLE host_keys (
        fingerprint TEXT NOT NULL, job TEXT NOT NULL, guest TEXT NOT NULL, retired INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (fingerprint, job)) STRICT;
    CREATE TABLE refusals (
        id INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, source TEXT NOT NULL, code TEXT NOT NULL,
        message TEXT NOT NULL, claim_id TEXT, guest TEXT, job TEXT, sha256 TEXT) STRICT;
"];

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the store {path} cannot be opened")]
    Open {
        path: String,
        #[source]
        source: sqlx::Error,
    },
    #[error("the store {path} is damaged: {what}")]
    Damaged { path: String, what: String },
    #[error("the store {path} was written by a newer firstlight (schema {found}, known {known})")]
    Newer { path: String, found: i64, known: usize },
    #[error("the store did not {action}")]
    Query {
        action: &'static str,
        #[source]
        source: sqlx::Error,
    },
    #[error("the store holds a row that cannot be read: {what}")]
    Row {
        what: &'static str,
        #[source]
        source: serde_json::Error,
    },
}

impl Code for StoreError {
    fn code(&self) -> &'static str {
        match self {
            Self::Open { .. } => "store-open",
            Self::Damaged { .. } | Self::Row { .. } => "store-damaged",
            Self::Newer { .. } => "store-newer",
            Self::Query { .. } => "store-query",
        }
    }
}

/// Handle on the store; clones share it.
#[derive(Debug, Clone)]
pub struct Store {
    pool: SqlitePool,
}

impl Store {
    /// Opens or makes the store, checks its integrity and brings its schema up to date.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let shown = path.display().to_string();
        let failed = |source| StoreError::Open { path: shown.clone(), source };
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            // Wiped secrets are overwritten, not only unlinked.
            .pragma("secure_delete", "ON")
            .foreign_keys(true);
        let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await.map_err(failed)?;

        let verdict: String =
            sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(&pool).await.map_err(failed)?;
        if verdict != "ok" {
            return Err(StoreError::Damaged { path: shown, what: verdict });
        }
        let found: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&pool).await.map_err(failed)?;
        let applied = usize::try_from(found).unwrap_or(usize::MAX);
        if applied > MIGRATIONS.len() {
            return Err(StoreError::Newer { path: shown, found, known: MIGRATIONS.len() });
        }
        for (index, migration) in MIGRATIONS.iter().enumerate().skip(applied) {
            let script = format!("BEGIN IMMEDIATE; {migration} PRAGMA user_version = {}; COMMIT;", index + 1);
            sqlx::raw_sql(sqlx::AssertSqlSafe(script)).execute(&pool).await.map_err(failed)?;
        }
        Ok(Self { pool })
    }

    /// Writes everything out and closes; the handle is of no use afterwards.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

fn failed(action: &'static str) -> impl Fn(sqlx::Error) -> StoreError {
    move |source| StoreError::Query { action, source }
}

/// SQLite knows signed integers only. Times and counts fit.
fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

#[cfg(test)]
mod tests;

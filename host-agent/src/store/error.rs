//! Why the store did not do what was asked, told apart by what people can do about it.

use std::sync::Arc;

use firstlight_shared::error::Code;

/// Clones share their cause: one failed commit fails everything that was in it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    #[error("the store's address is not usable: {what}")]
    Address { what: String },
    #[error("the store {store} cannot be opened")]
    Open {
        store: String,
        trouble: Trouble,
        #[source]
        source: Arc<sqlx::Error>,
    },
    #[error("the store {store} is damaged: {what}")]
    Damaged { store: String, what: String },
    #[error("the store {store} was written by a newer firstlight (schema {found}, known {known})")]
    Newer { store: String, found: i64, known: usize },
    #[error("the store did not {action}")]
    Query {
        action: &'static str,
        trouble: Trouble,
        #[source]
        source: Arc<sqlx::Error>,
    },
    #[error("the store holds a row that cannot be read: {what}")]
    Row {
        what: &'static str,
        #[source]
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    #[error("event {seq} of job {job} is not the next one")]
    Sequence { job: String, seq: u64 },
    /// A file beside the store: a backup or an export.
    #[error("{path} cannot be written")]
    File {
        path: String,
        #[source]
        source: Arc<std::io::Error>,
    },
    #[error("a PostgreSQL store is backed up by its own tools: {command}")]
    BackUpThere { command: String },
    #[error("the store is closed")]
    Closed,
}

/// What kind of trouble a database is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// No space is left.
    Full,
    /// It may be read only.
    ReadOnly,
    /// The server or the file is not there, or somebody else holds it; it may come back.
    Away,
    /// It does not let us in.
    Denied,
    /// What it holds is broken.
    Damaged,
    /// Anything else: most likely a mistake of ours.
    Other,
}

impl Trouble {
    pub(super) fn of(error: &sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(database) => {
                let code = database.code().unwrap_or_default();
                match code.len() {
                    // SQLSTATE has five characters; SQLite's result codes are smaller numbers.
                    5 => Self::of_sqlstate(&code),
                    _ => Self::of_sqlite(code.parse().unwrap_or(0)),
                }
            }
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Self::Away,
            _ => Self::Other,
        }
    }

    fn of_file(error: &std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Self::Full,
            std::io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly,
            std::io::ErrorKind::PermissionDenied => Self::Denied,
            _ => Self::Other,
        }
    }

    /// The low byte is the primary result code.
    fn of_sqlite(code: i32) -> Self {
        match code & 0xff {
            5 | 6 | 10 | 14 => Self::Away,
            8 => Self::ReadOnly,
            11 | 26 => Self::Damaged,
            13 => Self::Full,
            3 | 23 => Self::Denied,
            _ => Self::Other,
        }
    }

    fn of_sqlstate(code: &str) -> Self {
        match code {
            "53100" => Self::Full,
            "25006" => Self::ReadOnly,
            "42501" | "3D000" => Self::Denied,
            // Deadlocks and failed serialisations pass, like a server that is shutting down.
            "25P03" | "40001" | "40P01" | "55P03" | "57P01" | "57P02" | "57P03" => Self::Away,
            _ => match &code[..2] {
                "08" | "53" | "57" | "58" => Self::Away,
                "28" => Self::Denied,
                "XX" => Self::Damaged,
                _ => Self::Other,
            },
        }
    }

    fn hint(self) -> Option<&'static str> {
        match self {
            Self::Full => Some(
                "make space where the store is; nothing that was acknowledged is lost, and work goes on by itself",
            ),
            Self::ReadOnly => Some(
                "the store's folder or database is read-only: remount it, or give the companion's user the right to write",
            ),
            Self::Away => Some(
                "is the database server up, and the state folder there? work goes on by itself when it is back",
            ),
            Self::Denied => {
                Some("check the user, its password (`[store] password`) and its rights on the database")
            }
            Self::Damaged => Some(
                "stop the companion, keep a copy of the damaged store, and put a backup in its place (`firstlight store backup` made it)",
            ),
            Self::Other => None,
        }
    }
}

impl StoreError {
    pub(super) fn row(what: &'static str, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Row { what, source: Arc::new(source) }
    }

    pub(super) fn file(path: &std::path::Path, source: std::io::Error) -> Self {
        Self::File { path: path.display().to_string(), source: Arc::new(source) }
    }

    pub(super) fn open(store: &str, source: sqlx::Error) -> Self {
        Self::Open { store: store.to_owned(), trouble: Trouble::of(&source), source: Arc::new(source) }
    }

    /// It may pass without anybody changing the store's contents.
    pub fn trouble(&self) -> Trouble {
        match self {
            Self::Open { trouble, .. } | Self::Query { trouble, .. } => *trouble,
            Self::Damaged { .. } | Self::Row { .. } => Trouble::Damaged,
            Self::Closed => Trouble::Away,
            Self::File { source, .. } => Trouble::of_file(source),
            Self::Address { .. } | Self::Newer { .. } | Self::Sequence { .. } | Self::BackUpThere { .. } => {
                Trouble::Other
            }
        }
    }

    /// What people can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Newer { .. } => {
                Some("run the newer firstlight, or put back the backup that was made before the upgrade")
            }
            Self::Address { .. } => {
                Some("a path, `sqlite:///path/to/firstlight.db`, or `postgres://user@host/database`")
            }
            Self::File { source, .. } if source.kind() == std::io::ErrorKind::AlreadyExists => {
                Some("nothing is overwritten: name a file that does not exist")
            }
            other => other.trouble().hint(),
        }
    }
}

impl Code for StoreError {
    fn code(&self) -> &'static str {
        match (self, self.trouble()) {
            (Self::Address { .. }, _) => "store-address",
            (Self::Newer { .. }, _) => "store-newer",
            (Self::Sequence { .. }, _) => "store-sequence",
            (Self::Closed, _) => "store-closed",
            (Self::File { .. }, _) => "store-file",
            (Self::BackUpThere { .. }, _) => "store-backup-there",
            (_, Trouble::Full) => "store-full",
            (_, Trouble::ReadOnly) => "store-read-only",
            (_, Trouble::Away) => "store-away",
            (_, Trouble::Denied) => "store-denied",
            (_, Trouble::Damaged) => "store-damaged",
            (Self::Open { .. }, Trouble::Other) => "store-open",
            (_, Trouble::Other) => "store-query",
        }
    }
}

pub(super) fn failed(action: &'static str) -> impl Fn(sqlx::Error) -> StoreError {
    move |source| StoreError::Query { action, trouble: Trouble::of(&source), source: Arc::new(source) }
}

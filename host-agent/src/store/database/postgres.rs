//! The store on a PostgreSQL server, for several companions. Time is the server's; what one commits, the others are told.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::pool::PoolConnection;
use sqlx::{Any, AnyPool, ConnectOptions, Executor};
use tokio::sync::broadcast;
use tokio::task::JoinHandle;

use super::dialect::Dialect;
use super::location::Server;
use super::notices::{self, Notices, Teller};
use super::schema;
use super::{CHANGES_KEPT, Database, Manner, Operation, Writing};
use crate::job::Change;
use crate::store::error::{StoreError, failed};

const CONNECTIONS: u32 = 12;
/// Beside them, for what waits for no other: a second one while the first hangs.
const FIRST: u32 = 2;
/// How long to wait for a connection, and how long for an operation: a server that does not answer is away.
const CONNECT: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(30);

/// Whatever the server's defaults are: what is acknowledged survives its crash, and nobody waits long for a lock.
///
/// A companion that stands still in the middle of a transaction (paused, swapped out, its machine gone) would hold its
/// locks for ever, and with them everybody else's claims: the server ends such a session.
const SESSION: &str = "SET synchronous_commit = on; SET lock_timeout = '10s'; \
                       SET idle_in_transaction_session_timeout = '5s'";

pub(in crate::store) struct Postgres {
    shown: String,
    hands: Hands,
    /// They hear what others tell, and tell others.
    messengers: [JoinHandle<()>; 2],
}

/// What an operation needs, wherever it runs.
#[derive(Clone)]
struct Hands {
    pool: AnyPool,
    /// For [`Manner::First`].
    first: AnyPool,
    changes: broadcast::Sender<Change>,
    /// To [`Teller`].
    moves: broadcast::Sender<Change>,
    /// Tells our own notices from the others'.
    origin: Arc<str>,
}

/// Without the pool, whose options hold the password.
impl fmt::Debug for Postgres {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Postgres").field("shown", &self.shown).finish_non_exhaustive()
    }
}

impl Postgres {
    pub(in crate::store) async fn open(server: &Server, shown: &str) -> Result<Self, StoreError> {
        sqlx::any::install_default_drivers();
        let address = server.full_address();
        let opening = |source| StoreError::open(shown, source);
        let options: AnyConnectOptions = address.parse().map_err(opening)?;
        let options = options.disable_statement_logging();
        let pool = connections(CONNECTIONS).connect_with(options.clone()).await.map_err(opening)?;
        let first = connections(FIRST).connect_lazy_with(options);
        let mut connection = pool.acquire().await.map_err(opening)?;
        schema::migrate_shared(&mut connection, shown).await?;
        drop(connection);

        let changes = broadcast::Sender::new(CHANGES_KEPT);
        let origin: Arc<str> = format!("{:016x}", rand::random::<u64>()).into();
        let notices = Notices::listen(&address, &origin, changes.clone()).await.map_err(opening)?;
        let moves = broadcast::Sender::new(CHANGES_KEPT);
        let teller = Teller::new(&address, &origin, moves.subscribe()).map_err(opening)?;
        Ok(Self {
            shown: shown.to_owned(),
            hands: Hands { pool, first, changes, moves, origin },
            messengers: [tokio::spawn(notices.pass_on()), tokio::spawn(teller.tell())],
        })
    }
}

fn connections(most: u32) -> AnyPoolOptions {
    AnyPoolOptions::new().max_connections(most).acquire_timeout(CONNECT).after_connect(|connection, _| {
        Box::pin(async move {
            connection.execute(SESSION).await?;
            Ok(())
        })
    })
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.messengers.iter().for_each(JoinHandle::abort);
    }
}

#[async_trait]
impl Database for Postgres {
    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    /// In a task of its own: whoever asked may give up, the transaction ends well.
    async fn write(&self, mut operation: Box<dyn Operation>) {
        let hands = self.hands.clone();
        let written = tokio::spawn(async move {
            let committed = match tokio::time::timeout(PATIENCE, hands.commit(&mut *operation)).await {
                Ok(committed) => committed,
                Err(_) => Err(failed("finish in time")(sqlx::Error::PoolTimedOut)),
            };
            operation.answer(committed);
        });
        let _ = written.await;
    }

    async fn reader(&self) -> Result<PoolConnection<Any>, StoreError> {
        self.hands.pool.acquire().await.map_err(failed("open a connection to read"))
    }

    fn changes(&self) -> broadcast::Receiver<Change> {
        self.hands.changes.subscribe()
    }

    /// The server checks its pages when it reads them.
    async fn check(&self) -> Result<Vec<String>, StoreError> {
        Ok(Vec::new())
    }

    async fn backup(&self, to: &Path) -> Result<(), StoreError> {
        let quoted = |text: &str| format!("'{}'", text.replace('\'', "'\\''"));
        let command = format!(
            "pg_dump --format=custom --file={} --dbname={}",
            quoted(&to.display().to_string()),
            quoted(&self.shown)
        );
        Err(StoreError::BackUpThere { command })
    }

    async fn close(&self) {
        self.messengers.iter().for_each(JoinHandle::abort);
        self.hands.first.close().await;
        self.hands.pool.close().await;
    }
}

impl Hands {
    async fn commit(&self, operation: &mut dyn Operation) -> Result<(), StoreError> {
        // Rolled back if it is dropped in the middle.
        let pool = if operation.manner() == Manner::First { &self.first } else { &self.pool };
        let mut transaction = pool.begin().await.map_err(failed("begin to write"))?;
        let mut writing = Writing {
            sql: &mut transaction,
            dialect: Dialect::Postgres,
            now: None,
            changes: Vec::new(),
            moves: Vec::new(),
            wiped: false,
            opening: "",
        };
        if !operation.run(&mut writing).await {
            return transaction.rollback().await.map_err(failed("take back what it wrote"));
        }
        let (changes, moves) = (writing.changes, writing.moves);
        notices::tell(&mut transaction, &self.origin, &changes).await?;
        transaction.commit().await.map_err(failed("make its rows durable"))?;
        for change in changes {
            // Nobody listens: fine.
            let _ = self.changes.send(change);
        }
        for moved in moves {
            let _ = self.changes.send(moved.clone());
            let _ = self.moves.send(moved);
        }
        Ok(())
    }
}

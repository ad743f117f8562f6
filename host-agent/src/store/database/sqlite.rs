//! The embedded store: WAL with `synchronous=FULL`. When a call returns, its rows survive a power cut.
//!
//! One connection writes; what many callers want at once goes into one commit, each in a savepoint of its own. Others read.
//! Only one companion lives on the file (the lock of the state folder says so), so its leases end with its life, and time
//! is counted from the opening: a clock that jumps ends no lease.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::pool::PoolConnection;
use sqlx::{Any, AnyConnection, AnyPool, ConnectOptions, Connection, Executor};
use tokio::sync::{Mutex, broadcast, mpsc, oneshot};

use super::dialect::Dialect;
use super::location::encoded;
use super::{CHANGES_KEPT, Database, Manner, Operation, Writing};
use super::{backup, schema};
use crate::job::Change;
use crate::store::error::{StoreError, failed};

/// How many operations go into one commit at most.
const TOGETHER: usize = 128;
/// How long to wait for more of them before a commit, a fraction of what the commit takes.
const MOMENT: Duration = Duration::from_micros(100);
const READERS: u32 = 4;
/// A wiped secret is out of the log of writes at once if none was wiped just before; otherwise so much later, with all the
/// others: each time, the whole log is folded into the file.
const WIPES: Duration = Duration::from_millis(250);
/// So often, nobody waits for who reads meanwhile.
const HASTY_WIPES: u32 = 20;

/// One operation of a transaction ends, the next begins: a savepoint for each.
const BEGIN: &str = "BEGIN IMMEDIATE; SAVEPOINT operation; ";
const NEXT: &str = "RELEASE operation; SAVEPOINT operation; ";

/// Wiped secrets are overwritten, not only unlinked.
const PRAGMAS: &str = "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
                       PRAGMA foreign_keys = ON; PRAGMA secure_delete = ON;";

/// The usual 2 MB of pages are read again and again once there are 100,000 jobs.
const READING: &str = "PRAGMA busy_timeout = 5000; PRAGMA query_only = ON; PRAGMA cache_size = -8192;";

#[derive(Debug)]
pub(in crate::store) struct Sqlite {
    options: AnyConnectOptions,
    readers: AnyPool,
    queue: mpsc::Sender<Box<dyn Operation>>,
    closing: Mutex<Option<Closing>>,
    changes: broadcast::Sender<Change>,
}

#[derive(Debug)]
struct Closing {
    stop: oneshot::Sender<()>,
    ended: oneshot::Receiver<()>,
}

impl Sqlite {
    pub(in crate::store) async fn open(path: &Path) -> Result<Self, StoreError> {
        sqlx::any::install_default_drivers();
        let shown = path.display().to_string();
        let failed = |source| StoreError::open(&shown, source);
        let options = options(path).map_err(failed)?;
        let mut writer = options.connect().await.map_err(failed)?;
        writer.execute(PRAGMAS).await.map_err(failed)?;
        check(&mut writer, &shown).await?;
        schema::migrate(&mut writer, Dialect::Sqlite, &shown).await?;
        schema::end_all_leases(&mut writer).await.map_err(failed)?;
        // Whatever was wiped just before a companion was killed.
        writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").await.map_err(failed)?;
        let readers = AnyPoolOptions::new()
            .max_connections(READERS)
            // A file does not go away as a server does.
            .test_before_acquire(false)
            .after_connect(|connection, _| {
                Box::pin(async move {
                    connection.execute(READING).await?;
                    Ok(())
                })
            })
            .connect_lazy_with(options.clone());

        let changes = broadcast::Sender::new(CHANGES_KEPT);
        let (queue, queued) = mpsc::channel(4 * TOGETHER);
        let (stop, stopped) = oneshot::channel();
        let line = Line {
            connection: writer,
            queued,
            changes: changes.clone(),
            opened: Instant::now(),
            unwiped: false,
            wiped_at: None,
            hasty: 0,
        };
        let ended = line.begin(stopped).map_err(|error| StoreError::file(path, error))?;
        Ok(Self { options, readers, queue, closing: Mutex::new(Some(Closing { stop, ended })), changes })
    }
}

/// The only way to name a file with any characters to a connection by address.
fn options(path: &Path) -> Result<AnyConnectOptions, sqlx::Error> {
    let folder = match path.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let path = folder.canonicalize()?.join(path.file_name().unwrap_or_default());
    let address = format!("sqlite://{}?mode=rwc", encoded(path.as_os_str().as_encoded_bytes()));
    Ok(address.parse::<AnyConnectOptions>()?.disable_statement_logging())
}

/// Looks whether the file is whole: at 100,000 jobs (1.5 GB) this takes 7 s, and the quick check 5 s.
async fn check(sql: &mut AnyConnection, shown: &str) -> Result<(), StoreError> {
    let verdict: String = sqlx::query_scalar("PRAGMA integrity_check(1)")
        .fetch_one(sql)
        .await
        .map_err(|source| StoreError::open(shown, source))?;
    match verdict.as_str() {
        "ok" => Ok(()),
        _ => Err(StoreError::Damaged { store: shown.to_owned(), what: verdict }),
    }
}

#[async_trait]
impl Database for Sqlite {
    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    async fn write(&self, operation: Box<dyn Operation>) {
        if let Err(refused) = self.queue.send(operation).await {
            refused.0.answer(Err(StoreError::Closed));
        }
    }

    async fn reader(&self) -> Result<PoolConnection<Any>, StoreError> {
        self.readers.acquire().await.map_err(failed("open a connection to read"))
    }

    fn changes(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }

    async fn check(&self) -> Result<Vec<String>, StoreError> {
        let mut reader = self.reader().await?;
        let verdicts: Vec<String> = sqlx::query_scalar("PRAGMA integrity_check(100)")
            .fetch_all(&mut *reader)
            .await
            .map_err(failed("check itself"))?;
        let astray = sqlx::query("PRAGMA foreign_key_check")
            .fetch_all(&mut *reader)
            .await
            .map_err(failed("check itself"))?;
        let mut problems: Vec<String> = verdicts.into_iter().filter(|verdict| verdict != "ok").collect();
        problems.extend((!astray.is_empty()).then(|| format!("{} rows belong to no job", astray.len())));
        Ok(problems)
    }

    async fn backup(&self, to: &Path) -> Result<(), StoreError> {
        // Of its own: those that read may not write anywhere, not even a copy.
        let mut connection = self.options.connect().await.map_err(failed("open a connection to copy"))?;
        let copied = backup::to_file(&mut connection, to).await;
        let _ = connection.close().await;
        copied
    }

    async fn close(&self) {
        if let Some(closing) = self.closing.lock().await.take() {
            let _ = closing.stop.send(());
            let _ = closing.ended.await;
        }
        self.readers.close().await;
    }
}

fn since(opened: Instant) -> i64 {
    i64::try_from(opened.elapsed().as_millis()).unwrap_or(i64::MAX)
}

/// The writer and those who wait for it.
struct Line {
    connection: AnyConnection,
    queued: mpsc::Receiver<Box<dyn Operation>>,
    changes: broadcast::Sender<Change>,
    opened: Instant,
    /// A wiped secret may still be in the log of writes.
    unwiped: bool,
    wiped_at: Option<Instant>,
    /// Wipes in a row that failed since somebody was reading.
    hasty: u32,
}

impl Line {
    /// In a thread of its own: everybody waits for the writer, so it does not wait behind their other work.
    fn begin(self, stopped: oneshot::Receiver<()>) -> std::io::Result<oneshot::Receiver<()>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let (end, ended) = oneshot::channel();
        std::thread::Builder::new().name("store".to_owned()).spawn(move || {
            runtime.block_on(self.work(stopped));
            // Nobody waits: fine.
            let _ = end.send(());
        })?;
        Ok(ended)
    }

    async fn work(mut self, mut stopped: oneshot::Receiver<()>) {
        let mut batch = Vec::with_capacity(TOGETHER);
        let mut crowd = 0;
        loop {
            let wipe = tokio::time::sleep_until(self.next_wipe().into());
            tokio::select! {
                biased;
                got = self.queued.recv_many(&mut batch, TOGETHER) => {
                    if got == 0 {
                        break;
                    }
                    self.gather(&mut batch, crowd);
                    crowd = batch.len();
                    self.commit(&mut batch).await;
                }
                () = wipe, if self.unwiped => self.wipe().await,
                _ = &mut stopped, if !self.queued.is_closed() => self.queued.close(),
            }
        }
        if self.unwiped {
            self.wipe().await;
        }
        if let Err(error) = self.connection.close().await {
            tracing::warn!(error = %error, "the store was not closed well; it mends itself at the next start");
        }
    }

    /// Whoever was answered just now may have more to write: one commit for all is cheaper than two, so they get a moment.
    /// Who is alone does not wait.
    fn gather(&mut self, batch: &mut Vec<Box<dyn Operation>>, crowd: usize) {
        if batch.len() >= crowd.min(TOGETHER) {
            return;
        }
        std::thread::sleep(MOMENT);
        while batch.len() < TOGETHER
            && let Ok(operation) = self.queued.try_recv()
        {
            batch.push(operation);
        }
    }

    /// One commit for the whole batch; every operation is answered.
    async fn commit(&mut self, batch: &mut Vec<Box<dyn Operation>>) {
        let (committed, changes, wiped) = match self.run(batch).await {
            Ok((changes, wiped)) => (Ok(()), changes, wiped),
            Err(error) => {
                // Most errors that end a batch have rolled it back already.
                let _ = self.connection.execute("ROLLBACK").await;
                (Err(error), Vec::new(), false)
            }
        };
        self.unwiped |= wiped;
        if self.unwiped && self.next_wipe() <= Instant::now() {
            self.wipe().await;
        }
        for change in changes {
            // Nobody listens: fine.
            let _ = self.changes.send(change);
        }
        for operation in batch.drain(..) {
            operation.answer(committed.clone());
        }
    }

    async fn run(&mut self, batch: &mut [Box<dyn Operation>]) -> Result<(Vec<Change>, bool), StoreError> {
        let mut writing = Writing {
            sql: &mut self.connection,
            dialect: Dialect::Sqlite,
            now: Some(since(self.opened)),
            changes: Vec::new(),
            moves: Vec::new(),
            wiped: false,
            opening: BEGIN,
        };
        for operation in batch.iter_mut() {
            if operation.manner() != Manner::OpensItself {
                let open = sqlx::query(writing.opening());
                open.execute(&mut *writing.sql).await.map_err(failed("begin to write"))?;
            }
            let told = writing.changes.len();
            let done = operation.run(&mut writing).await;
            writing.changes.append(&mut writing.moves);
            if !writing.opening.is_empty() {
                // It gave up before it wrote anything.
                continue;
            }
            writing.opening = NEXT;
            if !done {
                // Fails if the database has given up the whole transaction: then all have failed.
                let undo = sqlx::query("ROLLBACK TO operation").execute(&mut *writing.sql);
                undo.await.map_err(failed("write everything that was to be written"))?;
                writing.changes.truncate(told);
            }
        }
        let (changes, wiped, begun) = (writing.changes, writing.wiped, writing.opening != BEGIN);
        if !begun {
            return Ok((changes, wiped));
        }
        self.tell("COMMIT", "make its rows durable").await?;
        Ok((changes, wiped))
    }

    async fn tell(&mut self, statement: &'static str, action: &'static str) -> Result<(), StoreError> {
        sqlx::query(statement).execute(&mut self.connection).await.map(drop).map_err(failed(action))
    }

    fn next_wipe(&self) -> Instant {
        self.wiped_at.map_or_else(Instant::now, |wiped| wiped + WIPES)
    }

    /// The log of writes would keep a secret until it is overwritten. Nobody who writes waits for somebody who reads,
    /// unless there is always somebody who reads.
    async fn wipe(&mut self) {
        if self.hasty < HASTY_WIPES {
            let _ = self.tell("PRAGMA busy_timeout = 0", "hurry").await;
        }
        let folded: Result<i64, _> =
            sqlx::query_scalar("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&mut self.connection).await;
        let _ = self.tell("PRAGMA busy_timeout = 5000", "be patient again").await;
        self.unwiped = !matches!(folded, Ok(0));
        self.hasty = if self.unwiped { self.hasty + 1 } else { 0 };
        self.wiped_at = Some(Instant::now());
    }
}

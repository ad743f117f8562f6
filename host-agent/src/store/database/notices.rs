//! Wake-ups between companions: what one commits, the others hear of by LISTEN and NOTIFY.
//!
//! A transaction that notifies is committed alone in the whole server: the lock that orders notices is held while its rows
//! are made durable. So only what must be heard is told by the transaction itself (reports, requests, new jobs, leases given
//! back); that a job moved on is told afterwards, what gathered meanwhile at once, by a transaction that has nothing to make durable.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgListener, PgPool, PgPoolOptions};
use sqlx::{AnyConnection, ConnectOptions, Executor};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

use crate::job::Change;
use crate::store::error::{StoreError, failed};

const CHANNEL: &str = "firstlight";
/// More at once than this, and the others look at everything instead.
const TOGETHER: usize = 50;
/// Of what may be told late, so much is told at once.
const AT_ONCE: usize = 500;
/// The server takes less than 8000 bytes.
const LONGEST: usize = 7000;
/// A connection that is silent for so long is asked whether it is still one.
const SILENCE: Duration = Duration::from_secs(15);
const PATIENCE: Duration = Duration::from_secs(5);
/// Between attempts to find a server that is away.
const PAUSE: Duration = Duration::from_millis(500);

/// Tells the others, when the transaction is committed.
pub(super) async fn tell(
    sql: &mut AnyConnection,
    origin: &str,
    changes: &[Change],
) -> Result<(), StoreError> {
    let unknown = [Change::Unknown];
    let changes = if changes.len() > TOGETHER { &unknown } else { changes };
    for change in changes {
        let mut notice = written(origin, change);
        if notice.len() > LONGEST {
            notice = written(origin, &Change::Unknown);
        }
        sqlx::query("SELECT pg_notify($1, $2)")
            .bind(CHANNEL)
            .bind(notice)
            .execute(&mut *sql)
            .await
            .map_err(failed("tell the other companions"))?;
    }
    Ok(())
}

fn written(origin: &str, change: &Change) -> String {
    let words = match change {
        Change::Job(job) => vec![origin, "job", job],
        Change::Report { claim } => vec![origin, "report", claim],
        Change::Refused { claim, code, message } => vec![origin, "refused", claim, code, message],
        Change::Unknown => vec![origin, "unknown"],
    };
    serde_json::Value::from(words).to_string()
}

/// None: it is our own. What cannot be read may be anything.
fn read(origin: &str, notice: &str) -> Option<Change> {
    let words: Vec<String> = serde_json::from_str(notice).unwrap_or_default();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        [from, ..] if from == origin => None,
        [_, "job", job] => Some(Change::Job(job.to_owned())),
        [_, "report", claim] => Some(Change::Report { claim: claim.to_owned() }),
        [_, "refused", claim, code, message] => Some(Change::Refused {
            claim: claim.to_owned(),
            code: code.to_owned(),
            message: message.to_owned(),
        }),
        _ => Some(Change::Unknown),
    }
}

/// A connection that tells the others what may be told late.
pub(super) struct Teller {
    pool: PgPool,
    origin: Arc<str>,
    moves: broadcast::Receiver<Change>,
}

impl Teller {
    pub(super) fn new(
        address: &str,
        origin: &Arc<str>,
        moves: broadcast::Receiver<Change>,
    ) -> Result<Self, sqlx::Error> {
        let options = PgConnectOptions::from_str(address)?;
        let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(PATIENCE).after_connect(
            |connection, _| {
                Box::pin(async move {
                    connection.execute("SET synchronous_commit = off").await?;
                    Ok(())
                })
            },
        );
        Ok(Self {
            pool: pool.connect_lazy_with(options.disable_statement_logging()),
            origin: Arc::clone(origin),
            moves,
        })
    }

    /// Until nobody has anything to tell any more.
    pub(super) async fn tell(mut self) {
        loop {
            let first = match self.moves.recv().await {
                Ok(moved) => moved,
                Err(RecvError::Lagged(_)) => Change::Unknown,
                Err(RecvError::Closed) => return,
            };
            let gathered = self.gather(first);
            if self.say(&gathered).await {
                continue;
            }
            tracing::warn!("the other companions cannot be told that jobs moved on; trying on");
            // They look at everything then, and what comes meanwhile is among it or after it.
            while !self.say(&[Change::Unknown]).await {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// What came meanwhile as well.
    fn gather(&mut self, first: Change) -> Vec<Change> {
        let mut gathered = vec![first];
        while gathered.len() < AT_ONCE {
            match self.moves.try_recv() {
                Ok(moved) => gathered.push(moved),
                Err(TryRecvError::Lagged(_)) => gathered.push(Change::Unknown),
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        gathered
    }

    async fn say(&self, changes: &[Change]) -> bool {
        let notices: Vec<String> = changes.iter().map(|change| written(&self.origin, change)).collect();
        let said = sqlx::query("SELECT pg_notify($1, notice) FROM unnest($2::text[]) AS notice")
            .bind(CHANNEL)
            .bind(notices)
            .execute(&self.pool);
        matches!(tokio::time::timeout(PATIENCE, said).await, Ok(Ok(_)))
    }
}

/// A connection that hears what the others tell.
pub(super) struct Notices {
    options: PgConnectOptions,
    origin: Arc<str>,
    changes: broadcast::Sender<Change>,
    listener: PgListener,
}

impl Notices {
    pub(super) async fn listen(
        address: &str,
        origin: &Arc<str>,
        changes: broadcast::Sender<Change>,
    ) -> Result<Self, sqlx::Error> {
        let options = PgConnectOptions::from_str(address)?;
        let listener = connect(&options).await?;
        Ok(Self { options, origin: Arc::clone(origin), changes, listener })
    }

    /// For ever. Whenever something may have been missed, everybody is told to look at everything.
    pub(super) async fn pass_on(mut self) {
        loop {
            match tokio::time::timeout(SILENCE, self.listener.try_recv()).await {
                Ok(Ok(Some(notice))) => {
                    if let Some(change) = read(&self.origin, notice.payload()) {
                        // Nobody listens: fine.
                        let _ = self.changes.send(change);
                    }
                }
                Ok(Ok(None) | Err(_)) => self.listen_again().await,
                Err(_) => {
                    let alive = sqlx::query("SELECT 1").execute(&mut self.listener);
                    if !matches!(tokio::time::timeout(PATIENCE, alive).await, Ok(Ok(_))) {
                        self.listen_again().await;
                    }
                }
            }
        }
    }

    async fn listen_again(&mut self) {
        tracing::warn!("the store's server is away; what other companions do is not heard until it is back");
        loop {
            if let Ok(Ok(listener)) = tokio::time::timeout(PATIENCE, connect(&self.options)).await {
                self.listener = listener;
                let _ = self.changes.send(Change::Unknown);
                tracing::info!("the store's server is back");
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

async fn connect(options: &PgConnectOptions) -> Result<PgListener, sqlx::Error> {
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(PATIENCE)
        .connect_with(options.clone())
        .await?;
    let mut listener = PgListener::connect_with(&pool).await?;
    // A lost connection is seen and told, not mended silently.
    listener.eager_reconnect(false);
    listener.listen(CHANNEL).await?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_come_back_as_they_were_and_our_own_do_not() {
        let changes = [
            Change::Job("j1".into()),
            Change::Report { claim: "c1".into() },
            Change::Refused { claim: "c1".into(), code: "x".into(), message: "it's \"so\"".into() },
            Change::Unknown,
        ];
        for change in changes {
            assert_eq!(read("here", &written("there", &change)), Some(change.clone()));
            assert_eq!(read("here", &written("here", &change)), None);
        }
        for strange in ["", "x", "[]", "[\"there\"]", "[\"there\", \"job\"]", "{}"] {
            assert_eq!(read("here", strange), Some(Change::Unknown));
        }
    }
}

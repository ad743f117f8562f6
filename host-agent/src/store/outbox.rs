//! What is to be told elsewhere of a job's end: written with the event itself, kept until somebody has taken it there.
//!
//! A message is taken for a while by putting off its next attempt: of several companions one sends it, and if that one dies,
//! another sends it later. So it is told at least once, and its id says whether it was told before.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};

use super::database::Writing;
use super::error::failed;
use super::rows::{signed, text, unsigned};
use super::{Store, StoreError};
use crate::clock::now_ms;
use crate::job::{Event, Outline};

/// How a message stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Posted {
    Waiting,
    Sent,
    /// It was tried for long enough.
    GivenUp,
}

impl Posted {
    fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Sent => "sent",
            Self::GivenUp => "given-up",
        }
    }

    fn of_name(name: &str) -> Self {
        match name {
            "sent" => Self::Sent,
            "given-up" => Self::GivenUp,
            _ => Self::Waiting,
        }
    }
}

/// A message that is to be sent now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub target: String,
    pub id: String,
    /// Empty: nobody's, a test.
    pub job: String,
    /// The event in the job's journal.
    pub seq: u64,
    pub at_ms: u64,
    /// This attempt included.
    pub tries: u64,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    Sent,
    /// Again, so long from now on.
    Again {
        after: Duration,
        error: String,
    },
    GivenUp {
        error: String,
    },
    /// It is none that the target wants.
    Dropped,
}

/// A message as lists show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct MessageRow {
    pub target: String,
    pub id: String,
    pub job: String,
    /// The guest's name; none: the job is forgotten, or it is a test.
    pub guest: Option<String>,
    /// `guest.ready` and the like; none: it was not tried yet.
    pub what: Option<String>,
    pub state: Posted,
    pub at_ms: u64,
    pub tries: u64,
    /// Of one that waits.
    pub next_at_ms: u64,
    pub ended_at_ms: Option<u64>,
    /// Why it was not taken the last time.
    pub error: Option<String>,
}

/// What a job's event may have ended; which end it is, and who wants to know, is found out when it is told.
pub(super) fn may_end(event: &Event, outline: &Outline) -> bool {
    let is_later = matches!(
        event,
        Event::Kept { .. }
            | Event::DueSoon { .. }
            | Event::Swept { .. }
            | Event::SuccessorSettled { .. }
            | Event::TakenOver { .. }
    );
    outline.phase.is_final() && !is_later
}

/// Writes a message for each target beside the event.
pub(super) async fn enclose(
    writing: &mut Writing<'_>,
    targets: &[String],
    job: &str,
    seq: u64,
    at_ms: u64,
) -> Result<(), StoreError> {
    for target in targets {
        put(writing, target, &format!("{job}-{seq}"), job, seq, at_ms).await?;
    }
    Ok(())
}

async fn put(
    writing: &mut Writing<'_>,
    target: &str,
    id: &str,
    job: &str,
    seq: u64,
    at_ms: u64,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO outbox (target, id, job, seq, at_ms, state, next_at_ms) VALUES ($1, $2, $3, $4, $5, 'waiting', $6) \
         ON CONFLICT DO NOTHING",
    )
    .bind(target)
    .bind(id)
    .bind(job)
    .bind(signed(seq))
    .bind(signed(at_ms))
    .bind(signed(at_ms))
    .execute(&mut *writing.sql)
    .await
    .map_err(failed("put a message into the outbox"))?;
    Ok(())
}

impl Store {
    /// From now on every end of a job that this handle (or a clone of it) records is to be told to these targets.
    pub fn tell(&self, targets: Vec<String>) {
        *self.targets.write().unwrap_or_else(std::sync::PoisonError::into_inner) = targets.into();
    }

    /// Who is told.
    pub fn targets(&self) -> std::sync::Arc<[String]> {
        std::sync::Arc::clone(&self.targets.read().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// A message of no job.
    pub async fn put_test(&self, target: &str, id: &str) -> Result<(), StoreError> {
        let (target, id) = (target.to_owned(), id.to_owned());
        self.write(move |writing| Box::pin(async move { put(writing, &target, &id, "", 0, now_ms()).await }))
            .await
    }

    /// Takes at most `room` messages to this target that are due, the oldest first. For `hold` nobody else takes them.
    pub async fn take_messages(
        &self,
        target: &str,
        room: usize,
        hold: Duration,
    ) -> Result<Vec<Message>, StoreError> {
        let target = target.to_owned();
        self.write(move |writing| Box::pin(async move { take(writing, &target, room, hold).await })).await
    }

    /// Writes down how an attempt ended. One that took so long that somebody else has the message settles nothing.
    pub async fn settle_message(
        &self,
        message: &Message,
        what: Option<&str>,
        settled: &Settled,
    ) -> Result<(), StoreError> {
        let (message, settled) = (message.clone(), settled.clone());
        let what = what.map(ToOwned::to_owned);
        self.write(move |writing| {
            Box::pin(async move { settle(writing, &message, what.as_deref(), &settled).await })
        })
        .await
    }

    /// The newest messages, to one target or to all.
    pub async fn list_messages(
        &self,
        target: Option<&str>,
        limit: usize,
    ) -> Result<Vec<MessageRow>, StoreError> {
        let mut query = super::query::Query::new(
            "SELECT target, outbox.id, job, guest, what, state, at_ms, tries, next_at_ms, outbox.ended_at_ms, error \
             FROM outbox LEFT JOIN jobs ON jobs.id = outbox.job WHERE 1 = 1"
                .to_owned(),
        );
        if let Some(target) = target {
            query.text(" AND target = ", target);
        }
        query.push(&format!(" ORDER BY at_ms DESC, outbox.id DESC LIMIT {}", super::lists::page(limit)));
        let rows = query.fetch(&mut *self.database.reader().await?, "list the outbox").await?;
        Ok(rows.iter().map(read).collect())
    }

    /// How many messages stand how, by target.
    pub async fn count_messages(&self) -> Result<Vec<(String, Posted, u64)>, StoreError> {
        let rows = sqlx::query("SELECT target, state, count(*) FROM outbox GROUP BY target, state")
            .fetch_all(&mut *self.database.reader().await?)
            .await
            .map_err(failed("count the outbox"))?;
        let one =
            |row: &AnyRow| (row.get(0), Posted::of_name(&row.get::<String, _>(1)), unsigned(row.get(2)));
        Ok(rows.iter().map(one).collect())
    }

    /// Has messages to this target that wait or were given up tried now, and anew. How many.
    pub async fn retry_messages(&self, target: &str) -> Result<u64, StoreError> {
        let target = target.to_owned();
        self.write(move |writing| {
            Box::pin(async move {
                // Their time begins anew, or a message that was given up would be given up at once.
                let done = sqlx::query(
                    "UPDATE outbox SET state = 'waiting', next_at_ms = $2, at_ms = $2, ended_at_ms = NULL \
                     WHERE target = $1 AND state <> 'sent'",
                )
                .bind(&target)
                .bind(signed(now_ms()))
                .execute(&mut *writing.sql)
                .await
                .map_err(failed("try messages again"))?;
                Ok(done.rows_affected())
            })
        })
        .await
    }

    /// Gives up what nobody took anywhere for so long, and forgets what ended longer ago than this.
    pub async fn prune_messages(&self, untaken: Duration, ended: Duration) -> Result<u64, StoreError> {
        let before = |age: Duration| {
            signed(now_ms().saturating_sub(u64::try_from(age.as_millis()).unwrap_or(u64::MAX)))
        };
        let (untaken, ended) = (before(untaken), before(ended));
        self.write(move |writing| {
            Box::pin(async move {
                sqlx::query(
                    "UPDATE outbox SET state = 'given-up', ended_at_ms = $2, \
                     error = coalesce(error, 'no companion sends to this target') \
                     WHERE state = 'waiting' AND at_ms < $1",
                )
                .bind(untaken)
                .bind(signed(now_ms()))
                .execute(&mut *writing.sql)
                .await
                .map_err(failed("give messages up"))?;
                let done = sqlx::query("DELETE FROM outbox WHERE state <> 'waiting' AND ended_at_ms < $1")
                    .bind(ended)
                    .execute(&mut *writing.sql)
                    .await
                    .map_err(failed("forget messages"))?;
                Ok(done.rows_affected())
            })
        })
        .await
    }
}

async fn take(
    writing: &mut Writing<'_>,
    target: &str,
    room: usize,
    hold: Duration,
) -> Result<Vec<Message>, StoreError> {
    let now = now_ms();
    let look = format!(
        "SELECT id, job, seq, at_ms, tries FROM outbox WHERE state = 'waiting' AND target = $1 AND next_at_ms <= $2 \
         ORDER BY next_at_ms, id LIMIT $3{}",
        writing.dialect.skip_locked()
    );
    let rows = sqlx::query(AssertSqlSafe(look))
        .bind(target)
        .bind(signed(now))
        .bind(signed(room as u64))
        .fetch_all(&mut *writing.sql)
        .await
        .map_err(failed("look into the outbox"))?;
    let message = |row: &AnyRow| Message {
        target: target.to_owned(),
        id: row.get(0),
        job: row.get(1),
        seq: unsigned(row.get(2)),
        at_ms: unsigned(row.get(3)),
        tries: unsigned(row.get(4)) + 1,
    };
    let messages: Vec<Message> = rows.iter().map(message).collect();
    let ids: Vec<&String> = messages.iter().map(|message| &message.id).collect();
    if ids.is_empty() {
        return Ok(messages);
    }
    let hold = u64::try_from(hold.as_millis()).unwrap_or(u64::MAX);
    let held = format!(
        "UPDATE outbox SET next_at_ms = $2, tries = tries + 1 WHERE target = $1 AND id IN {}",
        writing.dialect.texts("$3")
    );
    sqlx::query(AssertSqlSafe(held))
        .bind(target)
        .bind(signed(now.saturating_add(hold)))
        .bind(text("a list of messages", &ids)?)
        .execute(&mut *writing.sql)
        .await
        .map_err(failed("take messages"))?;
    Ok(messages)
}

async fn settle(
    writing: &mut Writing<'_>,
    message: &Message,
    what: Option<&str>,
    settled: &Settled,
) -> Result<(), StoreError> {
    let now = now_ms();
    let (state, next, error) = match settled {
        Settled::Dropped => {
            sqlx::query("DELETE FROM outbox WHERE target = $1 AND id = $2")
                .bind(&message.target)
                .bind(&message.id)
                .execute(&mut *writing.sql)
                .await
                .map_err(failed("drop a message"))?;
            return Ok(());
        }
        Settled::Sent => (Posted::Sent, now, None),
        Settled::GivenUp { error } => (Posted::GivenUp, now, Some(error)),
        Settled::Again { after, error } => {
            let after = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
            (Posted::Waiting, now.saturating_add(after), Some(error))
        }
    };
    sqlx::query(
        "UPDATE outbox SET state = $3, next_at_ms = $4, error = $5, ended_at_ms = $6, what = $7 \
         WHERE target = $1 AND id = $2 AND tries = $8 AND state = 'waiting'",
    )
    .bind(&message.target)
    .bind(&message.id)
    .bind(state.as_str())
    .bind(signed(next))
    .bind(error)
    .bind((state != Posted::Waiting).then_some(signed(now)))
    .bind(what)
    .bind(signed(message.tries))
    .execute(&mut *writing.sql)
    .await
    .map_err(failed("settle a message"))?;
    Ok(())
}

fn read(row: &AnyRow) -> MessageRow {
    MessageRow {
        target: row.get(0),
        id: row.get(1),
        job: row.get(2),
        guest: row.get(3),
        what: row.get(4),
        state: Posted::of_name(&row.get::<String, _>(5)),
        at_ms: unsigned(row.get(6)),
        tries: unsigned(row.get(7)),
        next_at_ms: unsigned(row.get(8)),
        ended_at_ms: row.get::<Option<i64>, _>(9).map(unsigned),
        error: row.get(10),
    }
}

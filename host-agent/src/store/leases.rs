//! Leases: who drives which job.
//!
//! A claim first frees the jobs whose lease and grace are over, then takes what has begun or was asked for something, then
//! what waits for a place: what is to be tried again, and the queue. Claims of these come one after the other, so that
//! limits hold across companions.

use std::time::Duration;

use sqlx::{AnyConnection, AssertSqlSafe, Row};

use super::database::Writing;
use super::error::{StoreError, failed};
use super::rows::{self, signed, text, unsigned};
use crate::job::{Change, Claimant, Claimed, Lease, Taken, Waiting, choose};

/// How many jobs one claim takes of what has begun, and of the queue: it is a single transaction. Others wait meanwhile, and
/// the first leases must not be over before the last job is taken.
const TOGETHER: usize = 64;

pub(super) async fn claim(
    writing: &mut Writing<'_>,
    claimant: &Claimant,
) -> Result<Vec<Claimed>, StoreError> {
    free_the_expired(writing, claimant.grace).await?;
    let begun = begun_or_asked(writing, claimant.room).await?;
    let mut claimed = take(writing, claimant, &begun).await?;
    let room = claimant.room.saturating_sub(claimed.len());
    if room > 0 {
        let queued = next_in_line(writing, claimant, room).await?;
        claimed.extend(take(writing, claimant, &queued).await?);
    }
    Ok(claimed)
}

/// Whoever held them writes nothing any more.
async fn free_the_expired(writing: &mut Writing<'_>, grace: Duration) -> Result<(), StoreError> {
    let over = format!(
        "DELETE FROM leases WHERE job IN (SELECT job FROM leases WHERE until_ms + $2 <= {}{}) RETURNING job",
        writing.dialect.now("$1"),
        writing.dialect.skip_locked(),
    );
    let over: Vec<String> = sqlx::query_scalar(AssertSqlSafe(over))
        .bind(writing.now)
        .bind(millis(grace))
        .fetch_all(&mut *writing.sql)
        .await
        .map_err(failed("look for leases that are over"))?;
    if over.is_empty() {
        return Ok(());
    }
    let free = format!("{SET_FREE} WHERE id IN {}", writing.dialect.texts("$1"));
    sqlx::query(AssertSqlSafe(free))
        .bind(text("a list of jobs", &over)?)
        .execute(&mut *writing.sql)
        .await
        .map_err(failed("free the jobs of a companion that is gone"))?;
    Ok(())
}

/// What waited for a place took it when it was claimed.
const SET_FREE: &str =
    "UPDATE jobs SET held = 0, works = CASE WHEN phase IN ('queued', 'needs-operator') THEN 0 ELSE works END";

/// A stopped job whose step is to be tried again. A request begins with its kind, and is null where nothing is asked.
const TRIES_AGAIN: &str =
    r#"(phase = 'needs-operator' AND coalesce(request, '') LIKE '{"kind":{"do":"retry"}%')"#;

/// What is said about a guest's time is no work on the guest.
const KEEPS: &str = r#"request LIKE '{"kind":{"do":"keep"%'"#;

/// One guest is worked on by one job at a time: while it is changed, its own job waits.
const UNCHANGED: &str = "NOT EXISTS (SELECT 1 FROM jobs other WHERE other.change_of = jobs.id AND other.live = 1 AND other.is_open = 1)";

async fn begun_or_asked(writing: &mut Writing<'_>, room: usize) -> Result<Vec<String>, StoreError> {
    let room = room.min(TOGETHER);
    let mut found = Vec::new();
    let asked = format!("request IS NOT NULL AND NOT {TRIES_AGAIN} AND ({KEEPS} OR {UNCHANGED})");
    for which in ["is_open = 1 AND phase <> 'queued'", &asked] {
        let look = format!(
            "SELECT id FROM jobs WHERE held = 0 AND {which} ORDER BY id LIMIT $1{}",
            writing.dialect.skip_locked()
        );
        let jobs: Vec<String> = sqlx::query_scalar(AssertSqlSafe(look))
            .bind(i64::try_from(room + 1).unwrap_or(i64::MAX))
            .fetch_all(&mut *writing.sql)
            .await
            .map_err(failed("look for jobs that nobody drives"))?;
        found.extend(jobs);
    }
    found.sort();
    found.dedup();
    if room == TOGETHER
        && let Some(next) = found.get(room)
    {
        call_again(writing, next);
    }
    found.truncate(room);
    Ok(found)
}

/// The jobs that wait for a place and whose turn it is: those that are to be tried again first.
async fn next_in_line(
    writing: &mut Writing<'_>,
    claimant: &Claimant,
    room: usize,
) -> Result<Vec<String>, StoreError> {
    if let Some(lock) = writing.dialect.lock_queue() {
        sqlx::query(lock).execute(&mut *writing.sql).await.map_err(failed("lock the queue"))?;
    }
    let room = room.min(TOGETHER);
    let taken = taken(&mut *writing.sql).await?;
    let tries_again = format!("request IS NOT NULL AND {TRIES_AGAIN}");
    let mut waiting = waiting(writing.sql, &tries_again, room).await?;
    waiting.extend(self::waiting(writing.sql, QUEUED, room).await?);
    let chosen = choose(&waiting, &taken, &claimant.limits, room);
    if chosen.len() == TOGETHER
        && let Some(next) = waiting.iter().find(|waiting| !chosen.contains(&waiting.job))
    {
        call_again(writing, &next.job);
    }
    Ok(chosen)
}

/// There may be room for more than one claim takes: whoever claims shall come again.
fn call_again(writing: &mut Writing<'_>, next: &str) {
    writing.moves.push(Change::Job(next.to_owned()));
}

const QUEUED: &str = "is_open = 1 AND phase = 'queued' AND request IS NULL";

/// Of each lane as many as could be chosen, and one more, oldest first.
async fn waiting(sql: &mut AnyConnection, which: &str, room: usize) -> Result<Vec<Waiting>, StoreError> {
    let look = format!(
        "SELECT id, batch, resources FROM (SELECT id, batch, resources, created_at_ms, \
         row_number() OVER (PARTITION BY batch, resources ORDER BY created_at_ms, id) AS place FROM jobs \
         WHERE held = 0 AND {which}) AS lanes WHERE place <= $1 ORDER BY created_at_ms, id"
    );
    let rows = sqlx::query(AssertSqlSafe(look))
        .bind(i64::try_from(room + 1).unwrap_or(i64::MAX))
        .fetch_all(sql)
        .await
        .map_err(failed("look at the queue"))?;
    rows.iter()
        .map(|row| {
            let resources = rows::parsed("a job's resources", row.get(2))?;
            Ok(Waiting { job: row.get(0), batch: row.get(1), resources })
        })
        .collect()
}

/// What is at work now, of resources and of batches.
pub(super) async fn taken(sql: &mut AnyConnection) -> Result<Taken, StoreError> {
    let rows =
        sqlx::query("SELECT batch, resources, count(*) FROM jobs WHERE works = 1 GROUP BY batch, resources")
            .fetch_all(sql)
            .await
            .map_err(failed("count the jobs at work"))?;
    let mut taken = Taken::default();
    for row in rows {
        let count = u32::try_from(row.get::<i64, _>(2)).unwrap_or(u32::MAX);
        *taken.batches.entry(row.get(0)).or_default() += count;
        for resource in rows::parsed::<Vec<String>>("a job's resources", row.get(1))? {
            *taken.resources.entry(resource).or_default() += count;
        }
    }
    Ok(taken)
}

/// Takes these jobs, in this order.
async fn take(
    writing: &mut Writing<'_>,
    claimant: &Claimant,
    jobs: &[String],
) -> Result<Vec<Claimed>, StoreError> {
    let look =
        format!("SELECT companion FROM jobs WHERE id = $1 AND held = 0{}", writing.dialect.skip_locked());
    let hold = format!(
        "UPDATE jobs SET held = 1, companion = $2, fence = fence + 1, \
         works = CASE WHEN (phase = 'queued' AND request IS NULL) OR {TRIES_AGAIN} THEN 1 ELSE works END \
         WHERE id = $1 AND held = 0 RETURNING fence"
    );
    let lease = format!(
        "INSERT INTO leases (job, fence, until_ms) VALUES ($1, $2, {} + $4)",
        writing.dialect.now("$3")
    );
    let mut claimed = Vec::with_capacity(jobs.len());
    for job in jobs {
        let before: Option<Option<String>> = sqlx::query_scalar(AssertSqlSafe(look.as_str()))
            .bind(job)
            .fetch_optional(&mut *writing.sql)
            .await
            .map_err(failed("look at a job"))?;
        let Some(before) = before else { continue };
        let fence: Option<i64> = sqlx::query_scalar(AssertSqlSafe(hold.as_str()))
            .bind(job)
            .bind(&claimant.companion)
            .fetch_optional(&mut *writing.sql)
            .await
            .map_err(failed("claim a job"))?;
        let Some(fence) = fence else { continue };
        sqlx::query(AssertSqlSafe(lease.as_str()))
            .bind(job)
            .bind(fence)
            .bind(writing.now)
            .bind(millis(claimant.lease))
            .execute(&mut *writing.sql)
            .await
            .map_err(failed("record a lease"))?;
        claimed.push(Claimed {
            lease: Lease { job: job.clone(), fence: unsigned(fence) },
            taken_over: before.is_some_and(|before| before != claimant.companion),
            events: rows::events(writing.sql, job).await?,
        });
    }
    Ok(claimed)
}

pub(super) async fn renew(
    writing: &mut Writing<'_>,
    leases: &[Lease],
    ttl: Duration,
) -> Result<Vec<String>, StoreError> {
    let hold = format!(
        "UPDATE leases SET until_ms = {} + $3 FROM {} \
         WHERE leases.job = pair.job AND leases.fence = pair.fence RETURNING leases.job",
        writing.dialect.now("$2"),
        writing.dialect.pairs("$1"),
    );
    let held: Vec<String> = sqlx::query_scalar(AssertSqlSafe(hold))
        .bind(pairs(leases)?)
        .bind(writing.now)
        .bind(millis(ttl))
        .fetch_all(&mut *writing.sql)
        .await
        .map_err(failed("renew leases"))?;
    let held: std::collections::BTreeSet<&str> = held.iter().map(String::as_str).collect();
    let lost = leases.iter().filter(|lease| !held.contains(lease.job.as_str()));
    Ok(lost.map(|lease| lease.job.clone()).collect())
}

pub(super) async fn release(writing: &mut Writing<'_>, leases: &[Lease]) -> Result<(), StoreError> {
    let end = format!(
        "DELETE FROM leases WHERE (job, fence) IN (SELECT pair.job, pair.fence FROM {}) RETURNING job",
        writing.dialect.pairs("$1")
    );
    let ended: Vec<String> = sqlx::query_scalar(AssertSqlSafe(end))
        .bind(pairs(leases)?)
        .fetch_all(&mut *writing.sql)
        .await
        .map_err(failed("end leases"))?;
    let free = format!("{SET_FREE} WHERE id IN {}", writing.dialect.texts("$1"));
    sqlx::query(AssertSqlSafe(free))
        .bind(text("a list of jobs", &ended)?)
        .execute(&mut *writing.sql)
        .await
        .map_err(failed("give jobs back"))?;
    writing.changes.extend(ended.into_iter().map(Change::Job));
    Ok(())
}

fn pairs(leases: &[Lease]) -> Result<String, StoreError> {
    let pairs: Vec<_> = leases.iter().map(|lease| (&lease.job, signed(lease.fence))).collect();
    text("a list of leases", &pairs)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}

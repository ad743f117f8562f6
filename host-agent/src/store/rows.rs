//! Rows of jobs and events: how they are written and read.

use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

use super::error::{StoreError, failed};
use crate::job::{JobSpec, Outline, Phase, Recorded, fold};
use crate::outcome::Fault;

/// The databases know signed integers only. Times and counts fit.
pub(super) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(super) fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

pub(super) fn text<T: Serialize + ?Sized>(what: &'static str, value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|source| StoreError::row(what, source))
}

pub(super) fn parsed<T: DeserializeOwned>(what: &'static str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|source| StoreError::row(what, source))
}

/// False: the id or the guest's name is taken.
pub(super) async fn insert_job(
    sql: &mut AnyConnection,
    id: &str,
    created_ms: u64,
    spec: &JobSpec,
    outline: &Outline,
) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "INSERT INTO jobs (id, guest, created_at_ms, backend, batch, resources, events, phase, step, failure, \
         works, is_open, live, ended_at_ms, change_of) VALUES ($1, $2, $3, $4, $5, $6, 1, $7, $8, $9, $10, $11, $12, $13, $14) \
         ON CONFLICT DO NOTHING",
    )
    .bind(id)
    .bind(&spec.guest)
    .bind(signed(created_ms))
    .bind(&spec.backend)
    .bind(&spec.batch)
    .bind(text("a job's resources", &spec.resources)?)
    .bind(outline.phase.as_str())
    .bind(outline.step.as_deref())
    .bind(outline.failure.as_ref().map(|fault| text("a failure", fault)).transpose()?)
    .bind(i64::from(outline.works))
    .bind(i64::from(outline.open))
    .bind(i64::from(outline.live))
    .bind(outline.ended_ms.map(signed))
    .bind(spec.change_of.as_deref())
    .execute(sql)
    .await
    .map_err(failed("record a job"))?;
    Ok(done.rows_affected() == 1)
}

pub(super) async fn insert_event(
    sql: &mut AnyConnection,
    job: &str,
    recorded: &Recorded,
) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO events (job, seq, at_ms, body) VALUES ($1, $2, $3, $4)")
        .bind(job)
        .bind(signed(recorded.seq))
        .bind(signed(recorded.at_ms))
        .bind(text("an event", &recorded.event)?)
        .execute(sql)
        .await
        .map_err(failed("append an event"))?;
    Ok(())
}

/// A job's journal; empty: there is no such job.
pub(super) async fn events(sql: &mut AnyConnection, job: &str) -> Result<Vec<Recorded>, StoreError> {
    let rows = sqlx::query("SELECT seq, at_ms, body FROM events WHERE job = $1 ORDER BY seq")
        .bind(job)
        .fetch_all(sql)
        .await
        .map_err(failed("read a journal"))?;
    rows.iter().map(|row| event(row, 0)).collect()
}

/// An event from the columns `seq, at_ms, body`, which begin at `first`.
pub(super) fn event(row: &AnyRow, first: usize) -> Result<Recorded, StoreError> {
    let body: String = row.get(first + 2);
    Ok(Recorded {
        seq: unsigned(row.get(first)),
        at_ms: unsigned(row.get(first + 1)),
        event: parsed("an event", &body)?,
    })
}

/// Writes what the journal says beside it, whoever drives the job.
pub(super) async fn outline_again(sql: &mut AnyConnection, job: &str) -> Result<(), StoreError> {
    let events = events(sql, job).await?;
    let (spec, outline) = match fold(&events) {
        Ok(state) => (Some(state.spec.clone()), state.outline()),
        Err(illegal) => {
            tracing::error!(%job, error = %illegal, "this journal cannot be read; the job needs an operator");
            (None, unreadable(&illegal.to_string()))
        }
    };
    sqlx::query(
        "UPDATE jobs SET backend = $2, batch = $3, resources = $4, events = $5, phase = $6, step = $7, \
         failure = $8, works = $9, is_open = $10, ended_at_ms = $11, live = CASE WHEN $12 = 1 AND NOT EXISTS \
         (SELECT 1 FROM jobs other WHERE other.guest = jobs.guest AND other.id <> jobs.id AND other.live = 1 AND other.change_of IS NULL) \
         THEN 1 ELSE 0 END WHERE id = $1",
    )
    .bind(job)
    .bind(spec.as_ref().map_or("", |spec| &spec.backend))
    .bind(spec.as_ref().map_or("", |spec| &spec.batch))
    .bind(text("a job's resources", spec.as_ref().map_or(&[][..], |spec| &spec.resources))?)
    .bind(i64::try_from(events.len()).unwrap_or(i64::MAX))
    .bind(outline.phase.as_str())
    .bind(outline.step)
    .bind(outline.failure.map(|fault| text("a failure", &fault)).transpose()?)
    .bind(i64::from(outline.works))
    .bind(i64::from(outline.open))
    .bind(outline.ended_ms.map(signed))
    .bind(i64::from(outline.live))
    .execute(sql)
    .await
    .map_err(failed("record a job's state"))?;
    Ok(())
}

/// Nothing is guessed: the guest's name stays taken, and nobody drives the job.
fn unreadable(what: &str) -> Outline {
    Outline {
        phase: Phase::NeedsOperator,
        step: None,
        failure: Some(Fault::new("journal-unreadable", what)),
        works: false,
        open: false,
        live: true,
        ended_ms: None,
        ephemeral: false,
        due_ms: None,
        attend_ms: None,
    }
}

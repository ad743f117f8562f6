//! Journals: append-only event rows.

use sqlx::Row;

use super::{Store, StoreError, failed, signed, unsigned};
use crate::job::{Event, Recorded};

/// A job with its whole journal.
#[derive(Debug, Clone)]
pub struct StoredJob {
    pub id: String,
    pub events: Vec<Recorded>,
}

impl Store {
    /// Makes the event durable. The first event makes the job; a number that is taken is an error.
    pub async fn append(&self, job: &str, recorded: &Recorded) -> Result<(), StoreError> {
        let body = serde_json::to_string(&recorded.event)
            .map_err(|source| StoreError::Row { what: "an event", source })?;
        let mut transaction = self.pool.begin().await.map_err(failed("begin a transaction"))?;
        if let Event::Created(crate::job::JobSpec { guest, .. }) = &recorded.event {
            sqlx::query("INSERT INTO jobs (id, guest, created_at_ms) VALUES (?, ?, ?)")
                .bind(job)
                .bind(guest)
                .bind(signed(recorded.at_ms))
                .execute(&mut *transaction)
                .await
                .map_err(failed("record a job"))?;
        }
        sqlx::query("INSERT INTO events (job, seq, at_ms, body) VALUES (?, ?, ?, ?)")
            .bind(job)
            .bind(signed(recorded.seq))
            .bind(signed(recorded.at_ms))
            .bind(body)
            .execute(&mut *transaction)
            .await
            .map_err(failed("append an event"))?;
        transaction.commit().await.map_err(failed("commit an event"))
    }

    /// Every job with its events, oldest job first.
    pub async fn jobs(&self) -> Result<Vec<StoredJob>, StoreError> {
        let rows = sqlx::query(
            "SELECT e.job, e.seq, e.at_ms, e.body FROM events e JOIN jobs j ON j.id = e.job \
             ORDER BY j.created_at_ms, j.id, e.seq",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(failed("list the jobs"))?;
        let mut jobs: Vec<StoredJob> = Vec::new();
        for row in rows {
            let id: String = row.get(0);
            let recorded = read_event(&row)?;
            match jobs.last_mut() {
                Some(job) if job.id == id => job.events.push(recorded),
                _ => jobs.push(StoredJob { id, events: vec![recorded] }),
            }
        }
        Ok(jobs)
    }

    /// The events of one job; empty if there is no such job.
    pub async fn events(&self, job: &str) -> Result<Vec<Recorded>, StoreError> {
        let rows = sqlx::query("SELECT job, seq, at_ms, body FROM events WHERE job = ? ORDER BY seq")
            .bind(job)
            .fetch_all(&self.pool)
            .await
            .map_err(failed("read a journal"))?;
        rows.iter().map(read_event).collect()
    }
}

fn read_event(row: &sqlx::sqlite::SqliteRow) -> Result<Recorded, StoreError> {
    let body: String = row.get(3);
    let event = serde_json::from_str(&body).map_err(|source| StoreError::Row { what: "an event", source })?;
    Ok(Recorded { seq: unsigned(row.get(1)), at_ms: unsigned(row.get(2)), event })
}

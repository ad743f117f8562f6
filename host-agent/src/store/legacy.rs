//! What the old engine asks of the store. Goes with it.

use sqlx::Row;

use super::error::failed;
use super::{Store, StoreError, rows};
use crate::job::{Event, Recorded, State};

/// A job with its whole journal.
#[derive(Debug, Clone)]
pub struct StoredJob {
    pub id: String,
    pub events: Vec<Recorded>,
}

impl Store {
    /// Makes the event durable. The first event makes the job; a number that is taken is an error.
    pub async fn append(&self, job: &str, recorded: &Recorded) -> Result<(), StoreError> {
        let (job, recorded) = (job.to_owned(), recorded.clone());
        self.write(move |writing| {
            Box::pin(async move {
                if let Event::Created(_) = &recorded.event {
                    let state =
                        State::created(&recorded).map_err(|error| StoreError::row("an event", error))?;
                    rows::insert_job(writing.sql, &job, recorded.at_ms, &state.spec, &state.outline())
                        .await?;
                }
                rows::insert_event(writing.sql, &job, &recorded).await?;
                rows::outline_again(writing.sql, &job).await
            })
        })
        .await
    }

    /// Every job with its events, oldest job first.
    pub async fn jobs(&self) -> Result<Vec<StoredJob>, StoreError> {
        let rows = sqlx::query(
            "SELECT e.job, e.seq, e.at_ms, e.body FROM events e JOIN jobs j ON j.id = e.job \
             ORDER BY j.created_at_ms, j.id, e.seq",
        )
        .fetch_all(&mut *self.database.reader().await?)
        .await
        .map_err(failed("list the jobs"))?;
        let mut jobs: Vec<StoredJob> = Vec::new();
        for row in rows {
            let id: String = row.get(0);
            let recorded = rows::event(&row, 1)?;
            match jobs.last_mut() {
                Some(job) if job.id == id => job.events.push(recorded),
                _ => jobs.push(StoredJob { id, events: vec![recorded] }),
            }
        }
        Ok(jobs)
    }
}

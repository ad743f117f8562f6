//! Whose time is over, or nearly: what companions ask for by themselves.

use sqlx::Row;

use super::error::failed;
use super::rows::{self, signed, unsigned};
use super::{Store, StoreError};
use crate::job::{Event, JobSpec};

/// How many guests are attended to in one go.
const TOGETHER: i64 = 200;

impl Store {
    /// The jobs whose guests must be attended to by now, and when the next one must, in milliseconds since the Unix epoch.
    /// Of those that were asked for something that is not answered yet, nothing is told.
    pub async fn to_attend(&self, now_ms: u64) -> Result<(Vec<String>, Option<u64>), StoreError> {
        let rows = sqlx::query(
            "SELECT id, attend_at_ms FROM jobs WHERE attend_at_ms IS NOT NULL AND live = 1 AND request IS NULL \
             ORDER BY attend_at_ms, id LIMIT $1",
        )
        .bind(TOGETHER)
        .fetch_all(&mut *self.database.reader().await?)
        .await
        .map_err(failed("look for guests whose time is over"))?;
        let all = rows.iter().map(|row| (row.get::<String, _>(0), row.get::<i64, _>(1)));
        let (now, later): (Vec<_>, Vec<_>) = all.partition(|(_, at)| *at <= signed(now_ms));
        let next = later.first().map(|(_, at)| unsigned(*at));
        Ok((now.into_iter().map(|(job, _)| job).collect(), next))
    }

    /// What guests that are about to be made were asked for, as their journals have it.
    pub async fn jobs_under_way(&self) -> Result<Vec<JobSpec>, StoreError> {
        let rows = sqlx::query(
            "SELECT seq, at_ms, body FROM events JOIN jobs ON jobs.id = events.job WHERE jobs.live = 1 \
             AND jobs.change_of IS NULL AND jobs.phase IN ('queued', 'running', 'waiting') AND events.seq = 0",
        )
        .fetch_all(&mut *self.database.reader().await?)
        .await
        .map_err(failed("read the jobs under way"))?;
        let mut specs = Vec::new();
        for row in &rows {
            if let Event::Created(spec) = rows::event(row, 0)?.event {
                specs.push(spec);
            }
        }
        Ok(specs)
    }

    /// The change of this job's guest that goes on.
    pub async fn open_change_of(&self, job: &str) -> Result<Option<String>, StoreError> {
        sqlx::query_scalar("SELECT id FROM jobs WHERE change_of = $1 AND live = 1 AND is_open = 1")
            .bind(job)
            .fetch_optional(&mut *self.database.reader().await?)
            .await
            .map_err(failed("look for a guest's change"))
    }

    /// The first events of the changes that were made to this job's guest, oldest first.
    pub async fn changes_made(&self, job: &str) -> Result<Vec<Event>, StoreError> {
        let rows = sqlx::query(
            "SELECT seq, at_ms, body FROM events JOIN jobs ON jobs.id = events.job \
             WHERE jobs.change_of = $1 AND jobs.phase = 'done' AND events.seq = 0 ORDER BY jobs.id",
        )
        .bind(job)
        .fetch_all(&mut *self.database.reader().await?)
        .await
        .map_err(failed("read a guest's changes"))?;
        rows.iter().map(|row| Ok(rows::event(row, 0)?.event)).collect()
    }

    /// The jobs of this backend whose guests are ready, and gone once they stop. Not those that somebody works on.
    pub async fn ephemeral_jobs(&self, backend: &str) -> Result<Vec<String>, StoreError> {
        sqlx::query_scalar(
            "SELECT id FROM jobs WHERE ephemeral = 1 AND live = 1 AND backend = $1 AND request IS NULL AND NOT EXISTS \
             (SELECT 1 FROM jobs other WHERE other.change_of = jobs.id AND other.live = 1)",
        )
        .bind(backend)
        .fetch_all(&mut *self.database.reader().await?)
        .await
        .map_err(failed("look for ephemeral guests"))
    }
}

//! Whose time is over, or nearly: what companions ask for by themselves.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{AssertSqlSafe, Row};

use super::error::failed;
use super::rows::{self, signed, unsigned};
use super::{Store, StoreError, jobs};
use crate::job::{Event, JobSpec, JournalError, NewJob};

/// How many guests are attended to in one go.
const TOGETHER: i64 = 200;

/// What is being taken back may not be so yet.
const UNDER_WAY: &str = "jobs.live = 1 AND (jobs.phase IN ('queued', 'running', 'waiting') OR \
                         (jobs.phase = 'unwinding' AND jobs.change_of IS NOT NULL))";

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

    /// The jobs that will take memory: of guests that are about to be made, and changes of guests that are there. With what
    /// they were asked for.
    pub async fn jobs_under_way(&self) -> Result<Vec<(String, JobSpec)>, StoreError> {
        let look = format!(
            "SELECT events.seq, events.at_ms, events.body, jobs.id FROM events JOIN jobs ON jobs.id = events.job \
             WHERE events.seq = 0 AND {UNDER_WAY} ORDER BY jobs.id"
        );
        let rows = sqlx::query(AssertSqlSafe(look))
            .fetch_all(&mut *self.database.reader().await?)
            .await
            .map_err(failed("read the jobs under way"))?;
        let mut specs = Vec::new();
        for row in &rows {
            if let Event::Created(spec) = rows::event(row, 0)?.event {
                specs.push((row.get(3), spec));
            }
        }
        Ok(specs)
    }

    /// Makes jobs as [`crate::job::JobStore::create`] does, unless one is under way that whoever asks has not `seen`, and did not
    /// count: then false, and nothing is made. Of companions that count at once, one is the first.
    pub async fn create_counted(
        &self,
        jobs: &[NewJob],
        seen: &BTreeSet<String>,
    ) -> Result<bool, JournalError> {
        let first = jobs.first().map_or_else(String::new, |job| job.id.clone());
        let (jobs, seen) = (jobs.to_vec(), seen.clone());
        let work = self.write(move |writing| {
            Box::pin(async move {
                if let Some(lock) = writing.dialect.lock_budgets() {
                    sqlx::query(lock).execute(&mut *writing.sql).await.map_err(failed("lock the budgets"))?;
                }
                let look = format!("SELECT jobs.id FROM jobs WHERE {UNDER_WAY}");
                let under_way: Vec<String> = sqlx::query_scalar(AssertSqlSafe(look))
                    .fetch_all(&mut *writing.sql)
                    .await
                    .map_err(failed("look for jobs under way"))?;
                // Made before, by this very call whose answer was lost, they are no others.
                let own = |job: &String| jobs.iter().any(|own| own.id == *job);
                if !under_way.iter().all(|job| seen.contains(job) || own(job)) {
                    return Ok(false);
                }
                jobs::create_all(writing, jobs).await.map(|()| true)
            })
        });
        work.await.map_err(|refusal: jobs::Refusal| refusal.of(&first))
    }

    /// Whose each value of this kind is.
    pub async fn holders(&self, kind: &str) -> Result<BTreeMap<String, String>, StoreError> {
        let found = sqlx::query("SELECT value, job FROM reservations WHERE kind = $1")
            .bind(kind)
            .fetch_all(&mut *self.database.reader().await?)
            .await
            .map_err(failed("list who holds what"))?;
        Ok(found.iter().map(|row| (row.get(0), row.get(1))).collect())
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

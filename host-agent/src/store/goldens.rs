//! What became of the guests of each golden image.

use sqlx::{AssertSqlSafe, Row};

use super::error::failed;
use super::lists::phase;
use super::rows::{parsed, unsigned};
use super::{Store, StoreError};
use crate::job::Phase;

/// One bring-up, as far as it tells of its golden.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoldenRun {
    pub job: String,
    pub golden: String,
    /// What the backend saw of its content; none: it was not looked at.
    pub mark: Option<String>,
    pub backend: String,
    pub phase: Phase,
    pub created_ms: u64,
    /// When its guest was ready; none: it never was.
    pub ready_ms: Option<u64>,
    /// Something went wrong in it.
    pub failed: bool,
}

impl Store {
    /// The newest bring-ups that name a golden, newest first. A guest that was destroyed since was ready all the same: its
    /// journal says when.
    pub async fn golden_runs(&self, limit: usize) -> Result<Vec<GoldenRun>, StoreError> {
        let select = format!(
            "SELECT {}, backend, phase, created_at_ms, CASE WHEN phase = 'done' THEN ended_at_ms ELSE \
             (SELECT min(at_ms) FROM events WHERE events.job = jobs.id \
             AND body LIKE '{{\"kind\":\"step-succeeded\",\"step\":\"finish\"%') END, \
             CASE WHEN failure IS NULL THEN 0 ELSE 1 END, id FROM jobs WHERE change_of IS NULL ORDER BY id DESC LIMIT {limit}",
            self.database.dialect().golden_and_mark()
        );
        let rows = sqlx::query(AssertSqlSafe(select))
            .fetch_all(&mut *self.database.reader().await?)
            .await
            .map_err(failed("read the bring-ups"))?;
        let mut runs = Vec::new();
        for row in &rows {
            let told = row.get::<Option<String>, _>(0).unwrap_or_else(|| "[null, null]".to_owned());
            let (golden, mark): (Option<String>, Option<String>) = parsed("a golden's name", &told)?;
            let Some(golden) = golden.filter(|golden| !golden.is_empty()) else { continue };
            runs.push(GoldenRun {
                job: row.get(6),
                golden,
                mark,
                backend: row.get(1),
                phase: phase(row.get(2))?,
                created_ms: unsigned(row.get(3)),
                ready_ms: row.get::<Option<i64>, _>(4).map(unsigned),
                failed: row.get::<i64, _>(5) != 0,
            });
        }
        Ok(runs)
    }
}

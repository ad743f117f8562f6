//! Single questions about jobs that need no list.

use sqlx::{AssertSqlSafe, Row};

use super::error::failed;
use super::lists::phase;
use super::rows::text;
use super::{Store, StoreError};
use crate::job::Phase;

impl Store {
    /// Whether any job of this backend is not gone.
    pub async fn has_live_jobs(&self, backend: &str) -> Result<bool, StoreError> {
        let found: Option<String> =
            sqlx::query_scalar("SELECT id FROM jobs WHERE live = 1 AND backend = $1 LIMIT 1")
                .bind(backend)
                .fetch_optional(&mut *self.database.reader().await?)
                .await
                .map_err(failed("look for a backend's jobs"))?;
        Ok(found.is_some())
    }

    /// The state of each of these jobs that there is.
    pub async fn phases(&self, jobs: &[String]) -> Result<Vec<(String, Phase)>, StoreError> {
        let select =
            format!("SELECT id, phase FROM jobs WHERE id IN {}", self.database.dialect().texts("$1"));
        let rows = sqlx::query(AssertSqlSafe(select))
            .bind(text("a list of jobs", jobs)?)
            .fetch_all(&mut *self.database.reader().await?)
            .await
            .map_err(failed("look at jobs"))?;
        rows.iter().map(|row| Ok((row.get(0), phase(row.get(1))?))).collect()
    }
}

//! What an operator or the daemon does with the store as a whole.

use std::path::Path;

use super::error::failed;
use super::lists::JobFilter;
use super::rows::signed;
use super::{Store, StoreError};
use crate::clock::now_ms;
use crate::job::fold;

impl Store {
    /// Writes, durably: the store is ready for work.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.write(|writing| {
            Box::pin(async move {
                sqlx::query(
                    "INSERT INTO heartbeat (id, at_ms) VALUES ($1, $2) \
                     ON CONFLICT (id) DO UPDATE SET at_ms = excluded.at_ms",
                )
                .bind("ping")
                .bind(signed(now_ms()))
                .execute(&mut *writing.sql)
                .await
                .map_err(failed("take a heartbeat"))?;
                Ok(())
            })
        })
        .await
    }

    /// Everything that is wrong: what the database says of itself, and every journal that does not fold to the state
    /// that is kept beside it. Empty: nothing.
    pub async fn check(&self) -> Result<Vec<String>, StoreError> {
        let mut problems = self.database.check().await?;
        let mut filter = JobFilter { limit: 1000, ..JobFilter::default() };
        loop {
            let (jobs, next) = self.list_jobs(&filter).await?;
            for job in jobs {
                match fold(&self.events(&job.id).await?) {
                    Ok(state) if state.phase == job.phase || state.events != job.events => {}
                    Ok(state) => problems.push(format!(
                        "job {} is listed as {}, its journal says {}",
                        job.id,
                        job.phase.as_str(),
                        state.phase.as_str()
                    )),
                    Err(illegal) => problems.push(format!("job {}: {illegal}", job.id)),
                }
            }
            if next.is_none() {
                return Ok(problems);
            }
            filter.before = next;
        }
    }

    /// Writes a whole and consistent copy while work goes on; only its owner may read it, since it holds secrets. A file
    /// that exists is not touched.
    ///
    /// # Errors
    /// On PostgreSQL always: its own tools do that, and the message says how.
    pub async fn backup(&self, to: &Path) -> Result<(), StoreError> {
        self.database.backup(to).await
    }
}

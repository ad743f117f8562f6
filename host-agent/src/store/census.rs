//! How many guests and jobs there are, from indexes alone: asked every few seconds, however much is stored.

use firstlight_shared::wire::Trust;
use sqlx::{AssertSqlSafe, Row};

use super::error::failed;
use super::lists::phase;
use super::rows::unsigned;
use super::{Store, StoreError};
use crate::job::Phase;

/// Guests of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestCount {
    pub backend: String,
    pub phase: Phase,
    /// None: no report of theirs was taken.
    pub trust: Option<Trust>,
    pub guests: u64,
}

/// Phases in which something is still to come: how long their oldest job is at it is of interest.
const OPEN: [Phase; 5] =
    [Phase::Queued, Phase::Running, Phase::Waiting, Phase::Unwinding, Phase::NeedsOperator];

impl Store {
    /// Guests whose job has not let go of their name.
    pub async fn count_guests(&self) -> Result<Vec<GuestCount>, StoreError> {
        let rows = sqlx::query(
            "SELECT backend, phase, trust, count(*) FROM (SELECT backend, phase, \
             coalesce((SELECT max(trust) FROM reports WHERE reports.job = jobs.id), \
             (SELECT trust FROM claims WHERE claims.job = jobs.id)) AS trust \
             FROM jobs WHERE live = 1 AND change_of IS NULL) AS guests GROUP BY backend, phase, trust",
        )
        .fetch_all(&mut *self.database.reader().await?)
        .await
        .map_err(failed("count the guests"))?;
        let read = |row: &sqlx::any::AnyRow| {
            let trust: Option<String> = row.get(2);
            Ok(GuestCount {
                backend: row.get(0),
                phase: phase(row.get(1))?,
                trust: trust.map(super::reports::trust).transpose()?,
                guests: unsigned(row.get(3)),
            })
        };
        rows.iter().map(read).collect()
    }

    /// Of each phase that is no end: when its oldest job was made, in milliseconds since the Unix epoch. Ids grow with time.
    pub async fn oldest_jobs(&self) -> Result<Vec<(Phase, Option<u64>)>, StoreError> {
        let one = |phase: &Phase| {
            let name = phase.as_str();
            format!(
                "SELECT '{name}', (SELECT created_at_ms FROM jobs WHERE phase = '{name}' ORDER BY id LIMIT 1)"
            )
        };
        let query: Vec<String> = OPEN.iter().map(one).collect();
        let rows = sqlx::query(AssertSqlSafe(query.join(" UNION ALL ")))
            .fetch_all(&mut *self.database.reader().await?)
            .await
            .map_err(failed("look for the oldest jobs"))?;
        rows.iter().map(|row| Ok((phase(row.get(0))?, row.get::<Option<i64>, _>(1).map(unsigned)))).collect()
    }
}

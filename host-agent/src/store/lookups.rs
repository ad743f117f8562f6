//! Single questions about jobs that need no list.

use firstlight_shared::wire::Ack;
use sqlx::{AssertSqlSafe, Row};

use super::error::failed;
use super::leases;
use super::lists::phase;
use super::rows::{parsed, text};
use super::{Store, StoreError, StoredClaim, claims};
use crate::job::{Phase, Taken};

/// What is known before a report is taken; see [`Store::ground`].
#[derive(Debug, Clone)]
pub struct Ground {
    pub claim: StoredClaim,
    pub answered: Option<Answered>,
    /// The other guest with one of the report's host keys.
    pub twin: Option<String>,
}

/// The report that answered a claim.
#[derive(Debug, Clone)]
pub struct Answered {
    pub sha256: String,
    /// The sender's address.
    pub source: String,
    pub ack: Ack,
}

impl Store {
    /// What is at work now, and what each of these jobs wants a place of.
    pub async fn queue_of(&self, jobs: &[String]) -> Result<(Taken, Vec<(String, Vec<String>)>), StoreError> {
        let mut reader = self.database.reader().await?;
        let taken = leases::taken(&mut reader).await?;
        let select =
            format!("SELECT id, resources FROM jobs WHERE id IN {}", self.database.dialect().texts("$1"));
        let rows = sqlx::query(AssertSqlSafe(select))
            .bind(text("a list of jobs", jobs)?)
            .fetch_all(&mut *reader)
            .await
            .map_err(failed("look at the queue"))?;
        let wanted = rows.iter().map(|row| Ok((row.get(0), parsed("a job's resources", row.get(1))?)));
        Ok((taken, wanted.collect::<Result<_, StoreError>>()?))
    }

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

    /// What stands in the way of a report: its claim, how that was answered already, and another guest that reported with
    /// one of these host keys (see [`Store::holder_of_key`]). None: nobody was given this claim.
    pub async fn ground(&self, claim: &str, keys: &[String]) -> Result<Option<Ground>, StoreError> {
        let look = format!(
            "SELECT {}, r.sha256, r.source, r.ack, \
             (SELECT i.guest FROM identities i WHERE i.kind = 'ssh-host-key' AND i.value IN {} AND i.job <> c.job \
             AND NOT (i.retired = 1 AND i.guest = c.guest) LIMIT 1) \
             FROM claims c LEFT JOIN reports r ON r.claim_id = c.id WHERE c.id = $1",
            claims::COLUMNS,
            self.database.dialect().texts("$2")
        );
        let row = sqlx::query(AssertSqlSafe(look))
            .bind(claim)
            .bind(text("a list of keys", keys)?)
            .fetch_optional(&mut *self.database.reader().await?)
            .await
            .map_err(failed("read a claim"))?;
        let Some(row) = row else { return Ok(None) };
        let claim = claims::read(&row)?;
        let next = claims::WIDTH;
        let (sha256, ack) = (row.get::<Option<String>, _>(next), row.get::<Option<String>, _>(next + 2));
        let answered = match (sha256, row.get(next + 1), ack) {
            (Some(sha256), Some(source), Some(ack)) => {
                Some(Answered { sha256, source, ack: parsed("an acknowledgement", &ack)? })
            }
            _ => None,
        };
        Ok(Some(Ground { claim, answered, twin: row.get(next + 3) }))
    }

    /// Those of these jobs that are rolled back, and those (None) that there are none of: of a large fleet, few.
    pub async fn gone_or_unknown(&self, jobs: &[String]) -> Result<Vec<(String, Option<Phase>)>, StoreError> {
        let select = format!(
            "WITH listed(id) AS {} SELECT listed.id, jobs.phase FROM listed LEFT JOIN jobs ON jobs.id = listed.id \
             WHERE jobs.id IS NULL OR jobs.phase = $2",
            self.database.dialect().texts("$1")
        );
        let rows = sqlx::query(AssertSqlSafe(select))
            .bind(text("a list of jobs", jobs)?)
            .bind(Phase::RolledBack.as_str())
            .fetch_all(&mut *self.database.reader().await?)
            .await
            .map_err(failed("look at jobs"))?;
        rows.iter()
            .map(|row| Ok((row.get(0), row.get::<Option<String>, _>(1).map(phase).transpose()?)))
            .collect()
    }
}

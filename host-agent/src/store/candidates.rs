//! Reports for open claims, before it is known which one is the guest's. Nobody has an acknowledgement for them yet: with
//! that a guest takes its beacon down, and the beacon is what tells them apart.

use firstlight_shared::wire::{Envelope, Trust};
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};

use super::database::Writing;
use super::error::failed;
use super::rows::{parsed, signed, text, unsigned};
use super::{Refused, Store, StoreError, refusals};
use crate::job::Change;

/// So many are kept of one claim: its id is no secret.
const KEPT: usize = 4;

/// A report that may be the one of its claim's guest.
#[derive(Debug, Clone)]
pub struct Candidate {
    pub sha256: String,
    pub claim_id: String,
    pub job: String,
    pub received_at_ms: u64,
    /// The sender's address.
    pub source: String,
    pub envelope: Envelope,
    /// The guest has named another report since.
    pub refuted: bool,
}

/// What became of a candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Added {
    Added,
    /// These bytes stand already, from this address.
    Known {
        source: String,
        refuted: bool,
    },
    /// There is no room for another one.
    Full,
}

const COLUMNS: &str = "sha256, claim_id, job, received_at_ms, source, envelope, refuted";

impl Store {
    /// Keeps a report for an open claim, at most four; one that is refuted makes room.
    pub async fn add_candidate(&self, candidate: &Candidate) -> Result<Added, StoreError> {
        let (candidate, envelope) = (candidate.clone(), text("a report", &candidate.envelope)?);
        self.write(move |writing| {
            Box::pin(async move {
                lock(writing, &candidate.claim_id).await?;
                let known = candidates(writing.sql, &candidate.claim_id).await?;
                if let Some(same) = known.iter().find(|known| known.sha256 == candidate.sha256) {
                    return Ok(Added::Known { source: same.source.clone(), refuted: same.refuted });
                }
                if known.len() >= KEPT {
                    let Some(gone) = known.iter().find(|known| known.refuted) else { return Ok(Added::Full) };
                    sqlx::query("DELETE FROM candidates WHERE claim_id = $1 AND sha256 = $2")
                        .bind(&candidate.claim_id)
                        .bind(&gone.sha256)
                        .execute(&mut *writing.sql)
                        .await
                        .map_err(failed("forget a report"))?;
                }
                sqlx::query(
                    "INSERT INTO candidates (sha256, claim_id, job, received_at_ms, source, envelope) \
                     VALUES ($1, $2, $3, $4, $5, $6)",
                )
                .bind(&candidate.sha256)
                .bind(&candidate.claim_id)
                .bind(&candidate.job)
                .bind(signed(candidate.received_at_ms))
                .bind(&candidate.source)
                .bind(envelope)
                .execute(&mut *writing.sql)
                .await
                .map_err(failed("keep a report"))?;
                writing.changes.push(Change::Report { claim: candidate.claim_id });
                Ok(Added::Added)
            })
        })
        .await
    }

    /// The reports that may be the claim's, oldest first.
    pub async fn candidates(&self, claim: &str) -> Result<Vec<Candidate>, StoreError> {
        candidates(&mut *self.database.reader().await?, claim).await
    }

    /// Records that these are not the guest's.
    pub async fn refute(&self, claim: &str, refused: &[Refused]) -> Result<(), StoreError> {
        let (claim, refused) = (claim.to_owned(), refused.to_vec());
        self.write(move |writing| {
            Box::pin(async move {
                for refused in &refused {
                    let marked = "UPDATE candidates SET refuted = 1 \
                                  WHERE claim_id = $1 AND sha256 = $2 AND refuted = 0";
                    let done = sqlx::query(marked)
                        .bind(&claim)
                        .bind(refused.sha256.as_deref())
                        .execute(&mut *writing.sql)
                        .await
                        .map_err(failed("refuse a report"))?;
                    if done.rows_affected() > 0 {
                        refusals::insert(writing, refused, false).await?;
                    }
                }
                Ok(())
            })
        })
        .await
    }

    /// The guest of this job is known by its beacon alone: how far it is trusted, and the identities that the beacon shows.
    pub async fn vouch(
        &self,
        job: &str,
        guest: &str,
        trust: Trust,
        identities: &[(&'static str, String)],
    ) -> Result<(), StoreError> {
        let (job, guest) = (job.to_owned(), guest.to_owned());
        let identities = text("identities", identities)?;
        self.write(move |writing| {
            Box::pin(async move {
                sqlx::query("UPDATE claims SET trust = $2 WHERE job = $1")
                    .bind(&job)
                    .bind(trust.as_str())
                    .execute(&mut *writing.sql)
                    .await
                    .map_err(failed("record a guest's trust"))?;
                let insert = format!(
                    "INSERT INTO identities (kind, value, job, guest) SELECT kind, value, $2, $3 FROM {} \
                     WHERE 1 = 1 ON CONFLICT DO NOTHING",
                    writing.dialect.text_pairs("$1")
                );
                sqlx::query(AssertSqlSafe(insert))
                    .bind(identities)
                    .bind(job)
                    .bind(guest)
                    .execute(&mut *writing.sql)
                    .await
                    .map_err(failed("record identities"))?;
                Ok(())
            })
        })
        .await
    }
}

pub(super) async fn forget(writing: &mut Writing<'_>, claim: &str) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM candidates WHERE claim_id = $1")
        .bind(claim)
        .execute(&mut *writing.sql)
        .await
        .map_err(failed("forget the other reports"))?;
    Ok(())
}

/// Until the transaction ends, nobody else adds one.
async fn lock(writing: &mut Writing<'_>, claim: &str) -> Result<(), StoreError> {
    let lock = format!("SELECT id FROM claims WHERE id = $1{}", writing.dialect.locked());
    sqlx::query(AssertSqlSafe(lock))
        .bind(claim)
        .fetch_optional(&mut *writing.sql)
        .await
        .map_err(failed("lock a claim"))?;
    Ok(())
}

pub(super) async fn candidates(
    sql: &mut sqlx::AnyConnection,
    claim: &str,
) -> Result<Vec<Candidate>, StoreError> {
    let select =
        format!("SELECT {COLUMNS} FROM candidates WHERE claim_id = $1 ORDER BY received_at_ms, sha256");
    let rows = sqlx::query(AssertSqlSafe(select))
        .bind(claim)
        .fetch_all(sql)
        .await
        .map_err(failed("read the reports of a claim"))?;
    rows.iter().map(read).collect()
}

fn read(row: &AnyRow) -> Result<Candidate, StoreError> {
    Ok(Candidate {
        sha256: row.get(0),
        claim_id: row.get(1),
        job: row.get(2),
        received_at_ms: unsigned(row.get(3)),
        source: row.get(4),
        envelope: parsed("a report", row.get(5))?,
        refuted: row.get::<i64, _>(6) != 0,
    })
}

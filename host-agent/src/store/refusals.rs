//! Reports that were refused: kept to be shown.

use serde::Serialize;
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};

use super::database::Writing;
use super::error::failed;
use super::lists::page;
use super::query::Query;
use super::rows::{signed, unsigned};
use super::{Store, StoreError};
use crate::job::Change;

/// Refusals beyond this number are forgotten, oldest first: a hostile guest must not fill the disk.
const REFUSALS_KEPT: i64 = 10_000;

/// A report that was not taken, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Refused {
    pub at_ms: u64,
    pub source: String,
    pub code: String,
    pub message: String,
    pub claim_id: Option<String>,
    /// The guest that the claim belongs to; not necessarily the sender.
    pub guest: Option<String>,
    pub job: Option<String>,
    pub sha256: Option<String>,
}

const COLUMNS: &str = "at_ms, source, code, message, claim_id, guest, job, sha256";

impl Store {
    /// Records a refusal that says nothing about the guest: anybody may have sent the report.
    pub async fn refuse_report(&self, refused: &Refused) -> Result<(), StoreError> {
        let refused = refused.clone();
        self.write(move |writing| Box::pin(async move { insert(writing, &refused, false).await })).await
    }

    /// Records a refusal of the guest itself, which proved its claim and can never be taken; wakes whoever waits for it.
    /// A claim is refused for good once: what else its guest sends is a refusal like any other.
    pub async fn refuse_guest(&self, refused: &Refused) -> Result<(), StoreError> {
        let refused = refused.clone();
        self.write(move |writing| {
            Box::pin(async move {
                let is_first = !is_refused(writing, refused.claim_id.as_deref()).await?;
                insert(writing, &refused, is_first).await?;
                if is_first && let Refused { claim_id: Some(claim), code, message, .. } = refused {
                    writing.changes.push(Change::Refused { claim, code, message });
                }
                Ok(())
            })
        })
        .await
    }

    /// Why the guest of this claim can never be taken, if that is so.
    pub async fn refusal_of_claim(&self, claim: &str) -> Result<Option<Refused>, StoreError> {
        let mut query = Query::new(format!("SELECT {COLUMNS} FROM refusals WHERE is_final = 1"));
        query.text(" AND claim_id = ", claim);
        query.push(" ORDER BY id LIMIT 1");
        let rows = query.fetch(&mut *self.database.reader().await?, "look for a refusal").await?;
        Ok(rows.first().map(read))
    }

    /// Refusals, newest first; at most 1000, and 100 if `limit` is 0.
    pub async fn list_refusals(
        &self,
        guest: Option<&String>,
        limit: usize,
    ) -> Result<Vec<Refused>, StoreError> {
        let mut query = Query::new(format!("SELECT {COLUMNS} FROM refusals WHERE 1 = 1"));
        query.optional(" AND guest = ", guest);
        query.push(&format!(" ORDER BY id DESC LIMIT {}", page(limit)));
        let rows = query.fetch(&mut *self.database.reader().await?, "list the refusals").await?;
        Ok(rows.iter().map(read).collect())
    }

    /// Every refusal, oldest first.
    pub async fn refusals(&self) -> Result<Vec<Refused>, StoreError> {
        let query = Query::new(format!("SELECT {COLUMNS} FROM refusals ORDER BY id"));
        let rows = query.fetch(&mut *self.database.reader().await?, "list the refusals").await?;
        Ok(rows.iter().map(read).collect())
    }
}

/// The claim's guest was refused for good before. Until the transaction ends, nobody else refuses it.
async fn is_refused(writing: &mut Writing<'_>, claim: Option<&str>) -> Result<bool, StoreError> {
    let lock = format!("SELECT id FROM claims WHERE id = $1{}", writing.dialect.locked());
    let refused = "SELECT id FROM refusals WHERE claim_id = $1 AND is_final = 1 LIMIT 1";
    let mut found = None;
    for look in [&lock, refused] {
        found = sqlx::query(AssertSqlSafe(look))
            .bind(claim)
            .fetch_optional(&mut *writing.sql)
            .await
            .map_err(failed("look for a refusal"))?;
    }
    Ok(found.is_some())
}

pub(super) async fn insert(
    writing: &mut Writing<'_>,
    refused: &Refused,
    is_final: bool,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO refusals (at_ms, source, code, message, claim_id, guest, job, sha256, is_final) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(signed(refused.at_ms))
    .bind(&refused.source)
    .bind(&refused.code)
    .bind(&refused.message)
    .bind(&refused.claim_id)
    .bind(&refused.guest)
    .bind(&refused.job)
    .bind(&refused.sha256)
    .bind(i64::from(is_final))
    .execute(&mut *writing.sql)
    .await
    .map_err(failed("record a refusal"))?;
    // Of the guests themselves there is no flood: each has one claim, which is refused for good once.
    sqlx::query("DELETE FROM refusals WHERE id <= (SELECT max(id) FROM refusals) - $1 AND is_final = 0")
        .bind(REFUSALS_KEPT)
        .execute(&mut *writing.sql)
        .await
        .map_err(failed("forget old refusals"))?;
    Ok(())
}

fn read(row: &AnyRow) -> Refused {
    Refused {
        at_ms: unsigned(row.get(0)),
        source: row.get(1),
        code: row.get(2),
        message: row.get(3),
        claim_id: row.get(4),
        guest: row.get(5),
        job: row.get(6),
        sha256: row.get(7),
    }
}

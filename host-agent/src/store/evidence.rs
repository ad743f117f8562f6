//! Evidence of guests that are there: files that this companion signed, and what guests sent by themselves.

use firstlight_shared::wire::Signed;
use serde::Serialize;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::database::Writing;
use super::error::failed;
use super::lists::page;
use super::query::Query;
use super::rows::{parsed, signed, text, unsigned};
use super::{Store, StoreError};

/// Files of one guest beyond this number are forgotten, oldest first.
const KEPT: i64 = 100;

/// A file that was signed and given out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct StoredEvidence {
    /// Of the signed text, in hexadecimal.
    pub sha256: String,
    pub job: String,
    pub guest: String,
    pub at_ms: u64,
    pub holds: bool,
    /// Who asked for it.
    pub by: String,
    #[serde(skip)]
    pub file: Signed,
}

/// What a guest sent by itself; the newest of each is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    pub job: String,
    pub sha256: String,
    pub guest: String,
    pub at_ms: u64,
    /// The sender's address.
    pub source: String,
    pub evidence: Signed,
}

impl Store {
    pub async fn keep_evidence(&self, kept: &StoredEvidence) -> Result<(), StoreError> {
        let kept = kept.clone();
        self.write(move |writing| Box::pin(async move { keep(writing, &kept).await })).await
    }

    /// Newest first; at most 1000, and 100 if `limit` is 0.
    pub async fn list_evidence(
        &self,
        guest: Option<&String>,
        job: Option<&String>,
        limit: usize,
    ) -> Result<Vec<StoredEvidence>, StoreError> {
        let mut query = Query::new(
            "SELECT sha256, job, guest, at_ms, holds, asked_by, file FROM evidence WHERE 1 = 1".to_owned(),
        );
        query.optional(" AND guest = ", guest);
        query.optional(" AND job = ", job);
        query.push(&format!(" ORDER BY at_ms DESC, sha256 DESC LIMIT {}", page(limit)));
        let rows = query.fetch(&mut *self.database.reader().await?, "list the evidence").await?;
        rows.iter().map(read).collect()
    }

    /// False: it is not newer than what was heard of this guest before, or the very same.
    pub async fn hear(&self, heard: &Heard) -> Result<bool, StoreError> {
        let heard = heard.clone();
        let evidence = text("evidence", &heard.evidence)?;
        let put = "INSERT INTO heard (job, sha256, guest, at_ms, source, evidence) VALUES ($1, $2, $3, $4, $5, $6) \
                   ON CONFLICT (job) DO UPDATE SET sha256 = excluded.sha256, guest = excluded.guest, \
                   at_ms = excluded.at_ms, source = excluded.source, evidence = excluded.evidence \
                   WHERE heard.sha256 <> excluded.sha256 AND heard.at_ms < excluded.at_ms";
        self.write(move |writing| {
            Box::pin(async move {
                let done = sqlx::query(put)
                    .bind(&heard.job)
                    .bind(&heard.sha256)
                    .bind(&heard.guest)
                    .bind(signed(heard.at_ms))
                    .bind(&heard.source)
                    .bind(evidence)
                    .execute(&mut *writing.sql)
                    .await
                    .map_err(failed("keep evidence"))?;
                Ok(done.rows_affected() > 0)
            })
        })
        .await
    }

    pub async fn heard(&self, job: &str) -> Result<Option<Heard>, StoreError> {
        let row = sqlx::query("SELECT job, sha256, guest, at_ms, source, evidence FROM heard WHERE job = $1")
            .bind(job)
            .fetch_optional(&mut *self.database.reader().await?)
            .await
            .map_err(failed("look for evidence"))?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(Heard {
            job: row.get(0),
            sha256: row.get(1),
            guest: row.get(2),
            at_ms: unsigned(row.get(3)),
            source: row.get(4),
            evidence: parsed("evidence", row.get(5))?,
        }))
    }

    /// The guest that is there with this host key: its job and its name.
    pub async fn guest_of_key(&self, fingerprint: &str) -> Result<Option<(String, String)>, StoreError> {
        let look = "SELECT i.job, i.guest FROM identities i JOIN jobs j ON j.id = i.job \
                    WHERE i.kind = 'ssh-host-key' AND i.value = $1 AND i.retired = 0 AND j.live = 1 \
                    AND j.phase = 'done' LIMIT 2";
        let rows = sqlx::query(look)
            .bind(fingerprint)
            .fetch_all(&mut *self.database.reader().await?)
            .await
            .map_err(failed("look for a host key"))?;
        // Of a key that several have, nobody knows whose word it is.
        Ok(match rows.as_slice() {
            [row] => Some((row.get(0), row.get(1))),
            _ => None,
        })
    }
}

async fn keep(writing: &mut Writing<'_>, kept: &StoredEvidence) -> Result<(), StoreError> {
    let put = "INSERT INTO evidence (sha256, job, guest, at_ms, holds, asked_by, file) \
               VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING";
    sqlx::query(put)
        .bind(&kept.sha256)
        .bind(&kept.job)
        .bind(&kept.guest)
        .bind(signed(kept.at_ms))
        .bind(i64::from(kept.holds))
        .bind(&kept.by)
        .bind(text("evidence", &kept.file)?)
        .execute(&mut *writing.sql)
        .await
        .map_err(failed("keep evidence"))?;
    let old = "DELETE FROM evidence WHERE job = $1 AND sha256 NOT IN \
               (SELECT sha256 FROM evidence WHERE job = $1 ORDER BY at_ms DESC, sha256 DESC LIMIT $2)";
    let forgotten = sqlx::query(old).bind(&kept.job).bind(KEPT).execute(&mut *writing.sql).await;
    forgotten.map_err(failed("forget old evidence")).map(drop)
}

fn read(row: &AnyRow) -> Result<StoredEvidence, StoreError> {
    Ok(StoredEvidence {
        sha256: row.get(0),
        job: row.get(1),
        guest: row.get(2),
        at_ms: unsigned(row.get(3)),
        holds: row.get::<i64, _>(4) != 0,
        by: row.get(5),
        file: parsed("evidence", row.get(6))?,
    })
}

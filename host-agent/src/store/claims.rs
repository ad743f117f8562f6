//! Claims: one per job. The secret is kept only until the job is final.

use firstlight_shared::secret::Secret;
use sqlx::Row;

use super::{Store, StoreError, failed};

/// A claim as the host remembers it.
#[derive(Debug, Clone)]
pub struct StoredClaim {
    pub id: String,
    pub job: String,
    pub guest: String,
    pub secret: Secret,
    /// The job is final: no report is taken any more.
    pub expired: bool,
}

impl Store {
    /// Remembers a new claim, or answers the one that the job has already: a repeated call is the same call.
    pub async fn claim_for(
        &self,
        job: &str,
        guest: &str,
        id: &str,
        secret: &Secret,
    ) -> Result<StoredClaim, StoreError> {
        sqlx::query(
            "INSERT INTO claims (id, job, guest, secret) VALUES (?, ?, ?, ?) ON CONFLICT (job) DO NOTHING",
        )
        .bind(id)
        .bind(job)
        .bind(guest)
        .bind(secret.expose())
        .execute(&self.pool)
        .await
        .map_err(failed("record a claim"))?;
        let row = sqlx::query("SELECT id, job, guest, secret, expired FROM claims WHERE job = ?")
            .bind(job)
            .fetch_one(&self.pool)
            .await
            .map_err(failed("read a claim"))?;
        Ok(read(&row))
    }

    pub async fn claim(&self, id: &str) -> Result<Option<StoredClaim>, StoreError> {
        let row = sqlx::query("SELECT id, job, guest, secret, expired FROM claims WHERE id = ?")
            .bind(id)
            .fetch_optional(&self.pool)
            .await
            .map_err(failed("read a claim"))?;
        Ok(row.as_ref().map(read))
    }

    /// Wipes the secret. The id stays, so that a late report is told apart from a foreign one.
    pub async fn expire_claim(&self, job: &str) -> Result<(), StoreError> {
        sqlx::query("UPDATE claims SET secret = x'', expired = 1 WHERE job = ?")
            .bind(job)
            .execute(&self.pool)
            .await
            .map_err(failed("expire a claim"))?;
        // The log of writes would keep the secret until it is overwritten.
        sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
            .execute(&self.pool)
            .await
            .map_err(failed("fold the log of writes"))?;
        Ok(())
    }
}

fn read(row: &sqlx::sqlite::SqliteRow) -> StoredClaim {
    StoredClaim {
        id: row.get(0),
        job: row.get(1),
        guest: row.get(2),
        secret: Secret::new(row.get(3)),
        expired: row.get::<i64, _>(4) != 0,
    }
}

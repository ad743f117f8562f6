//! Claims: one per job. The secret is kept only until the job is final.

use firstlight_shared::secret::Secret;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::database::Writing;
use super::error::failed;
use super::{Store, StoreError};

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
        let (id, job, guest, secret) = (id.to_owned(), job.to_owned(), guest.to_owned(), secret.clone());
        self.write(move |writing| {
            Box::pin(async move {
                sqlx::query(
                    "INSERT INTO claims (id, job, guest, secret) VALUES ($1, $2, $3, $4) \
                     ON CONFLICT (job) DO NOTHING",
                )
                .bind(id)
                .bind(&job)
                .bind(guest)
                .bind(secret.expose())
                .execute(&mut *writing.sql)
                .await
                .map_err(failed("record a claim"))?;
                let row = sqlx::query("SELECT id, job, guest, secret, expired FROM claims WHERE job = $1")
                    .bind(&job)
                    .fetch_one(&mut *writing.sql)
                    .await
                    .map_err(failed("read a claim"))?;
                Ok(read(&row))
            })
        })
        .await
    }

    pub async fn claim(&self, id: &str) -> Result<Option<StoredClaim>, StoreError> {
        let row = sqlx::query("SELECT id, job, guest, secret, expired FROM claims WHERE id = $1")
            .bind(id)
            .fetch_optional(&mut *self.database.reader().await?)
            .await
            .map_err(failed("read a claim"))?;
        Ok(row.as_ref().map(read))
    }

    /// Wipes the secret. The id stays, so that a late report is told apart from a foreign one.
    pub async fn expire_claim(&self, job: &str) -> Result<(), StoreError> {
        let job = job.to_owned();
        self.write(move |writing| Box::pin(async move { expire(writing, &job).await })).await
    }
}

pub(super) async fn expire(writing: &mut Writing<'_>, job: &str) -> Result<(), StoreError> {
    let done = sqlx::query("UPDATE claims SET secret = $2, expired = 1 WHERE job = $1 AND expired = 0")
        .bind(job)
        .bind(&[][..])
        .execute(&mut *writing.sql)
        .await
        .map_err(failed("expire a claim"))?;
    writing.wiped |= done.rows_affected() > 0;
    Ok(())
}

/// From the columns `id, job, guest, secret, expired`, which come first.
pub(super) fn read(row: &AnyRow) -> StoredClaim {
    StoredClaim {
        id: row.get(0),
        job: row.get(1),
        guest: row.get(2),
        secret: Secret::new(row.get(3)),
        expired: row.get::<i64, _>(4) != 0,
    }
}

//! Identities of the fleet, as reports named them: who else has this one?

use serde::Serialize;
use sqlx::{AssertSqlSafe, Row};

use super::database::Writing;
use super::error::failed;
use super::rows::text;
use super::{Store, StoreError};

/// The kind whose holders are remembered after they are gone.
const HOST_KEY: &str = "ssh-host-key";

/// Another guest with the same identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shared {
    pub kind: String,
    pub value: String,
    pub guest: String,
    pub job: String,
}

pub(super) async fn insert(
    writing: &mut Writing<'_>,
    job: &str,
    guest: &str,
    identities: &[(&'static str, String)],
) -> Result<(), StoreError> {
    let insert = format!(
        "INSERT INTO identities (kind, value, job, guest) SELECT kind, value, $2, $3 FROM {} WHERE true \
         ON CONFLICT DO NOTHING",
        writing.dialect.text_pairs("$1")
    );
    sqlx::query(AssertSqlSafe(insert))
        .bind(text("identities", identities)?)
        .bind(job)
        .bind(guest)
        .execute(&mut *writing.sql)
        .await
        .map_err(failed("store identities"))?;
    Ok(())
}

impl Store {
    /// Who shares one of these identities (kind and value), apart from the job itself; only guests that still are.
    pub async fn sharing(
        &self,
        job: &str,
        identities: &[(&'static str, String)],
    ) -> Result<Vec<Shared>, StoreError> {
        let mut reader = self.database.reader().await?;
        let mut found = Vec::new();
        for (kind, value) in identities {
            let rows = sqlx::query(
                "SELECT guest, job FROM identities \
                 WHERE kind = $1 AND value = $2 AND job <> $3 AND retired = 0 ORDER BY job",
            )
            .bind(*kind)
            .bind(value)
            .bind(job)
            .fetch_all(&mut *reader)
            .await
            .map_err(failed("look for an identity"))?;
            found.extend(rows.iter().map(|row| Shared {
                kind: (*kind).to_owned(),
                value: value.clone(),
                guest: row.get(0),
                job: row.get(1),
            }));
        }
        Ok(found)
    }

    /// The guest of another job that reported with this host key, whether it still exists or not. A guest's own key,
    /// back under its old name after the guest was removed (a restored backup), is nobody else's.
    pub async fn holder_of_key(
        &self,
        fingerprint: &str,
        job: &str,
        guest: &str,
    ) -> Result<Option<String>, StoreError> {
        let other = "SELECT guest FROM identities WHERE kind = $4 AND value = $1 AND job <> $2 \
                     AND NOT (retired = 1 AND guest = $3) LIMIT 1";
        sqlx::query_scalar(other)
            .bind(fingerprint)
            .bind(job)
            .bind(guest)
            .bind(HOST_KEY)
            .fetch_optional(&mut *self.database.reader().await?)
            .await
            .map_err(failed("look for a host key"))
    }

    /// The guest of this job is no more: its identities are free, but for its host keys; see [`Store::holder_of_key`].
    pub async fn retire_keys(&self, job: &str) -> Result<(), StoreError> {
        let job = job.to_owned();
        self.write(move |writing| Box::pin(async move { retire(writing, &job).await })).await
    }
}

pub(super) async fn retire(writing: &mut Writing<'_>, job: &str) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM identities WHERE job = $1 AND kind <> $2")
        .bind(job)
        .bind(HOST_KEY)
        .execute(&mut *writing.sql)
        .await
        .map_err(failed("forget identities"))?;
    sqlx::query("UPDATE identities SET retired = 1 WHERE job = $1")
        .bind(job)
        .execute(&mut *writing.sql)
        .await
        .map_err(failed("retire host keys"))?;
    Ok(())
}

//! Identities of the fleet, as reports named them: who else has this one?

use serde::Serialize;
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};

use super::database::Dialect;
use super::database::Writing;
use super::error::failed;
use super::rows::text;
use super::{Store, StoreError};

/// The kinds whose holders are remembered after they are gone.
const HOST_KEY: &str = "ssh-host-key";
const MACHINE_ID: &str = "machine-id";

/// Another guest with the same identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shared {
    pub kind: String,
    pub value: String,
    pub guest: String,
    pub job: String,
}

/// Beside a report: its job is `$3`, its guest `$4`, the identities are the JSON that is bound to `parameter`.
pub(super) fn insert(dialect: Dialect, parameter: &str) -> String {
    format!(
        "INSERT INTO identities (kind, value, job, guest) SELECT kind, value, $3, $4 FROM {}",
        dialect.text_pairs(parameter)
    )
}

impl Store {
    /// Who shares one of these identities (kind and value), apart from the job itself; only guests that still are.
    pub async fn sharing(
        &self,
        job: &str,
        identities: &[(&'static str, String)],
    ) -> Result<Vec<Shared>, StoreError> {
        let look = format!(
            "SELECT i.kind, i.value, i.guest, i.job FROM {} CROSS JOIN identities i \
             WHERE i.kind = pair.kind AND i.value = pair.value AND i.job <> $2 AND i.retired = 0",
            self.database.dialect().text_pairs("$1")
        );
        let rows = sqlx::query(AssertSqlSafe(look))
            .bind(text("identities", identities)?)
            .bind(job)
            .fetch_all(&mut *self.database.reader().await?)
            .await
            .map_err(failed("look for an identity"))?;
        let shared =
            |row: &AnyRow| Shared { kind: row.get(0), value: row.get(1), guest: row.get(2), job: row.get(3) };
        let mut found: Vec<Shared> = rows.iter().map(shared).collect();
        // In the order that was asked for, whatever the database's is.
        let place = |one: &Shared| {
            identities.iter().position(|(kind, value)| (*kind, value) == (&*one.kind, &one.value))
        };
        found.sort_by_cached_key(|one| (place(one), one.job.clone()));
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

    /// Fingerprints of host keys that only guests had that are gone, in their order.
    pub async fn retired_host_keys(&self) -> Result<Vec<String>, StoreError> {
        let look = "SELECT DISTINCT i.value FROM identities i WHERE i.kind = $1 AND i.retired = 1 \
                    AND NOT EXISTS (SELECT 1 FROM identities o WHERE o.kind = i.kind AND o.value = i.value \
                    AND o.retired = 0) ORDER BY i.value";
        sqlx::query_scalar(look)
            .bind(HOST_KEY)
            .fetch_all(&mut *self.database.reader().await?)
            .await
            .map_err(failed("list retired host keys"))
    }

    /// The guest of this job is no more: its identities are free. Its host keys and its machine-id are remembered; see
    /// [`Store::holder_of_key`] and [`Store::shared_identities`].
    pub async fn retire_keys(&self, job: &str) -> Result<(), StoreError> {
        let job = job.to_owned();
        self.write(move |writing| Box::pin(async move { retire(writing, &job).await })).await
    }
}

pub(super) async fn retire(writing: &mut Writing<'_>, job: &str) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM identities WHERE job = $1 AND kind NOT IN ($2, $3)")
        .bind(job)
        .bind(HOST_KEY)
        .bind(MACHINE_ID)
        .execute(&mut *writing.sql)
        .await
        .map_err(failed("forget identities"))?;
    sqlx::query("UPDATE identities SET retired = 1 WHERE job = $1")
        .bind(job)
        .execute(&mut *writing.sql)
        .await
        .map_err(failed("retire identities"))?;
    super::certificates::revoke(writing, job).await
}

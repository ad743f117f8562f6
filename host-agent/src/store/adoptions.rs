//! Guests that somebody else made and a job waits for: known by their MACs and ids, which the job reserves.

use sqlx::{AssertSqlSafe, Row};

use super::error::failed;
use super::rows::text;
use super::{Store, StoreError, StoredClaim, claims};

/// The kind of reservation that marks a job whose guest somebody else made.
pub const ADOPTED: &str = "adopted";

impl Store {
    /// The claims of jobs that wait for a guest with one of these MACs which somebody else made. Nobody was given such a
    /// claim; it is where the guest's report goes.
    pub async fn adoptions_of(&self, macs: &[String]) -> Result<Vec<StoredClaim>, StoreError> {
        let look = format!(
            "SELECT {} FROM claims c JOIN reservations mark ON mark.job = c.job AND mark.kind = $2 \
             WHERE c.expired = 0 AND c.job IN \
             (SELECT mac.job FROM reservations mac WHERE mac.kind = 'mac' AND mac.value IN {}) ORDER BY c.id",
            claims::COLUMNS,
            self.database.dialect().texts("$1")
        );
        let found = sqlx::query(AssertSqlSafe(look))
            .bind(text("a list of MACs", macs)?)
            .bind(ADOPTED)
            .fetch_all(&mut *self.database.reader().await?)
            .await
            .map_err(failed("look who waits for a guest"))?;
        found.iter().map(claims::read).collect()
    }

    /// The job that holds one of these values.
    pub async fn holder(&self, values: &[(&str, String)]) -> Result<Option<String>, StoreError> {
        let mut reader = self.database.reader().await?;
        for (kind, value) in values {
            let found: Option<String> =
                sqlx::query_scalar("SELECT job FROM reservations WHERE kind = $1 AND value = $2")
                    .bind(*kind)
                    .bind(value)
                    .fetch_optional(&mut *reader)
                    .await
                    .map_err(failed("look who holds a value"))?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Whether these bytes were refused with this code already.
    pub async fn was_refused(&self, sha256: &str, code: &str) -> Result<bool, StoreError> {
        let found = sqlx::query("SELECT id FROM refusals WHERE sha256 = $1 AND code = $2 LIMIT 1")
            .bind(sha256)
            .bind(code)
            .fetch_optional(&mut *self.database.reader().await?)
            .await
            .map_err(failed("look for a refusal"))?;
        Ok(found.is_some_and(|row| row.get::<i64, _>(0) >= 0))
    }
}

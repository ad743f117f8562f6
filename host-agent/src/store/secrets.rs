//! Secrets that all companions of a store share.

use firstlight_shared::secret::Secret;

use super::error::failed;
use super::{Store, StoreError};

impl Store {
    /// The report listener's key (PEM), which guests pin. `make` is called if there is none yet; if several companions
    /// make one at once, the first that is written is everybody's.
    pub async fn listener_key<E: From<StoreError>>(
        &self,
        make: impl FnOnce() -> Result<Secret, E>,
    ) -> Result<Secret, E> {
        if let Some(key) = self.secret("listener-key").await? {
            return Ok(key);
        }
        let made = make()?;
        let written = self.write(move |writing| {
            Box::pin(async move {
                sqlx::query("INSERT INTO secrets (name, value) VALUES ($1, $2) ON CONFLICT DO NOTHING")
                    .bind("listener-key")
                    .bind(made.expose())
                    .execute(&mut *writing.sql)
                    .await
                    .map_err(failed("keep the listener's key"))?;
                Ok(())
            })
        });
        written.await?;
        Ok(self.secret("listener-key").await?.ok_or(StoreError::Closed)?)
    }

    async fn secret(&self, name: &str) -> Result<Option<Secret>, StoreError> {
        let value: Option<Vec<u8>> = sqlx::query_scalar("SELECT value FROM secrets WHERE name = $1")
            .bind(name)
            .fetch_optional(&mut *self.database.reader().await?)
            .await
            .map_err(failed("read a secret"))?;
        Ok(value.map(Secret::new))
    }
}

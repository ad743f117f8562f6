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
        self.shared("listener-key", make).await
    }

    /// The key (OpenSSH's PEM) that signs evidence files; shared in the same way.
    pub async fn evidence_key<E: From<StoreError>>(
        &self,
        make: impl FnOnce() -> Result<Secret, E>,
    ) -> Result<Secret, E> {
        self.shared("evidence-key", make).await
    }

    /// What proves that a challenge is one of ours; shared in the same way.
    pub async fn challenge_key(&self) -> Result<Secret, StoreError> {
        self.shared("challenge-key", || Ok(Secret::new(rand::random::<[u8; 32]>().to_vec()))).await
    }

    async fn shared<E: From<StoreError>>(
        &self,
        name: &'static str,
        make: impl FnOnce() -> Result<Secret, E>,
    ) -> Result<Secret, E> {
        if let Some(key) = self.secret(name).await? {
            return Ok(key);
        }
        let made = make()?;
        let written = self.write(move |writing| {
            Box::pin(async move {
                sqlx::query("INSERT INTO secrets (name, value) VALUES ($1, $2) ON CONFLICT DO NOTHING")
                    .bind(name)
                    .bind(made.expose())
                    .execute(&mut *writing.sql)
                    .await
                    .map_err(failed("keep a secret"))?;
                Ok(())
            })
        });
        written.await?;
        Ok(self.secret(name).await?.ok_or(StoreError::Closed)?)
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

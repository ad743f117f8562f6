//! What jobs hold so that no other job can have it: MACs, addresses. Rows are unique, so two companions that choose at once
//! never choose the same.

use sqlx::{AssertSqlSafe, Row};

use super::database::Writing;
use super::error::{StoreError, failed};
use super::{Store, rows};

/// Why a reservation was not made.
enum Refusal {
    Taken,
    Store(StoreError),
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Store {
    /// Reserves all of these values for the job, or none: false, another job holds one of them. A repeated call is the
    /// same call.
    pub async fn reserve(&self, job: &str, values: &[(&str, String)]) -> Result<bool, StoreError> {
        let job = job.to_owned();
        let mut values: Vec<(String, String)> =
            values.iter().map(|(kind, value)| ((*kind).to_owned(), value.clone())).collect();
        // Two companions that want the same values meet at the first of them.
        values.sort();
        let work = self.write(move |writing| {
            Box::pin(async move {
                for (kind, value) in &values {
                    take(writing, &job, kind, value).await?;
                }
                Ok(())
            })
        });
        taken(work.await)
    }

    /// Holds `to`, and nothing else of this kind any more. False: another job holds it, and nothing changed. A repeated
    /// call is the same call.
    pub async fn exchange(&self, job: &str, kind: &str, to: &str) -> Result<bool, StoreError> {
        let (job, kind, to) = (job.to_owned(), kind.to_owned(), to.to_owned());
        let work = self.write(move |writing| {
            Box::pin(async move {
                take(writing, &job, &kind, &to).await?;
                sqlx::query("DELETE FROM reservations WHERE job = $1 AND kind = $2 AND value <> $3")
                    .bind(job)
                    .bind(kind)
                    .bind(to)
                    .execute(&mut *writing.sql)
                    .await
                    .map_err(failed("free a value"))?;
                Ok(())
            })
        });
        taken(work.await)
    }

    /// Every value of these kinds that any job holds.
    pub async fn reserved(&self, kinds: &[&str]) -> Result<Vec<(String, String)>, StoreError> {
        let select = format!(
            "SELECT kind, value FROM reservations WHERE kind IN {} ORDER BY kind, value",
            self.database.dialect().texts("$1")
        );
        let found = sqlx::query(AssertSqlSafe(select))
            .bind(rows::text("a list of kinds", kinds)?)
            .fetch_all(&mut *self.database.reader().await?)
            .await
            .map_err(failed("list what is reserved"))?;
        Ok(found.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    /// What this job holds.
    pub async fn reserved_by(&self, job: &str) -> Result<Vec<(String, String)>, StoreError> {
        let found = sqlx::query("SELECT kind, value FROM reservations WHERE job = $1 ORDER BY kind, value")
            .bind(job)
            .fetch_all(&mut *self.database.reader().await?)
            .await
            .map_err(failed("read what a job holds"))?;
        Ok(found.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    /// Frees everything that the job holds. Repeatable.
    pub async fn unreserve(&self, job: &str) -> Result<(), StoreError> {
        let job = job.to_owned();
        self.write(move |writing| Box::pin(async move { free(writing, &job).await })).await
    }
}

fn taken(outcome: Result<(), Refusal>) -> Result<bool, StoreError> {
    match outcome {
        Ok(()) => Ok(true),
        Err(Refusal::Taken) => Ok(false),
        Err(Refusal::Store(error)) => Err(error),
    }
}

/// One value, if nobody else has it.
async fn take(writing: &mut Writing<'_>, job: &str, kind: &str, value: &str) -> Result<(), Refusal> {
    let insert = "INSERT INTO reservations (kind, value, job) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
    sqlx::query(insert)
        .bind(kind)
        .bind(value)
        .bind(job)
        .execute(&mut *writing.sql)
        .await
        .map_err(failed("reserve a value"))?;
    let holder: Option<String> =
        sqlx::query_scalar("SELECT job FROM reservations WHERE kind = $1 AND value = $2")
            .bind(kind)
            .bind(value)
            .fetch_optional(&mut *writing.sql)
            .await
            .map_err(failed("look who holds a value"))?;
    if holder.as_deref() == Some(job) { Ok(()) } else { Err(Refusal::Taken) }
}

pub(super) async fn free(writing: &mut Writing<'_>, job: &str) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM reservations WHERE job = $1")
        .bind(job)
        .execute(&mut *writing.sql)
        .await
        .map_err(failed("free what a job held"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_one_job_holds_no_other_gets_and_nothing_is_held_in_part() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("firstlight.db")).await.unwrap();
        let one = [("mac", "02:00".to_owned()), ("address@local", "10.0.0.1".to_owned())];
        assert!(store.reserve("j1", &one).await.unwrap());
        assert!(store.reserve("j1", &one).await.unwrap(), "a repeated call is the same call");
        let overlapping = [("mac", "02:01".to_owned()), ("address@local", "10.0.0.1".to_owned())];
        assert!(!store.reserve("j2", &overlapping).await.unwrap());
        assert!(store.reserved_by("j2").await.unwrap().is_empty(), "nothing is held in part");
        assert!(store.reserve("j2", &[("address@other", "10.0.0.1".to_owned())]).await.unwrap());
        assert_eq!(
            store.reserved(&["address@local"]).await.unwrap(),
            [("address@local".into(), "10.0.0.1".into())]
        );
        assert!(!store.exchange("j2", "address@local", "10.0.0.1").await.unwrap());
        assert!(store.exchange("j2", "address@other", "10.0.0.2").await.unwrap());
        assert!(store.exchange("j2", "address@other", "10.0.0.2").await.unwrap());
        let held = [("address@other".to_owned(), "10.0.0.2".to_owned())];
        assert_eq!(store.reserved_by("j2").await.unwrap(), held, "it has one for the other");
        store.unreserve("j1").await.unwrap();
        store.unreserve("j1").await.unwrap();
        assert!(store.reserve("j2", &overlapping).await.unwrap());
    }
}

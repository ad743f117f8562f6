//! Claims: one per job. The secret is kept only until the job is final. An open claim has none: whoever knows its id may
//! send a report for it, and the beacon tells which one is the guest's.

use std::net::IpAddr;

use firstlight_shared::secret::Secret;
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};

use super::database::Writing;
use super::error::failed;
use super::rows::{parsed, text};
use super::{Store, StoreError};

/// A claim as the host remembers it.
#[derive(Debug, Clone)]
pub struct StoredClaim {
    pub id: String,
    pub job: String,
    pub guest: String,
    /// Empty: the claim is open, or expired.
    pub secret: Secret,
    /// It never had a secret.
    pub open: bool,
    /// The addresses of the beacon with which the guest named its report, once it was seen.
    pub beacon: Vec<IpAddr>,
    /// The guest was found ready by its beacon alone; see [`Store::vouch`].
    pub vouched: bool,
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
        self.new_claim(job, guest, id, Some(secret.clone())).await
    }

    /// The same for a claim whose channel is no place for a secret.
    pub async fn open_claim_for(&self, job: &str, guest: &str, id: &str) -> Result<StoredClaim, StoreError> {
        self.new_claim(job, guest, id, None).await
    }

    async fn new_claim(
        &self,
        job: &str,
        guest: &str,
        id: &str,
        secret: Option<Secret>,
    ) -> Result<StoredClaim, StoreError> {
        let (id, job, guest) = (id.to_owned(), job.to_owned(), guest.to_owned());
        self.write(move |writing| {
            Box::pin(async move {
                sqlx::query(
                    "INSERT INTO claims (id, job, guest, secret, is_open) VALUES ($1, $2, $3, $4, $5) \
                     ON CONFLICT (job) DO NOTHING",
                )
                .bind(id)
                .bind(&job)
                .bind(guest)
                .bind(secret.as_ref().map_or(&[][..], |secret| secret.expose()))
                .bind(i64::from(secret.is_none()))
                .execute(&mut *writing.sql)
                .await
                .map_err(failed("record a claim"))?;
                let row =
                    sqlx::query(AssertSqlSafe(format!("SELECT {COLUMNS} FROM claims c WHERE c.job = $1")))
                        .bind(&job)
                        .fetch_one(&mut *writing.sql)
                        .await
                        .map_err(failed("read a claim"))?;
                read(&row)
            })
        })
        .await
    }

    pub async fn claim(&self, id: &str) -> Result<Option<StoredClaim>, StoreError> {
        let row = sqlx::query(AssertSqlSafe(format!("SELECT {COLUMNS} FROM claims c WHERE c.id = $1")))
            .bind(id)
            .fetch_optional(&mut *self.database.reader().await?)
            .await
            .map_err(failed("read a claim"))?;
        row.as_ref().map(read).transpose()
    }

    /// Remembers the beacon with which the guest named its report: from now on that report is taken at once, and no
    /// number of others can keep it out.
    pub async fn name_report(&self, claim: &str, beacon: &[IpAddr]) -> Result<(), StoreError> {
        let (claim, beacon) = (claim.to_owned(), text("a beacon", beacon)?);
        self.write(move |writing| {
            Box::pin(async move {
                sqlx::query("UPDATE claims SET beacon = $2 WHERE id = $1 AND is_open = 1")
                    .bind(claim)
                    .bind(beacon)
                    .execute(&mut *writing.sql)
                    .await
                    .map_err(failed("record a beacon"))?;
                Ok(())
            })
        })
        .await
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
    sqlx::query("DELETE FROM candidates WHERE job = $1")
        .bind(job)
        .execute(&mut *writing.sql)
        .await
        .map_err(failed("forget reports that nobody needs"))?;
    Ok(())
}

/// Of `claims c`; they come first.
pub(super) const COLUMNS: &str = "c.id, c.job, c.guest, c.secret, c.expired, c.is_open, c.beacon, c.trust";
/// How many they are.
pub(super) const WIDTH: usize = 8;

/// From [`COLUMNS`].
pub(super) fn read(row: &AnyRow) -> Result<StoredClaim, StoreError> {
    let beacon: Option<String> = row.get(6);
    Ok(StoredClaim {
        id: row.get(0),
        job: row.get(1),
        guest: row.get(2),
        secret: Secret::new(row.get(3)),
        expired: row.get::<i64, _>(4) != 0,
        open: row.get::<i64, _>(5) != 0,
        beacon: beacon.map(|text| parsed("a beacon", &text)).transpose()?.unwrap_or_default(),
        vouched: row.get::<Option<String>, _>(7).is_some(),
    })
}

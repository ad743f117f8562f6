//! Host certificates that the CA issued: every one is recorded before anybody gets it.

use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::any::AnyRow;

use super::database::Writing;
use super::error::failed;
use super::lists::page;
use super::query::Query;
use super::rows::{parsed, signed, text, unsigned};
use super::{Store, StoreError};

const COLUMNS: &str = "serial, authority, job, guest, fingerprint, principals, valid_after, valid_before, issued_at_ms, \
                       issued_by, certificate, revoked";

/// A certificate as it was issued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct StoredCertificate {
    pub serial: u64,
    /// The public key line of the CA that signed it.
    pub authority: String,
    /// Of the guest; empty, if an operator had a key signed that is no guest's.
    pub job: String,
    pub guest: String,
    /// `SHA256:...` of the certified key.
    pub fingerprint: String,
    pub principals: Vec<String>,
    /// Seconds since the epoch.
    pub valid_after: u64,
    pub valid_before: u64,
    pub issued_at_ms: u64,
    /// For whom: `report`, `renewal`, or the operator who asked.
    pub by: String,
    /// The line of a `-cert.pub` file.
    pub certificate: String,
    /// The guest is gone.
    pub revoked: bool,
}

impl Store {
    /// Records certificates that are about to be given out; all or none.
    pub async fn keep_certificates(&self, issued: &[StoredCertificate]) -> Result<(), StoreError> {
        let issued = issued.to_vec();
        self.write(move |writing| {
            Box::pin(async move {
                for certificate in &issued {
                    keep(writing, certificate).await?;
                }
                Ok(())
            })
        })
        .await
    }

    /// Those of one guest, newest first.
    pub async fn certificates_of_job(&self, job: &str) -> Result<Vec<StoredCertificate>, StoreError> {
        let mut query = Query::new(format!("SELECT {COLUMNS} FROM ssh_certificates WHERE 1 = 1"));
        query.optional(" AND job = ", Some(&job.to_owned()));
        query.push(" ORDER BY issued_at_ms DESC, serial DESC");
        let rows = query.fetch(&mut *self.database.reader().await?, "list certificates").await?;
        rows.iter().map(read).collect()
    }

    /// Newest first; at most 1000, and 100 if `limit` is 0.
    pub async fn list_certificates(
        &self,
        guest: Option<&String>,
        limit: usize,
    ) -> Result<Vec<StoredCertificate>, StoreError> {
        let mut query = Query::new(format!("SELECT {COLUMNS} FROM ssh_certificates WHERE 1 = 1"));
        query.optional(" AND guest = ", guest);
        query.push(&format!(" ORDER BY issued_at_ms DESC, serial DESC LIMIT {}", page(limit)));
        let rows = query.fetch(&mut *self.database.reader().await?, "list certificates").await?;
        rows.iter().map(read).collect()
    }

    /// The CA's line and the serial number of every certificate whose guest is gone, and that has not ended by itself.
    pub async fn revoked_certificates(&self, now: u64) -> Result<Vec<(String, u64)>, StoreError> {
        let look = "SELECT authority, serial FROM ssh_certificates WHERE revoked = 1 AND valid_before > $1 \
                    ORDER BY authority, serial";
        let rows = sqlx::query(look)
            .bind(signed(now))
            .fetch_all(&mut *self.database.reader().await?)
            .await
            .map_err(failed("list revoked certificates"))?;
        Ok(rows.iter().map(|row| (row.get(0), unsigned(row.get(1)))).collect())
    }
}

async fn keep(writing: &mut Writing<'_>, issued: &StoredCertificate) -> Result<(), StoreError> {
    let put = "INSERT INTO ssh_certificates (serial, authority, job, guest, fingerprint, principals, valid_after, \
               valid_before, issued_at_ms, issued_by, certificate, revoked) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
    sqlx::query(put)
        .bind(signed(issued.serial))
        .bind(&issued.authority)
        .bind(&issued.job)
        .bind(&issued.guest)
        .bind(&issued.fingerprint)
        .bind(text("a certificate's principals", &issued.principals)?)
        .bind(signed(issued.valid_after))
        .bind(signed(issued.valid_before))
        .bind(signed(issued.issued_at_ms))
        .bind(&issued.by)
        .bind(&issued.certificate)
        .bind(i64::from(issued.revoked))
        .execute(&mut *writing.sql)
        .await
        .map_err(failed("record a certificate"))
        .map(drop)
}

/// The guest of this job is no more.
pub(super) async fn revoke(writing: &mut Writing<'_>, job: &str) -> Result<(), StoreError> {
    sqlx::query("UPDATE ssh_certificates SET revoked = 1 WHERE job = $1 AND revoked = 0")
        .bind(job)
        .execute(&mut *writing.sql)
        .await
        .map_err(failed("revoke certificates"))
        .map(drop)
}

/// Those that ended before this second.
pub(super) async fn forget(writing: &mut Writing<'_>, before: i64) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM ssh_certificates WHERE valid_before < $1")
        .bind(before)
        .execute(&mut *writing.sql)
        .await
        .map_err(failed("forget old certificates"))
        .map(drop)
}

fn read(row: &AnyRow) -> Result<StoredCertificate, StoreError> {
    Ok(StoredCertificate {
        serial: unsigned(row.get(0)),
        authority: row.get(1),
        job: row.get(2),
        guest: row.get(3),
        fingerprint: row.get(4),
        principals: parsed("a certificate's principals", row.get(5))?,
        valid_after: unsigned(row.get(6)),
        valid_before: unsigned(row.get(7)),
        issued_at_ms: unsigned(row.get(8)),
        by: row.get(9),
        certificate: row.get(10),
        revoked: row.get::<i64, _>(11) != 0,
    })
}

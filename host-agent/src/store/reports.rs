//! Reports that were taken.

use firstlight_shared::wire::{Ack, Envelope, Trust};
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};

use super::database::Writing;
use super::error::failed;
use super::lists::page;
use super::query::Query;
use super::rows::{parsed, signed, text, unsigned};
use super::{Candidate, Refused, Store, StoreError, candidates, identities, refusals};
use crate::job::Change;

/// A report that was taken, with the acknowledgement that its bytes get for ever.
#[derive(Debug, Clone)]
pub struct StoredReport {
    pub sha256: String,
    pub claim_id: String,
    pub job: String,
    pub guest: String,
    pub received_at_ms: u64,
    /// The sender's address.
    pub source: String,
    pub trust: Trust,
    pub envelope: Envelope,
    pub ack: Ack,
}

/// Which reports to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReportFilter {
    pub guest: Option<String>,
    /// 0: as many as a page has; at most 1000.
    pub limit: usize,
    /// `next` of the page before.
    pub before: Option<String>,
}

impl ReportFilter {
    /// Whether this can be the end of a page.
    pub fn is_place(text: &str) -> bool {
        place(text).is_some_and(|(_, sha256)| sha256.len() == 64)
    }
}

const TAKE: &str = "INSERT INTO reports (sha256, claim_id, job, guest, received_at_ms, source, trust, envelope, ack) \
                    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING";
const COLUMNS: &str = "sha256, claim_id, job, guest, received_at_ms, source, trust, envelope, ack";

impl Store {
    /// Stores the report and its acknowledgement in one commit. False: the claim was used or the bytes are known.
    /// `identities` (kind and value) are what the report says of its guest; see [`Store::sharing`].
    pub async fn take_report(
        &self,
        report: &StoredReport,
        identities: &[(&'static str, String)],
    ) -> Result<bool, StoreError> {
        let (identities, report) = (text("identities", identities)?, report.clone());
        self.write_often(move |writing| Box::pin(async move { take(writing, &report, identities).await }))
            .await
    }

    /// The same for an open claim, of whose candidates this is the one: the others are forgotten, as `refused`.
    pub async fn choose_report(
        &self,
        report: &StoredReport,
        identities: &[(&'static str, String)],
        refused: &[Refused],
    ) -> Result<bool, StoreError> {
        let (identities, report) = (text("identities", identities)?, report.clone());
        let refused = refused.to_vec();
        self.write(move |writing| {
            Box::pin(async move {
                if !take(writing, &report, identities).await? {
                    return Ok(false);
                }
                // What was refuted since the caller looked is on record already.
                let standing = candidates::candidates(&mut *writing.sql, &report.claim_id).await?;
                let stands = |refused: &&Refused| {
                    let is_it =
                        |one: &Candidate| Some(&one.sha256) == refused.sha256.as_ref() && !one.refuted;
                    standing.iter().any(is_it)
                };
                candidates::forget(writing, &report.claim_id).await?;
                for refused in refused.iter().filter(stands) {
                    refusals::insert(writing, refused, false).await?;
                }
                Ok(true)
            })
        })
        .await
    }

    /// Raises the trust of a report once the hypervisor has shown the same bytes.
    pub async fn set_trust(&self, sha256: &str, trust: Trust) -> Result<(), StoreError> {
        let sha256 = sha256.to_owned();
        self.write(move |writing| {
            Box::pin(async move {
                sqlx::query("UPDATE reports SET trust = $1 WHERE sha256 = $2")
                    .bind(trust.as_str())
                    .bind(sha256)
                    .execute(&mut *writing.sql)
                    .await
                    .map_err(failed("record a report's trust"))?;
                Ok(())
            })
        })
        .await
    }

    pub async fn report(&self, sha256: &str) -> Result<Option<StoredReport>, StoreError> {
        self.one_report("sha256", sha256).await
    }

    /// Digest of the job's report and when it came, without reading the report.
    pub async fn report_came(&self, job: &str) -> Result<Option<(String, u64)>, StoreError> {
        let row = sqlx::query("SELECT sha256, received_at_ms FROM reports WHERE job = $1")
            .bind(job)
            .fetch_optional(&mut *self.database.reader().await?)
            .await
            .map_err(failed("look for a report"))?;
        Ok(row.map(|row| (row.get(0), unsigned(row.get(1)))))
    }

    pub async fn report_of_job(&self, job: &str) -> Result<Option<StoredReport>, StoreError> {
        self.one_report("job", job).await
    }

    async fn one_report(
        &self,
        column: &'static str,
        value: &str,
    ) -> Result<Option<StoredReport>, StoreError> {
        let row = sqlx::query(AssertSqlSafe(format!("SELECT {COLUMNS} FROM reports WHERE {column} = $1")))
            .bind(value)
            .fetch_optional(&mut *self.database.reader().await?)
            .await
            .map_err(failed("read a report"))?;
        row.as_ref().map(read_report).transpose()
    }

    /// The reports that fit, newest first, and what to ask for the next page with.
    pub async fn list_reports(
        &self,
        filter: &ReportFilter,
    ) -> Result<(Vec<StoredReport>, Option<String>), StoreError> {
        let mut query = Query::new(format!("SELECT {COLUMNS} FROM reports WHERE 1 = 1"));
        query.optional(" AND guest = ", filter.guest.as_ref());
        if let Some((at_ms, sha256)) = filter.before.as_deref().and_then(place) {
            query.number(" AND (received_at_ms, sha256) < (", at_ms);
            query.text(", ", sha256);
            query.push(")");
        }
        let limit = page(filter.limit);
        query.push(&format!(" ORDER BY received_at_ms DESC, sha256 DESC LIMIT {}", limit + 1));
        let rows = query.fetch(&mut *self.database.reader().await?, "list the reports").await?;
        let mut reports = rows.iter().map(read_report).collect::<Result<Vec<_>, _>>()?;
        let more = reports.len() > limit;
        reports.truncate(limit);
        let next = reports.last().filter(|_| more);
        let next = next.map(|report| format!("{}.{}", report.received_at_ms, report.sha256));
        Ok((reports, next))
    }

    /// Every report, oldest first.
    pub async fn reports(&self) -> Result<Vec<StoredReport>, StoreError> {
        let rows = sqlx::query(AssertSqlSafe(format!(
            "SELECT {COLUMNS} FROM reports ORDER BY received_at_ms, sha256"
        )))
        .fetch_all(&mut *self.database.reader().await?)
        .await
        .map_err(failed("list the reports"))?;
        rows.iter().map(read_report).collect()
    }
}

/// False: the claim was used or the bytes are known.
async fn take(
    writing: &mut Writing<'_>,
    report: &StoredReport,
    identities: String,
) -> Result<bool, StoreError> {
    let (envelope, ack) = (text("a report", &report.envelope)?, text("a report", &report.ack)?);
    let dialect = writing.dialect;
    let named = identities::insert(dialect, "$10");
    let take = dialect.both(TAKE, "job", &named, "ON CONFLICT DO NOTHING");
    let take = format!("{}{take}", writing.opening());
    let done = sqlx::query(AssertSqlSafe(take))
        .bind(&report.sha256)
        .bind(&report.claim_id)
        .bind(&report.job)
        .bind(&report.guest)
        .bind(signed(report.received_at_ms))
        .bind(&report.source)
        .bind(report.trust.as_str())
        .bind(envelope)
        .bind(ack)
        .bind(identities)
        .fetch_all(&mut *writing.sql)
        .await
        .map_err(failed("store a report"))?;
    if done.is_empty() {
        return Ok(false);
    }
    writing.changes.push(Change::Report { claim: report.claim_id.clone() });
    Ok(true)
}

/// Where a page ended: the time and the digest of its last report.
fn place(cursor: &str) -> Option<(i64, &str)> {
    let (at_ms, sha256) = cursor.split_once('.')?;
    Some((at_ms.parse().ok()?, sha256))
}

fn read_report(row: &AnyRow) -> Result<StoredReport, StoreError> {
    let what = "a report";
    Ok(StoredReport {
        sha256: row.get(0),
        claim_id: row.get(1),
        job: row.get(2),
        guest: row.get(3),
        received_at_ms: unsigned(row.get(4)),
        source: row.get(5),
        trust: trust(row.get(6))?,
        envelope: parsed(what, row.get(7))?,
        ack: parsed(what, row.get(8))?,
    })
}

pub(super) fn trust(name: String) -> Result<Trust, StoreError> {
    serde_json::from_value(name.into()).map_err(|source| StoreError::row("a report's trust", source))
}

//! What is forgotten: jobs that are gone, with everything of theirs, and what was refused.

use std::time::Duration;

use sqlx::AssertSqlSafe;

use super::database::Writing;
use super::error::failed;
use super::rows::{signed, text};
use super::{Store, StoreError};
use crate::clock::now_ms;

/// Jobs in one transaction: others shall not wait long.
const TOGETHER: i64 = 200;

/// How much was forgotten.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Pruned {
    pub jobs: u64,
    pub events: u64,
    pub claims: u64,
    pub reports: u64,
    /// Files of `firstlight verify`, and what guests sent by themselves.
    pub evidence: u64,
    pub refusals: u64,
}

impl Store {
    /// Forgets jobs that were rolled back or abandoned longer ago than `jobs`, with their events, claims, reports and
    /// evidence; and reports and evidence of guests that are gone, and refusals, older than `reports`. Whatever belongs to a guest that still is
    /// stays. Host keys and machine-ids of guests that are gone are remembered for ever: a second guest with one of them is a
    /// copy.
    pub async fn prune(&self, jobs: Duration, reports: Duration) -> Result<Pruned, StoreError> {
        let (jobs, reports) = (before(jobs), before(reports));
        let mut all = Pruned::default();
        loop {
            let some = self.write(move |writing| Box::pin(async move { prune(writing, jobs).await })).await?;
            all.jobs += some.jobs;
            all.events += some.events;
            all.claims += some.claims;
            all.reports += some.reports;
            all.evidence += some.evidence;
            if some.jobs == 0 {
                break;
            }
        }
        // What has ended needs no revocation any more; it is kept as long as reports are, to be looked at.
        self.write(move |writing| {
            Box::pin(async move { super::certificates::forget(writing, reports / 1000).await })
        })
        .await?;
        let old = self.write(move |writing| Box::pin(async move { forget_reports(writing, reports).await }));
        let old = old.await?;
        all.reports += old.reports;
        all.evidence += old.evidence;
        all.refusals += old.refusals;
        Ok(all)
    }
}

fn before(age: Duration) -> i64 {
    signed(now_ms().saturating_sub(u64::try_from(age.as_millis()).unwrap_or(u64::MAX)))
}

async fn prune(writing: &mut Writing<'_>, before: i64) -> Result<Pruned, StoreError> {
    // Locked until they are forgotten: nobody claims them or asks anything of them meanwhile.
    let look = format!(
        "SELECT id FROM jobs WHERE phase IN ('rolled-back', 'abandoned') AND live = 0 AND held = 0 \
         AND is_open = 0 AND request IS NULL AND ended_at_ms < $1 LIMIT $2{}",
        writing.dialect.skip_locked()
    );
    let gone: Vec<String> = sqlx::query_scalar(AssertSqlSafe(look))
        .bind(before)
        .bind(TOGETHER)
        .fetch_all(&mut *writing.sql)
        .await
        .map_err(failed("look for old jobs"))?;
    let gone = text("a list of jobs", &gone)?;
    let mut counts = [0; 10];
    let tables = [
        ("events", "job"),
        ("claims", "job"),
        ("candidates", "job"),
        ("reports", "job"),
        ("reservations", "job"),
        ("leases", "job"),
        ("evidence", "job"),
        ("heard", "job"),
        ("outbox", "job"),
        ("jobs", "id"),
    ];
    for (count, (table, column)) in counts.iter_mut().zip(tables) {
        let delete = format!("DELETE FROM {table} WHERE {column} IN {}", writing.dialect.texts("$1"));
        let done = sqlx::query(AssertSqlSafe(delete))
            .bind(&gone)
            .execute(&mut *writing.sql)
            .await
            .map_err(failed("forget old jobs"))?;
        *count = done.rows_affected();
    }
    let [events, claims, _, reports, _, _, evidence, heard, _, jobs] = counts;
    Ok(Pruned { jobs, events, claims, reports, evidence: evidence + heard, refusals: 0 })
}

async fn forget_reports(writing: &mut Writing<'_>, before: i64) -> Result<Pruned, StoreError> {
    let mut forgotten = [0; 4];
    let statements = [
        "DELETE FROM reports WHERE received_at_ms < $1 \
         AND NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.id = reports.job AND jobs.live = 1)",
        "DELETE FROM evidence WHERE at_ms < $1 \
         AND NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.id = evidence.job AND jobs.live = 1)",
        "DELETE FROM heard WHERE at_ms < $1 \
         AND NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.id = heard.job AND jobs.live = 1)",
        "DELETE FROM refusals WHERE at_ms < $1",
    ];
    for (count, statement) in forgotten.iter_mut().zip(statements) {
        let done = sqlx::query(statement)
            .bind(before)
            .execute(&mut *writing.sql)
            .await
            .map_err(failed("forget old reports"))?;
        *count = done.rows_affected();
    }
    let [reports, evidence, heard, refusals] = forgotten;
    Ok(Pruned { reports, evidence: evidence + heard, refusals, ..Pruned::default() })
}

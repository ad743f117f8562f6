//! Lists of jobs, page by page, newest first. What they show is kept beside each journal.

use firstlight_shared::wire::Trust;
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};

use super::error::failed;
use super::query::Query;
use super::rows::{parsed, unsigned};
use super::{Store, StoreError};
use crate::job::Phase;
use crate::outcome::Fault;

/// As many as a page has if nobody says otherwise, and at most.
pub(super) const PAGE: usize = 100;
const PAGE_AT_MOST: usize = 1000;

/// Which jobs to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobFilter {
    /// Empty: in any state.
    pub states: Vec<Phase>,
    pub guest: Option<String>,
    pub batch: Option<String>,
    /// 0: as many as a page has; at most 1000.
    pub limit: usize,
    /// Only jobs older than this one: `next` of the page before.
    pub before: Option<String>,
}

impl JobFilter {
    /// Whether this can be the end of a page: a job's id.
    pub fn is_place(text: &str) -> bool {
        !text.is_empty() && text.len() <= 64 && text.chars().all(|c| c.is_ascii_hexdigit())
    }
}

/// A job as lists show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRow {
    pub id: String,
    pub guest: String,
    pub backend: String,
    pub batch: String,
    pub phase: Phase,
    /// The step at work, or where it failed.
    pub step: Option<String>,
    pub failure: Option<Fault>,
    /// Of the guest's report, if there is one; of a guest that was found ready without any, of its beacon.
    pub trust: Option<Trust>,
    pub created_ms: u64,
    pub ended_ms: Option<u64>,
    /// The life of the companion that has it, or had it last.
    pub companion: Option<String>,
    /// Somebody holds its lease now.
    pub held: bool,
    /// The number of its next event.
    pub events: u64,
    /// The job whose guest it changes.
    pub change_of: Option<String>,
    /// When its guest is destroyed.
    pub due_ms: Option<u64>,
    /// Its guest is ready, and gone once it stops.
    pub ephemeral: bool,
}

pub(super) const COLUMNS: &str = "id, guest, backend, batch, phase, step, failure, created_at_ms, ended_at_ms, companion, \
                       held, events, coalesce((SELECT trust FROM reports WHERE reports.job = jobs.id LIMIT 1), \
                       (SELECT trust FROM claims WHERE claims.job = jobs.id)), change_of, due_at_ms, ephemeral";

impl Store {
    /// The jobs that fit, newest first, and what to ask for the next page with.
    pub async fn list_jobs(&self, filter: &JobFilter) -> Result<(Vec<JobRow>, Option<String>), StoreError> {
        let mut query = Query::new(format!("SELECT {COLUMNS} FROM jobs WHERE 1 = 1"));
        if !filter.states.is_empty() {
            query.any_of(" AND phase IN ", filter.states.iter().map(|phase| phase.as_str().to_owned()));
        }
        query.optional(" AND guest = ", filter.guest.as_ref());
        query.optional(" AND batch = ", filter.batch.as_ref());
        query.optional(" AND id < ", filter.before.as_ref());
        let limit = page(filter.limit);
        query.push(&format!(" ORDER BY id DESC LIMIT {}", limit + 1));
        let rows = query.fetch(&mut *self.database.reader().await?, "list the jobs").await?;
        let mut jobs = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let more = jobs.len() > limit;
        jobs.truncate(limit);
        let next = jobs.last().filter(|_| more).map(|job| job.id.clone());
        Ok((jobs, next))
    }

    pub async fn job(&self, id: &str) -> Result<Option<JobRow>, StoreError> {
        self.one_job("id = $1", id).await
    }

    /// The job that a guest has; of a guest that is no more, the last one it had.
    pub async fn job_of_guest(&self, guest: &str) -> Result<Option<JobRow>, StoreError> {
        self.one_job("guest = $1 AND change_of IS NULL ORDER BY live DESC, id DESC LIMIT 1", guest).await
    }

    async fn one_job(&self, which: &'static str, value: &str) -> Result<Option<JobRow>, StoreError> {
        let row = sqlx::query(AssertSqlSafe(format!("SELECT {COLUMNS} FROM jobs WHERE {which}")))
            .bind(value)
            .fetch_optional(&mut *self.database.reader().await?)
            .await
            .map_err(failed("read a job"))?;
        row.as_ref().map(read).transpose()
    }

    /// How many jobs are in which state.
    pub async fn count_jobs(&self) -> Result<Vec<(Phase, u64)>, StoreError> {
        let rows = sqlx::query("SELECT phase, count(*) FROM jobs GROUP BY phase")
            .fetch_all(&mut *self.database.reader().await?)
            .await
            .map_err(failed("count the jobs"))?;
        rows.iter().map(|row| Ok((phase(row.get(0))?, unsigned(row.get(1))))).collect()
    }
}

pub(super) fn page(limit: usize) -> usize {
    if limit == 0 { PAGE } else { limit.min(PAGE_AT_MOST) }
}

pub(super) fn phase(name: String) -> Result<Phase, StoreError> {
    serde_json::from_value(name.into()).map_err(|source| StoreError::row("a job's state", source))
}

pub(super) fn read(row: &AnyRow) -> Result<JobRow, StoreError> {
    let failure: Option<String> = row.get(6);
    let trust: Option<String> = row.get(12);
    Ok(JobRow {
        id: row.get(0),
        guest: row.get(1),
        backend: row.get(2),
        batch: row.get(3),
        phase: phase(row.get(4))?,
        step: row.get(5),
        failure: failure.map(|text| parsed("a failure", &text)).transpose()?,
        trust: trust.map(super::reports::trust).transpose()?,
        created_ms: unsigned(row.get(7)),
        ended_ms: row.get::<Option<i64>, _>(8).map(unsigned),
        companion: row.get(9),
        held: row.get::<i64, _>(10) != 0,
        events: unsigned(row.get(11)),
        change_of: row.get(13),
        due_ms: row.get::<Option<i64>, _>(14).map(unsigned),
        ephemeral: row.get::<i64, _>(15) != 0,
    })
}

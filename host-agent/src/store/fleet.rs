//! The guests that there are, for an overview: searched, sorted, page by page. Two looks: which rows, then what is in them.

use std::collections::HashMap;

use sqlx::{AssertSqlSafe, Row};

use super::error::failed;
use super::lists::{COLUMNS, phase, read};
use super::query::Query;
use super::rows::{parsed, text, unsigned};
use super::{JobRow, Store, StoreError};
use crate::job::Phase;

/// The guests whose names are taken. As the index of names has it, so that it is used.
const THERE: &str = "live = 1 AND change_of IS NULL";

/// Which guests to show, and in which order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FleetFilter {
    /// Part of a name, or the whole of an identity: a MAC, an address, a machine-id, a fingerprint.
    pub search: String,
    /// Empty: in any state.
    pub states: Vec<Phase>,
    pub backend: Option<String>,
    /// Part of a golden's name.
    pub golden: Option<String>,
    pub sort: FleetSort,
    pub descending: bool,
    /// Where the page before ended.
    pub after: Option<FleetPlace>,
    pub limit: usize,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum FleetSort {
    #[default]
    Name,
    /// Those first that want somebody's attention.
    State,
    /// How long it took until it was ready.
    Ready,
    /// When its report came.
    Report,
    /// When it was asked for.
    Made,
}

/// A guest's place in an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetPlace {
    pub key: i64,
    pub guest: String,
}

/// One guest of the overview.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetRow {
    pub job: JobRow,
    pub golden: Option<String>,
    /// SHA-256 of its report, and when it came (milliseconds since the Unix epoch).
    pub report: Option<(String, u64)>,
}

/// So many guests of one backend are in one state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetCount {
    pub phase: Phase,
    pub backend: String,
    pub count: u64,
}

impl FleetSort {
    /// A number for each row; what has none comes last, whichever the direction.
    fn key(self, descending: bool) -> String {
        let last = if descending { -1 } else { i64::MAX };
        match self {
            Self::Name => "CAST(0 AS BIGINT)".to_owned(),
            Self::State => {
                "CAST(CASE phase WHEN 'needs-operator' THEN 0 WHEN 'unwinding' THEN 1 WHEN 'running' THEN 2 \
                            WHEN 'waiting' THEN 3 WHEN 'queued' THEN 4 ELSE 5 END AS BIGINT)"
                    .to_owned()
            }
            Self::Ready => {
                format!(
                    "CASE WHEN phase = 'done' THEN coalesce(ended_at_ms - created_at_ms, {last}) ELSE {last} END"
                )
            }
            Self::Report => {
                format!(
                    "coalesce((SELECT max(received_at_ms) FROM reports WHERE reports.job = jobs.id), {last})"
                )
            }
            Self::Made => "created_at_ms".to_owned(),
        }
    }
}

impl Store {
    /// One page of guests, and where the next one begins.
    pub async fn fleet(
        &self,
        filter: &FleetFilter,
    ) -> Result<(Vec<FleetRow>, Option<FleetPlace>), StoreError> {
        let mut places = self.fleet_places(filter).await?;
        let more = places.len() > filter.limit;
        places.truncate(filter.limit);
        let ids: Vec<String> = places.iter().map(|(id, _)| id.clone()).collect();
        let mut rows: HashMap<String, FleetRow> =
            self.fleet_rows("id IN", &ids).await?.into_iter().map(|row| (row.job.id.clone(), row)).collect();
        let next = places.last().filter(|_| more).map(|(_, place)| place.clone());
        Ok((ids.iter().filter_map(|id| rows.remove(id)).collect(), next))
    }

    async fn fleet_places(&self, filter: &FleetFilter) -> Result<Vec<(String, FleetPlace)>, StoreError> {
        let key = filter.sort.key(filter.descending);
        let mut query = Query::new(format!("SELECT id, guest, {key} AS place FROM jobs WHERE {THERE}"));
        if !filter.search.is_empty() {
            query.text(" AND (guest LIKE ", &part(&filter.search.to_lowercase()));
            query.text(" ESCAPE '!' OR id IN (SELECT job FROM identities WHERE kind IN ('mac', 'address', 'machine-id', 'hostname', 'ssh-host-key') AND retired = 0 AND value = ", &filter.search);
            query.push("))");
        }
        if !filter.states.is_empty() {
            query.any_of(" AND phase IN ", filter.states.iter().map(|phase| phase.as_str().to_owned()));
        }
        query.optional(" AND backend = ", filter.backend.as_ref());
        if let Some(golden) = &filter.golden {
            query.text(&format!(" AND {} LIKE ", self.database.dialect().golden()), &part(golden));
            query.push(" ESCAPE '!'");
        }
        let (beyond, order) = if filter.descending { ("<", "DESC") } else { (">", "ASC") };
        if let Some(after) = &filter.after {
            query.number(&format!(" AND ({key} {beyond} "), after.key);
            query.number(&format!(" OR ({key} = "), after.key);
            // By name, the direction is the name's.
            let by_name = if filter.sort == FleetSort::Name { beyond } else { ">" };
            query.text(&format!(" AND guest {by_name} "), &after.guest);
            query.push("))");
        }
        let names = if filter.sort == FleetSort::Name { order } else { "ASC" };
        let first = if filter.sort == FleetSort::Name { String::new() } else { format!("place {order}, ") };
        query.push(&format!(" ORDER BY {first}guest {names} LIMIT {}", filter.limit + 1));
        let rows = query.fetch(&mut *self.database.reader().await?, "list the guests").await?;
        Ok(rows.iter().map(|row| (row.get(0), FleetPlace { guest: row.get(1), key: row.get(2) })).collect())
    }

    /// The rows of the guests that these jobs are for, as they are now; of one that is gone, none.
    pub async fn fleet_of_jobs(&self, jobs: &[String]) -> Result<Vec<FleetRow>, StoreError> {
        self.fleet_rows(&format!("{THERE} AND guest IN (SELECT guest FROM jobs WHERE id IN"), jobs).await
    }

    async fn fleet_rows(&self, which: &str, ids: &[String]) -> Result<Vec<FleetRow>, StoreError> {
        let dialect = self.database.dialect();
        let end = if which.contains('(') { ")" } else { "" };
        let select = format!(
            "SELECT {COLUMNS}, {}, (SELECT sha256 FROM reports WHERE reports.job = jobs.id LIMIT 1), \
             (SELECT received_at_ms FROM reports WHERE reports.job = jobs.id LIMIT 1) FROM jobs WHERE {which} {}{end}",
            dialect.golden(),
            dialect.texts("$1"),
        );
        let rows = sqlx::query(AssertSqlSafe(select))
            .bind(text("a list of jobs", ids)?)
            .fetch_all(&mut *self.database.reader().await?)
            .await
            .map_err(failed("read the guests"))?;
        let width = 16;
        rows.iter()
            .map(|row| {
                let golden: Option<String> = row.get(width);
                let (sha256, at): (Option<String>, Option<i64>) = (row.get(width + 1), row.get(width + 2));
                Ok(FleetRow {
                    job: read(row)?,
                    golden: golden.filter(|golden| !golden.is_empty()),
                    report: sha256.zip(at.map(unsigned)),
                })
            })
            .collect()
    }

    /// These jobs as lists show them, in no order.
    pub async fn jobs_of(&self, ids: &[String]) -> Result<Vec<JobRow>, StoreError> {
        let list = self.database.dialect().texts("$1");
        let rows = sqlx::query(AssertSqlSafe(format!("SELECT {COLUMNS} FROM jobs WHERE id IN {list}")))
            .bind(text("a list of jobs", ids)?)
            .fetch_all(&mut *self.database.reader().await?)
            .await
            .map_err(failed("read jobs"))?;
        rows.iter().map(read).collect()
    }

    /// How many guests of which backend are in which state.
    pub async fn count_fleet(&self) -> Result<Vec<FleetCount>, StoreError> {
        let count =
            format!("SELECT phase, backend, count(*) FROM jobs WHERE {THERE} GROUP BY phase, backend");
        let rows = sqlx::query(AssertSqlSafe(count))
            .fetch_all(&mut *self.database.reader().await?)
            .await
            .map_err(failed("count the guests"))?;
        let read = |row: &sqlx::any::AnyRow| {
            Ok(FleetCount { phase: phase(row.get(0))?, backend: row.get(1), count: unsigned(row.get(2)) })
        };
        rows.iter().map(read).collect()
    }

    /// The signed text of these jobs' reports, as it was taken: by the report's SHA-256.
    pub async fn report_texts(&self, jobs: &[String]) -> Result<Vec<(String, String)>, StoreError> {
        let list = self.database.dialect().texts("$1");
        let select = format!("SELECT sha256, envelope FROM reports WHERE job IN {list}");
        let rows = sqlx::query(AssertSqlSafe(select))
            .bind(text("a list of jobs", jobs)?)
            .fetch_all(&mut *self.database.reader().await?)
            .await
            .map_err(failed("read reports"))?;
        let read = |row: &sqlx::any::AnyRow| {
            let envelope: firstlight_shared::wire::Envelope = parsed("a report", row.get(1))?;
            Ok((row.get(0), envelope.report))
        };
        rows.iter().map(read).collect()
    }
}

/// A pattern for LIKE with this somewhere in it.
fn part(text: &str) -> String {
    let mut pattern = String::from("%");
    for c in text.chars().take(100) {
        if matches!(c, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_searched_for_is_no_pattern() {
        assert_eq!(part("web_1%!"), "%web!_1!%!!%");
        assert_eq!(part(&"x".repeat(500)).len(), 102);
    }
}

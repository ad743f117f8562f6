//! The guests that there are, as an overview shows them.

use crate::bringup::api::JobLine;
use crate::bringup::service::Bringups;
use crate::store::{FleetFilter, FleetPlace, FleetRow, StoreError};

/// One guest of the overview.
#[derive(Debug, Clone, PartialEq)]
pub struct FleetLine {
    pub line: JobLine,
    /// None: somebody else made the guest.
    pub golden: Option<String>,
    /// SHA-256 of its report, and when it came (milliseconds since the Unix epoch).
    pub report: Option<(String, u64)>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct FleetPage {
    pub lines: Vec<FleetLine>,
    /// Where the next page begins; none: this is the last one.
    pub next: Option<FleetPlace>,
}

impl Bringups {
    /// One page of guests.
    pub async fn fleet(&self, filter: &FleetFilter) -> Result<FleetPage, StoreError> {
        let (rows, next) = self.store.fleet(filter).await?;
        Ok(FleetPage { lines: self.fleet_lines(rows).await?, next })
    }

    /// The guests that these jobs are for, as they are now.
    pub async fn fleet_of_jobs(&self, jobs: &[String]) -> Result<Vec<FleetLine>, StoreError> {
        self.fleet_lines(self.store.fleet_of_jobs(jobs).await?).await
    }

    /// These jobs as lists show them.
    pub async fn lines_of(&self, jobs: &[String]) -> Result<Vec<JobLine>, StoreError> {
        self.lines(self.store.jobs_of(jobs).await?).await
    }

    async fn fleet_lines(&self, rows: Vec<FleetRow>) -> Result<Vec<FleetLine>, StoreError> {
        let (jobs, rest): (Vec<_>, Vec<_>) =
            rows.into_iter().map(|row| (row.job, (row.golden, row.report))).unzip();
        let lines = self.lines(jobs).await?.into_iter().zip(rest);
        Ok(lines.map(|(line, (golden, report))| FleetLine { line, golden, report }).collect())
    }
}

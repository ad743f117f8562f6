//! Asks the companion's service for what a page is made of.

use super::build::{Sources, build};
use super::page::GuestReport;
use crate::bringup::{Bringups, ReportFilter, ReportPage};
use crate::store::StoreError;

/// The page of a job, or of a guest by its name; none if there is no such job.
///
/// # Errors
/// The store fails.
pub async fn gather(
    service: &Bringups,
    job_or_guest: &str,
    now_ms: u64,
) -> Result<Option<GuestReport>, StoreError> {
    let Some(job) = service.resolve(job_or_guest).await? else { return Ok(None) };
    let Some(view) = service.view(&job).await? else { return Ok(None) };
    let events = service.events(&job).await?;
    let report = service.report_of(&job).await?;
    let filter = ReportFilter { guest: Some(view.name.clone()), ..ReportFilter::default() };
    let ReportPage { reports, refusals, evidence, .. } = service.reports(&filter).await?;
    Ok(Some(build(&Sources {
        view: &view,
        events: &events,
        report: report.as_ref(),
        reports: &reports,
        refusals: &refusals,
        evidence: &evidence,
        now_ms,
    })))
}

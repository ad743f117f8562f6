//! Jobs: lists, one job with everything, several joined.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use firstlight_shared::text::escape;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::error::ApiError;
use super::extract::{Params, split};
use crate::bringup::{Bringups, GuestView, JobFilter, JobPage, ReportFilter, ReportPage, Summary};
use crate::job::{Phase, Recorded};
use crate::outcome::Fault;
use crate::store::{Refused, StoredEvidence};

/// The largest page.
pub(super) const PAGE_LIMIT: usize = 1000;

#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields, default)]
pub(super) struct JobsQuery {
    /// States joined by commas; empty: any.
    #[param(required = false, example = "running,waiting")]
    state: String,
    /// Only of this guest.
    guest: Option<String>,
    /// Only those submitted together.
    batch: Option<String>,
    /// At most so many, up to 1000; as many as a page has, if 0 or nothing.
    #[param(required = false)]
    limit: usize,
    /// `next` of the page before.
    before: Option<String>,
}

/// One job with its journal, and the reports that were refused in its name.
#[derive(Debug, Serialize, ToSchema)]
pub struct ShownJob {
    pub job: JobWithEvents,
    pub refusals: Vec<Refused>,
    /// Of the guest when it was verified anew, newest first.
    pub evidence: Vec<StoredEvidence>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct JobWithEvents {
    #[serde(flatten)]
    pub view: GuestView,
    pub events: Vec<Recorded>,
}

/// List jobs, newest first.
#[utoipa::path(get, path = "/v1/jobs", tag = "jobs", params(JobsQuery),
    responses((status = 200, body = JobPage), (status = 400, body = Fault), (status = "default", body = Fault)))]
pub(super) async fn list(
    State(service): State<Arc<Bringups>>,
    Params(query): Params<JobsQuery>,
) -> Result<Json<JobPage>, ApiError> {
    let states = split(&query.state).iter().map(|text| phase(text)).collect::<Result<_, _>>()?;
    let limit = query.limit.min(PAGE_LIMIT);
    check_place(query.before.as_deref(), JobFilter::is_place)?;
    let filter = JobFilter { states, guest: query.guest, batch: query.batch, limit, before: query.before };
    Ok(Json(service.jobs(&filter).await?))
}

/// What is no end of a page would give the first page again.
pub(super) fn check_place(before: Option<&str>, is_place: fn(&str) -> bool) -> Result<(), ApiError> {
    match before.filter(|before| !is_place(before)) {
        None => Ok(()),
        Some(before) => {
            let message = format!("`before`: `{}` is not the `next` of a page", escape(before, 40));
            let fault = Fault::new("bad-request", message);
            Err(fault.with_hint("without it, the first page is listed, and tells of the next").into())
        }
    }
}

fn phase(text: &str) -> Result<Phase, ApiError> {
    serde_json::from_value(text.into())
        .map_err(|_| ApiError::malformed(format!("`state`: there is no state `{}`", escape(text, 40))))
}

/// Show one job: by its id, or by a guest's name (then its newest job).
#[utoipa::path(get, path = "/v1/jobs/{id}", tag = "jobs", params(("id" = String, Path, description = "Job id or guest's name")),
    responses((status = 200, body = ShownJob), (status = 404, body = Fault), (status = "default", body = Fault)))]
pub(super) async fn show(
    State(service): State<Arc<Bringups>>,
    Path(id): Path<String>,
) -> Result<Json<ShownJob>, ApiError> {
    let job = resolve(&service, &id).await?;
    let view = service.view(&job).await?.ok_or_else(|| ApiError::no_such_job(&id))?;
    let events = service.events(&job).await?;
    let filter = ReportFilter { guest: Some(view.name.clone()), ..ReportFilter::default() };
    let ReportPage { refusals, mut evidence, .. } = service.reports(&filter).await?;
    evidence.retain(|evidence| evidence.job == job);
    let refusals = refusals.into_iter().filter(|refused| refused.job.as_ref() == Some(&job)).collect();
    Ok(Json(ShownJob { job: JobWithEvents { view, events }, refusals, evidence }))
}

/// The job that is meant.
pub(super) async fn resolve(service: &Bringups, id: &str) -> Result<String, ApiError> {
    service.resolve(id).await?.ok_or_else(|| ApiError::no_such_job(id))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct SummaryQuery {
    /// Job ids joined by commas.
    jobs: String,
}

/// Several jobs with their reports, and every identity that their guests share with any other: none, if all is well.
#[utoipa::path(get, path = "/v1/summary", tag = "jobs", params(SummaryQuery),
    responses((status = 200, body = Summary), (status = "default", body = Fault)))]
pub(super) async fn summary(
    State(service): State<Arc<Bringups>>,
    Params(query): Params<SummaryQuery>,
) -> Result<Json<Summary>, ApiError> {
    Ok(Json(service.summary(&split(&query.jobs)).await?))
}

/// How many jobs there are.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct JobCounts {
    /// By state; a state that no job is in is absent.
    pub jobs: BTreeMap<String, u64>,
}

/// Count the jobs by state.
#[utoipa::path(get, path = "/v1/counts", tag = "jobs",
    responses((status = 200, body = JobCounts), (status = "default", body = Fault)))]
pub(super) async fn counts(State(service): State<Arc<Bringups>>) -> Result<Json<JobCounts>, ApiError> {
    let counts = service.counts().await?;
    let jobs = counts.into_iter().map(|(phase, count)| (phase.as_str().to_owned(), count)).collect();
    Ok(Json(JobCounts { jobs }))
}

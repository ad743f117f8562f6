//! The operator's API, version 1, on the unix socket. Who may open the socket may do everything.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use firstlight_shared::error::Chain;
use futures_util::stream;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::bringup::{Bringups, GuestSpec, GuestView, ReportFilter, SubmitError};
use crate::outcome::Fault;
use crate::store::StoreError;

/// `POST /v1/up`
#[derive(Debug, Serialize, Deserialize)]
pub struct UpRequest {
    pub guests: Vec<GuestSpec>,
}

#[derive(Debug, Deserialize)]
struct JobsQuery {
    /// Ids joined by commas.
    #[serde(default)]
    jobs: String,
}

#[derive(Debug, Deserialize)]
struct GuestQuery {
    guest: Option<String>,
}

#[derive(Debug, Deserialize)]
struct DestroyRequest {
    guests: Vec<String>,
}

/// All routes. A pure function of the service: tests call it without a socket.
pub fn api_router(service: Arc<Bringups>) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/up", post(up))
        .route("/v1/jobs", get(jobs))
        .route("/v1/jobs/{id}", get(job))
        .route("/v1/summary", get(summary))
        .route("/v1/follow", get(follow))
        .route("/v1/reports", get(reports))
        .route("/v1/known-hosts", get(known_hosts))
        .route("/v1/destroy", post(destroy))
        .with_state(service)
}

/// An error as the API answers it.
struct ApiError(StatusCode, Fault);

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.0, Json(self.1)).into_response()
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        tracing::error!(error = %Chain(&error), "the store failed");
        Self(StatusCode::INTERNAL_SERVER_ERROR, Fault::new("store", Chain(&error).to_string()))
    }
}

async fn status(State(service): State<Arc<Bringups>>) -> Response {
    Json(json!({ "version": env!("CARGO_PKG_VERSION"), "pid": std::process::id(), "pin": service.pin }))
        .into_response()
}

async fn up(
    State(service): State<Arc<Bringups>>,
    Json(request): Json<UpRequest>,
) -> Result<Response, ApiError> {
    match service.submit(&request.guests, "").await {
        Ok(jobs) => {
            let jobs = jobs.into_iter().map(|one| one.job).collect::<Vec<_>>();
            Ok(Json(json!({ "jobs": jobs })).into_response())
        }
        Err(SubmitError::Refused(fault)) => Err(ApiError(StatusCode::UNPROCESSABLE_ENTITY, fault)),
        Err(SubmitError::Journal(error)) => {
            Err(ApiError(StatusCode::INTERNAL_SERVER_ERROR, Fault::new("journal", Chain(&error).to_string())))
        }
    }
}

async fn jobs(State(service): State<Arc<Bringups>>) -> Result<Response, ApiError> {
    let ids = service.registry.all().into_iter().map(|(job, _)| job).collect::<Vec<_>>();
    let mut list = Vec::new();
    for view in views(&service, &ids).await? {
        list.push(json!({
            "id": view.job, "guest": view.name, "backend": view.backend, "state": view.state, "step": view.step,
            "trust": view.trust, "created_at_ms": view.created_at_ms, "failure": view.failure,
        }));
    }
    Ok(Json(json!({ "jobs": list })).into_response())
}

/// By job id, or by guest name: then its newest job.
async fn job(State(service): State<Arc<Bringups>>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let job = match service.registry.get(&id) {
        Some(_) => Some(id.clone()),
        None => service.registry.job_of_guest(&id).map(|(job, _)| job),
    };
    let view = match &job {
        Some(job) => service.view(job).await?,
        None => None,
    };
    let (Some(job), Some(view)) = (job, view) else {
        let fault = Fault::new(
            "no-such-job",
            format!("there is no job or guest `{}`", firstlight_shared::text::escape(&id, 80)),
        );
        return Err(ApiError(
            StatusCode::NOT_FOUND,
            fault.with_hint("`firstlight jobs` lists what there is"),
        ));
    };
    let refusals = service
        .reports(&ReportFilter { guest: Some(view.name.clone()), ..Default::default() })
        .await?
        .refusals;
    let refusals =
        refusals.into_iter().filter(|refused| refused.job.as_ref() == Some(&job)).collect::<Vec<_>>();
    let mut shown = serde_json::to_value(&view).unwrap_or_default();
    shown["events"] = serde_json::to_value(service.events(&job).await?).unwrap_or_default();
    Ok(Json(json!({ "job": shown, "refusals": refusals })).into_response())
}

async fn summary(
    State(service): State<Arc<Bringups>>,
    Query(query): Query<JobsQuery>,
) -> Result<Response, ApiError> {
    Ok(Json(service.summary(&split(&query.jobs)).await?).into_response())
}

async fn reports(
    State(service): State<Arc<Bringups>>,
    Query(query): Query<GuestQuery>,
) -> Result<Response, ApiError> {
    Ok(Json(service.reports(&ReportFilter { guest: query.guest, ..Default::default() }).await?)
        .into_response())
}

async fn known_hosts(
    State(service): State<Arc<Bringups>>,
    Query(query): Query<GuestQuery>,
) -> Result<Response, ApiError> {
    let guests = split(query.guest.as_deref().unwrap_or_default());
    let hosts = service.known_hosts(&guests).await?;
    if let Some(missing) = guests.iter().find(|guest| hosts.iter().all(|host| host.guest != **guest)) {
        let name = firstlight_shared::text::escape(missing, 80);
        let fault =
            Fault::new("no-such-guest", format!("there is no ready guest `{name}` with a verified report"));
        return Err(ApiError(
            StatusCode::NOT_FOUND,
            fault.with_hint("`firstlight jobs` lists what there is"),
        ));
    }
    Ok(Json(json!({ "hosts": hosts })).into_response())
}

async fn destroy(
    State(service): State<Arc<Bringups>>,
    Json(request): Json<DestroyRequest>,
) -> Result<Response, ApiError> {
    let mut jobs = Vec::new();
    for guest in &request.guests {
        let job = service.destroy(guest, "", "destroyed by the operator").await;
        jobs.push(job.map_err(|fault| ApiError(StatusCode::NOT_FOUND, fault))?);
    }
    Ok(Json(json!({ "jobs": jobs })).into_response())
}

/// The jobs' views as JSON lines, one at every change, until all are final.
async fn follow(State(service): State<Arc<Bringups>>, Query(query): Query<JobsQuery>) -> Response {
    let jobs = split(&query.jobs);
    let changes = service.registry.changes();
    let lines = stream::unfold(Some((service, jobs, changes, Vec::<String>::new())), |follower| async move {
        let (service, jobs, mut changes, mut shown) = follower?;
        loop {
            changes.mark_unchanged();
            let views = match views(&service, &jobs).await {
                Ok(views) => views,
                Err(error) => return Some((Err(std::io::Error::other(Chain(&error).to_string())), None)),
            };
            let mut lines = String::new();
            for (index, view) in views.iter().enumerate() {
                let line = serde_json::to_string(view).unwrap_or_default();
                if shown.get(index) != Some(&line) {
                    lines.push_str(&line);
                    lines.push('\n');
                }
                if index < shown.len() { shown[index] = line } else { shown.push(line) }
            }
            let ended = views.iter().all(|view| view.state.is_final());
            if ended {
                return Some((Ok(Bytes::from(lines)), None));
            }
            if !lines.is_empty() {
                return Some((Ok(Bytes::from(lines)), Some((service, jobs, changes, shown))));
            }
            if changes.changed().await.is_err() {
                return None;
            }
        }
    });
    Body::from_stream(lines).into_response()
}

async fn views(service: &Bringups, jobs: &[String]) -> Result<Vec<GuestView>, StoreError> {
    let mut views = Vec::new();
    for job in jobs {
        views.extend(service.view(job).await?);
    }
    Ok(views)
}

fn split(list: &str) -> Vec<String> {
    list.split(',').filter(|part| !part.is_empty()).map(ToOwned::to_owned).collect()
}

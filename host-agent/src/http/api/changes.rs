//! What people ask of jobs. Each request is validated at once and durable when it is answered; then it is carried out.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use firstlight_shared::text::escape;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::error::ApiError;
use super::extract::{Body, By};
use super::jobs::resolve;
use crate::bringup::Bringups;
use crate::outcome::Fault;

/// Characters of a reason that are kept.
const REASON_LIMIT: usize = 500;

#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CancelRequest {
    /// Why; kept in the journal.
    pub reason: Option<String>,
}

#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RetryRequest {
    /// Undo everything, then begin from the first step, as a new job.
    pub anew: bool,
}

#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AbandonRequest {
    /// Why; kept in the journal.
    pub reason: Option<String>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DestroyRequest {
    /// Names of guests.
    pub guests: Vec<String>,
    /// Why; kept in the journal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KeepRequest {
    /// So long from now on, in milliseconds. None: for ever.
    pub for_ms: Option<u64>,
}

/// The request is on record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Asked {
    /// The job that was asked.
    pub asked: String,
    /// The job to follow: the same, or the one that begins anew.
    pub job: String,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct DestroyAnswer {
    /// In the order of the request.
    pub jobs: Vec<Asked>,
}

fn reason(given: Option<String>, default: &str) -> String {
    let given = given.filter(|text| !text.trim().is_empty());
    given.map_or_else(|| default.to_owned(), |text| escape(&text, REASON_LIMIT))
}

/// Stop a job that is not done, and undo what it did.
#[utoipa::path(post, path = "/v1/jobs/{id}/cancel", tag = "jobs", params(("id" = String, Path, description = "Job id or guest's name")),
    request_body = CancelRequest, responses((status = 200, body = Asked), (status = 404, body = Fault),
    (status = 409, body = Fault, description = "The job has ended"), (status = "default", body = Fault)))]
pub(super) async fn cancel(
    State(service): State<Arc<Bringups>>,
    Path(id): Path<String>,
    By(who): By,
    Body(request): Body<CancelRequest>,
) -> Result<Json<Asked>, ApiError> {
    let asked = resolve(&service, &id).await?;
    let job = service.cancel(&asked, &who, &reason(request.reason, "cancelled by the operator")).await?;
    Ok(Json(Asked { asked, job }))
}

/// Try the failed step again, or begin anew.
#[utoipa::path(post, path = "/v1/jobs/{id}/retry", tag = "jobs", params(("id" = String, Path, description = "Job id or guest's name")),
    request_body = RetryRequest, responses((status = 200, body = Asked), (status = 404, body = Fault),
    (status = 409, body = Fault, description = "There is nothing to try again"), (status = "default", body = Fault)))]
pub(super) async fn retry(
    State(service): State<Arc<Bringups>>,
    Path(id): Path<String>,
    By(who): By,
    Body(request): Body<RetryRequest>,
) -> Result<Json<Asked>, ApiError> {
    let asked = resolve(&service, &id).await?;
    let job = service.retry(&asked, request.anew, &who).await?;
    Ok(Json(Asked { asked, job }))
}

/// Leave everything of a job that needs an operator as it is, and free its guest's name. A guest that somebody else made is
/// forgotten so when it is ready, too.
#[utoipa::path(post, path = "/v1/jobs/{id}/abandon", tag = "jobs", params(("id" = String, Path, description = "Job id or guest's name")),
    request_body = AbandonRequest, responses((status = 200, body = Asked), (status = 404, body = Fault),
    (status = 409, body = Fault, description = "The job needs no operator"), (status = "default", body = Fault)))]
pub(super) async fn abandon(
    State(service): State<Arc<Bringups>>,
    Path(id): Path<String>,
    By(who): By,
    Body(request): Body<AbandonRequest>,
) -> Result<Json<Asked>, ApiError> {
    let asked = resolve(&service, &id).await?;
    let job = service.abandon(&asked, &who, &reason(request.reason, "abandoned by the operator")).await?;
    Ok(Json(Asked { asked, job }))
}

/// Say how long a guest lives, whatever its spec says: for a time from now on, or for ever. The last word counts.
#[utoipa::path(post, path = "/v1/jobs/{id}/keep", tag = "guests", params(("id" = String, Path, description = "Job id or guest's name")),
    request_body = KeepRequest, responses((status = 200, body = Asked), (status = 404, body = Fault),
    (status = 409, body = Fault, description = "The guest is being undone, or gone"), (status = "default", body = Fault)))]
pub(super) async fn keep(
    State(service): State<Arc<Bringups>>,
    Path(id): Path<String>,
    By(who): By,
    Body(request): Body<KeepRequest>,
) -> Result<Json<Asked>, ApiError> {
    let asked = resolve(&service, &id).await?;
    let span = request.for_ms.map(std::time::Duration::from_millis);
    let job = service.keep(&asked, span, &who).await?;
    Ok(Json(Asked { asked, job }))
}

/// Remove guests with everything that was made for them. If one of them does not exist, or was made by somebody else, nothing
/// is done.
#[utoipa::path(post, path = "/v1/destroy", tag = "guests", request_body = DestroyRequest, responses(
    (status = 200, body = DestroyAnswer), (status = 404, body = Fault), (status = "default", body = Fault)))]
pub(super) async fn destroy(
    State(service): State<Arc<Bringups>>,
    By(who): By,
    Body(request): Body<DestroyRequest>,
) -> Result<Json<DestroyAnswer>, ApiError> {
    let why = reason(request.reason, "destroyed by the operator");
    for guest in &request.guests {
        if service.resolve(guest).await?.is_none() {
            let fault = Fault::new("no-such-guest", format!("there is no guest `{}`", escape(guest, 80)));
            return Err(fault.with_hint("`firstlight jobs` lists what there is").into());
        }
        match service.destroyable(guest).await {
            Err(fault) if fault.code == "guest-not-ours" => return Err(fault.into()),
            _ => {}
        }
    }
    let mut jobs = Vec::new();
    for guest in &request.guests {
        let job = service.destroy(guest, &who, &why).await?;
        jobs.push(Asked { asked: job.clone(), job });
    }
    Ok(Json(DestroyAnswer { jobs }))
}

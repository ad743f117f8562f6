//! Guests: what is wanted, and what would be done for it. And the companion's own state.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::error::ApiError;
use super::extract::{Body, By};
use crate::bringup::{Bringups, GuestSpec, PlannedGuest, Submitted};
use crate::outcome::Fault;

/// Guests as they are wanted.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpRequest {
    pub guests: Vec<GuestSpec>,
    /// On whose behalf, for the journal; stands beside who the companion knows to be asking.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// What became of each guest, in the order of the request.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct UpAnswer {
    pub jobs: Vec<Submitted>,
}

/// What would become of each guest, in the order of the request.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct PlanAnswer {
    pub guests: Vec<PlannedGuest>,
}

/// The companion that answers.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Status {
    pub version: String,
    pub pid: u32,
    /// Of the key of the report listener, for guests to pin.
    pub pin: String,
}

/// Which companion answers.
#[utoipa::path(get, path = "/v1/status", tag = "companion",
    responses((status = 200, body = Status), (status = "default", body = Fault)))]
pub(super) async fn status(State(service): State<Arc<Bringups>>) -> Json<Status> {
    Json(Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        pin: service.pin.to_string(),
    })
}

/// Bring guests up. Applying the same again changes nothing. All or none: if one guest is refused, nothing is done.
#[utoipa::path(post, path = "/v1/up", tag = "guests", request_body = UpRequest, responses(
    (status = 200, body = UpAnswer, description = "Recorded; follow the jobs"),
    (status = 400, body = Fault), (status = 409, body = Fault, description = "A guest of that name is there, and differs"),
    (status = 422, body = Fault, description = "Cannot be done"), (status = 503, body = Fault)))]
pub(super) async fn up(
    State(service): State<Arc<Bringups>>,
    By(who): By,
    Body(request): Body<UpRequest>,
) -> Result<Json<UpAnswer>, ApiError> {
    let jobs = service.submit(&request.guests, &on_behalf(request.by, who)).await?;
    Ok(Json(UpAnswer { jobs }))
}

/// Who asks, and on whose behalf.
pub(super) fn on_behalf(by: Option<String>, who: String) -> String {
    match by.filter(|by| !by.is_empty() && *by != who) {
        Some(by) => format!("{} ({who})", firstlight_shared::text::escape(&by, 64)),
        None => who,
    }
}

/// Show what `up` would do for each guest. Changes nothing.
#[utoipa::path(post, path = "/v1/plan", tag = "guests", request_body = UpRequest, responses(
    (status = 200, body = PlanAnswer), (status = 400, body = Fault), (status = "default", body = Fault)))]
pub(super) async fn plan(
    State(service): State<Arc<Bringups>>,
    Body(request): Body<UpRequest>,
) -> Result<Json<PlanAnswer>, ApiError> {
    Ok(Json(PlanAnswer { guests: service.plan(&request.guests).await? }))
}

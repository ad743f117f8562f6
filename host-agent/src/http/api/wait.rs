//! Guests that another tool made: only waited for.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::error::ApiError;
use super::extract::{Body, By};
use super::up::on_behalf;
use crate::bringup::{Bringups, Submitted, WaitFor};
use crate::outcome::Fault;

/// A guest that somebody else made.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WaitRequest {
    pub guest: WaitFor,
    /// On whose behalf, for the journal; stands beside who the companion knows to be asking.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// Wait for a guest that somebody else made: verify and record its readiness, and touch nothing. Asked twice, it is waited for
/// once; of one that is ready the job on record is answered.
#[utoipa::path(post, path = "/v1/wait", tag = "guests", request_body = WaitRequest, responses(
    (status = 200, body = Submitted, description = "Recorded; follow the job"),
    (status = 400, body = Fault), (status = 404, body = Fault, description = "The backend knows no such guest"),
    (status = 409, body = Fault, description = "Another guest has the name"),
    (status = 422, body = Fault, description = "Cannot be done"), (status = 503, body = Fault)))]
pub(super) async fn wait(
    State(service): State<Arc<Bringups>>,
    By(who): By,
    Body(request): Body<WaitRequest>,
) -> Result<Json<Submitted>, ApiError> {
    Ok(Json(service.wait_for(&request.guest, &on_behalf(request.by, who)).await?))
}

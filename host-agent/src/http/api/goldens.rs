//! What `golden lint` found.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::error::ApiError;
use super::extract::{Body, By};
use crate::bringup::{Bringups, VerdictRequest};
use crate::outcome::Fault;
use crate::store::GoldenVerdict;

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct GoldenVerdicts {
    /// The newest of each golden; those first that were looked at last.
    pub verdicts: Vec<GoldenVerdict>,
}

/// What was found in goldens, the newest look at each.
#[utoipa::path(get, path = "/v1/golden-verdicts", tag = "goldens", operation_id = "golden_verdicts",
    responses((status = 200, body = GoldenVerdicts), (status = "default", body = Fault)))]
pub(super) async fn list(State(service): State<Arc<Bringups>>) -> Result<Json<GoldenVerdicts>, ApiError> {
    Ok(Json(GoldenVerdicts { verdicts: service.store.golden_verdicts().await? }))
}

/// Keep what was found in a golden, in the place of an older look at it. Its backend must have it, and in that size.
#[utoipa::path(post, path = "/v1/golden-verdicts", tag = "goldens", operation_id = "record_verdict",
    request_body = VerdictRequest, responses((status = 200, body = GoldenVerdict),
    (status = 422, body = Fault, description = "There is no such golden, or it is another"), (status = "default", body = Fault)))]
pub(super) async fn record(
    State(service): State<Arc<Bringups>>,
    By(who): By,
    Body(request): Body<VerdictRequest>,
) -> Result<Json<GoldenVerdict>, ApiError> {
    Ok(Json(service.record_verdict(request, &who).await?))
}

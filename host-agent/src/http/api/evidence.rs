//! Guests asked once more, and who signs what they say.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::error::ApiError;
use super::extract::{Body, By};
use crate::bringup::{Bringups, EvidenceKey, Verified};
use crate::outcome::Fault;

#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct VerifyRequest {
    /// Ask nothing: only what the guest sent by itself, later than this, counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since_ms: Option<u64>,
}

/// Have a guest that was found ready run its checks anew, and keep what it says, compared with its bring-up and signed. Where
/// nothing can be run in it, what it sent by itself.
#[utoipa::path(post, path = "/v1/guests/{guest}/verify", tag = "guests",
    params(("guest" = String, Path, description = "The guest's name")), request_body = VerifyRequest,
    responses((status = 200, body = Verified), (status = 404, body = Fault),
    (status = 409, body = Fault, description = "It was not found ready yet"),
    (status = 422, body = Fault, description = "It does not run, or what it says is no evidence"),
    (status = "default", body = Fault)))]
pub(super) async fn verify(
    State(service): State<Arc<Bringups>>,
    Path(guest): Path<String>,
    By(who): By,
    Body(request): Body<VerifyRequest>,
) -> Result<Json<Verified>, ApiError> {
    Ok(Json(service.verify(&guest, request.since_ms, &who).await?))
}

/// The public key that signs evidence files.
#[utoipa::path(get, path = "/v1/evidence-key", tag = "guests",
    responses((status = 200, body = EvidenceKey), (status = "default", body = Fault)))]
pub(super) async fn evidence_key(
    State(service): State<Arc<Bringups>>,
) -> Result<Json<EvidenceKey>, ApiError> {
    Ok(Json(service.evidence_key().await?))
}

//! Changes of guests that are ready, and their snapshots.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::changes::Asked;
use super::error::ApiError;
use super::extract::{Body, By};
use super::jobs::resolve;
use crate::backend::Snapshot;
use crate::bringup::{Bringups, Change};
use crate::outcome::Fault;

#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeBody {
    pub change: Change,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Snapshots {
    /// Oldest first.
    pub snapshots: Vec<Snapshot>,
}

/// Change a guest that is ready: its memory, its snapshots, or that it is gone when it stops. The change is a job of its
/// own; asked again while it goes on, it is the same one.
#[utoipa::path(post, path = "/v1/guests/{guest}/changes", tag = "guests", params(("guest" = String, Path, description = "Guest's name")),
    request_body = ChangeBody, responses((status = 200, body = Asked), (status = 404, body = Fault),
    (status = 409, body = Fault, description = "The guest is not ready, or is being changed"), (status = "default", body = Fault)))]
pub(super) async fn change(
    State(service): State<Arc<Bringups>>,
    Path(guest): Path<String>,
    By(who): By,
    Body(request): Body<ChangeBody>,
) -> Result<Json<Asked>, ApiError> {
    let asked = resolve(&service, &guest).await?;
    let job = service.change(&asked, &request.change, &who).await?;
    Ok(Json(Asked { asked: job.clone(), job }))
}

/// The snapshots of a guest that is ready, as its hypervisor lists them.
#[utoipa::path(get, path = "/v1/guests/{guest}/snapshots", tag = "guests", params(("guest" = String, Path, description = "Guest's name")),
    responses((status = 200, body = Snapshots), (status = 404, body = Fault), (status = "default", body = Fault)))]
pub(super) async fn snapshots(
    State(service): State<Arc<Bringups>>,
    Path(guest): Path<String>,
) -> Result<Json<Snapshots>, ApiError> {
    let asked = resolve(&service, &guest).await?;
    Ok(Json(Snapshots { snapshots: service.snapshots(&asked).await? }))
}

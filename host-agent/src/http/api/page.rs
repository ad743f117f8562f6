//! The report page of one guest, as values.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};

use super::error::ApiError;
use crate::bringup::Bringups;
use crate::clock::now_ms;
use crate::outcome::Fault;
use crate::report::{GuestReport, gather};

/// Everything that is told of one guest: where its time went, its identity, its checks, and how much of that is proven.
#[utoipa::path(get, path = "/v1/guests/{guest}/report", tag = "guests", operation_id = "guest_report",
    params(("guest" = String, Path, description = "Guest's name (then its newest job) or job id")),
    responses((status = 200, body = GuestReport), (status = 404, body = Fault), (status = "default", body = Fault)))]
pub(super) async fn report(
    State(service): State<Arc<Bringups>>,
    Path(guest): Path<String>,
) -> Result<Json<GuestReport>, ApiError> {
    let page = gather(&service, &guest, now_ms()).await?;
    page.map(Json).ok_or_else(|| ApiError::no_such_job(&guest))
}

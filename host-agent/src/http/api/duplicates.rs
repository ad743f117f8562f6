//! Identities that guests share.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use super::error::ApiError;
use super::extract::Params;
use super::jobs::{PAGE_LIMIT, check_place};
use crate::bringup::{Bringups, DuplicatePage, SharedFilter};
use crate::outcome::Fault;

#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields, default)]
pub(super) struct DuplicatesQuery {
    /// At most so many, up to 1000; as many as a page has, if 0 or nothing.
    #[param(required = false)]
    limit: usize,
    /// `next` of the page before.
    before: Option<String>,
}

/// List identities that two guests told, ever, and claims that were used from two addresses; open ones first.
#[utoipa::path(get, path = "/v1/duplicates", tag = "guests", params(DuplicatesQuery),
    responses((status = 200, body = DuplicatePage), (status = 400, body = Fault), (status = "default", body = Fault)))]
pub(super) async fn duplicates(
    State(service): State<Arc<Bringups>>,
    Params(query): Params<DuplicatesQuery>,
) -> Result<Json<DuplicatePage>, ApiError> {
    check_place(query.before.as_deref(), SharedFilter::is_place)?;
    let filter = SharedFilter { limit: query.limit.min(PAGE_LIMIT), before: query.before };
    Ok(Json(service.duplicates(&filter).await?))
}

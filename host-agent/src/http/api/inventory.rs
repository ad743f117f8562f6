//! Ready guests for other tools.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::error::ApiError;
use crate::bringup::{Bringups, InventoryHost};
use crate::outcome::Fault;

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Inventory {
    pub hosts: Vec<InventoryHost>,
}

/// Guests that are ready and whose report was verified, with addresses and host keys.
#[utoipa::path(get, path = "/v1/inventory", tag = "guests",
    responses((status = 200, body = Inventory), (status = "default", body = Fault)))]
pub(super) async fn inventory(State(service): State<Arc<Bringups>>) -> Result<Json<Inventory>, ApiError> {
    Ok(Json(Inventory { hosts: service.inventory().await? }))
}

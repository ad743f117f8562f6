//! `/livez`, `/readyz` and `/metrics`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use serde_json::json;
use tokio::sync::watch;
use utoipa::openapi::OpenApi as Document;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::metrics::Metrics;
use crate::outcome::Fault;

/// As the OpenMetrics format wants it to be named.
const OPEN_METRICS: &str = "application/openmetrics-text";

/// How the companion is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Condition {
    /// What keeps it from doing its work at all, in a few words; none: it lives.
    pub stuck: Option<&'static str>,
    /// What keeps it from taking work; none: it is ready.
    pub unready: Option<&'static str>,
}

/// What the routes look at.
#[derive(Debug, Clone)]
pub struct Health {
    pub condition: watch::Receiver<Condition>,
    pub metrics: Arc<Metrics>,
}

pub fn health_router(health: Health) -> Router {
    described().split_for_parts().0.with_state(health)
}

/// Their part of the API's description.
pub(super) fn health_document() -> Document {
    described().split_for_parts().1
}

fn described() -> OpenApiRouter<Health> {
    OpenApiRouter::new().routes(routes!(livez)).routes(routes!(readyz)).routes(routes!(metrics))
}

/// Whether the companion can do its work at all.
#[utoipa::path(get, path = "/livez", tag = "health", responses(
    (status = 200, body = Object), (status = 503, body = Fault, description = "Start it again")))]
async fn livez(State(health): State<Health>) -> Response {
    answer("not-alive", health.condition.borrow().stuck)
}

/// Whether the companion takes work now.
#[utoipa::path(get, path = "/readyz", tag = "health", responses(
    (status = 200, body = Object), (status = 503, body = Fault, description = "Ask another one, or later")))]
async fn readyz(State(health): State<Health>) -> Response {
    let condition = health.condition.borrow().clone();
    answer("not-ready", condition.stuck.or(condition.unready))
}

fn answer(code: &str, obstacle: Option<&'static str>) -> Response {
    match obstacle {
        None => Json(json!({ "status": "ok" })).into_response(),
        Some(what) => (StatusCode::SERVICE_UNAVAILABLE, Json(Fault::new(code, what))).into_response(),
    }
}

/// Figures in the OpenMetrics format; in the older text format for whoever accepts `text/plain` and not that.
#[utoipa::path(get, path = "/metrics", tag = "health",
    responses((status = 200, body = String, content_type = "application/openmetrics-text")))]
async fn metrics(State(health): State<Health>, headers: HeaderMap) -> Response {
    let accepted = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if accepted.contains("text/plain") && !accepted.contains(OPEN_METRICS) {
        let kind = "text/plain; version=0.0.4; charset=utf-8";
        return ([(CONTENT_TYPE, kind)], health.metrics.expose_classic()).into_response();
    }
    let kind = format!("{OPEN_METRICS}; version=1.0.0; charset=utf-8");
    ([(CONTENT_TYPE, kind)], health.metrics.expose()).into_response()
}

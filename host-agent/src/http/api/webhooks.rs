//! Whom ends of jobs are told, what waits for them, and a test of it.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use firstlight_shared::text::escape;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::error::ApiError;
use crate::bringup::{Bringups, HookView};
use crate::outcome::Fault;
use crate::store::MessageRow;
use crate::webhook::target_of;

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Webhooks {
    pub webhooks: Vec<HookView>,
    /// The newest ones, of all webhooks.
    pub messages: Vec<MessageRow>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct WebhookTest {
    /// Of the message, among those that are listed.
    pub id: String,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct WebhookRetry {
    pub messages: u64,
}

/// The webhooks of this companion, and the newest messages with how they stand.
#[utoipa::path(get, path = "/v1/webhooks", tag = "webhooks", operation_id = "list_webhooks",
    responses((status = 200, body = Webhooks), (status = "default", body = Fault)))]
pub(super) async fn list(State(service): State<Arc<Bringups>>) -> Result<Json<Webhooks>, ApiError> {
    Ok(Json(Webhooks { webhooks: service.hook_views().await?, messages: service.messages().await? }))
}

/// Send a test message to a webhook. Whether it was taken is in the list soon after.
#[utoipa::path(post, path = "/v1/webhooks/{name}/test", tag = "webhooks", operation_id = "test_webhook",
    params(("name" = String, Path, description = "The webhook's name")),
    responses((status = 200, body = WebhookTest), (status = 404, body = Fault), (status = "default", body = Fault)))]
pub(super) async fn test(
    State(service): State<Arc<Bringups>>,
    Path(name): Path<String>,
) -> Result<Json<WebhookTest>, ApiError> {
    known(&service, &name)?;
    let id = format!("test-{:016x}", rand::random::<u64>());
    service.store.put_test(&target_of(&name), &id).await?;
    Ok(Json(WebhookTest { id }))
}

/// Send now what waits for a webhook, and what was given up.
#[utoipa::path(post, path = "/v1/webhooks/{name}/retry", tag = "webhooks", operation_id = "retry_webhook",
    params(("name" = String, Path, description = "The webhook's name")),
    responses((status = 200, body = WebhookRetry), (status = 404, body = Fault), (status = "default", body = Fault)))]
pub(super) async fn retry(
    State(service): State<Arc<Bringups>>,
    Path(name): Path<String>,
) -> Result<Json<WebhookRetry>, ApiError> {
    known(&service, &name)?;
    Ok(Json(WebhookRetry { messages: service.store.retry_messages(&target_of(&name)).await? }))
}

fn known(service: &Bringups, name: &str) -> Result<(), ApiError> {
    if service.hooks().iter().any(|hook| hook.name == name) {
        return Ok(());
    }
    let fault = Fault::new("no-such-webhook", format!("there is no webhook `{}` here", escape(name, 60)));
    Err(fault
        .with_hint("[[webhook]] of the companion's configuration makes one: see docs/webhooks.md")
        .into())
}

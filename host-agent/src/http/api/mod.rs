//! The operator's API, version 1: small route files, one description made from them. It decides nothing itself.
//!
//! Who may ask is settled before a request comes here (see the listeners); what is asked is carried out by the service.
//! Errors are a [`Fault`](crate::outcome::Fault) as JSON. Streams are driven by the service's changes, never by polling.

mod changes;
mod describe;
mod duplicates;
mod error;
mod evidence;
mod extract;
mod follow;
mod goldens;
mod guests;
mod hosts;
mod inventory;
mod jobs;
mod page;
mod ssh_ca;
mod store;
mod stream;
mod up;
mod wait;
mod watch;
mod web;
mod webhooks;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use utoipa::OpenApi;
use utoipa::openapi::OpenApi as Document;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::bringup::Bringups;

pub use changes::{
    AbandonRequest, Asked, CancelRequest, DestroyAnswer, DestroyRequest, KeepRequest, RetryRequest,
};
pub use error::ApiError;
pub(crate) use error::status_of;
pub use evidence::VerifyRequest;
pub use goldens::GoldenVerdicts;
pub use guests::{ChangeBody, Snapshots};
pub use hosts::{Hosts, RevokedCertificates, RevokedKeys};
pub use inventory::Inventory;
pub use jobs::{JobCounts, ShownJob};
pub use ssh_ca::{Certificates, SignRequest};
pub use store::StoreCheck;
pub(crate) use stream::{Listener, News};
pub use up::{PlanAnswer, Status, UpAnswer, UpRequest};
pub use wait::WaitRequest;
pub use watch::WatchLine;
pub use web::{Link, LinkRequest};
pub use webhooks::{WebhookRetry, WebhookTest, Webhooks};

/// Bytes of a request; the largest is a batch of guests.
const BODY_LIMIT: usize = 4 << 20;

/// All routes. A pure function of the service: tests call it without a socket.
pub fn api_router(service: Arc<Bringups>) -> Router {
    let (router, _) = described().split_for_parts();
    router
        .fallback(error::no_such_route)
        .method_not_allowed_fallback(error::no_such_method)
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(service)
}

/// The description of the API (OpenAPI 3.1), with what is served beside it for those who watch over the companion.
pub fn api_document() -> Document {
    let mut document = described().split_for_parts().1;
    document.merge(crate::http::health::health_document());
    document
}

/// One list for both: what is served is described, and the other way round.
fn described() -> OpenApiRouter<Arc<Bringups>> {
    OpenApiRouter::with_openapi(describe::Description::openapi())
        .routes(routes!(up::status))
        .routes(routes!(up::up))
        .routes(routes!(up::plan))
        .routes(routes!(wait::wait))
        .routes(routes!(jobs::list))
        .routes(routes!(jobs::show))
        .routes(routes!(jobs::summary))
        .routes(routes!(jobs::counts))
        .routes(routes!(changes::cancel))
        .routes(routes!(changes::retry))
        .routes(routes!(changes::abandon))
        .routes(routes!(changes::destroy))
        .routes(routes!(changes::keep))
        .routes(routes!(guests::change))
        .routes(routes!(guests::snapshots))
        .routes(routes!(page::report))
        .routes(routes!(follow::follow))
        .routes(routes!(watch::watch))
        .routes(routes!(hosts::reports))
        .routes(routes!(duplicates::duplicates))
        .routes(routes!(hosts::known_hosts))
        .routes(routes!(hosts::revoked_keys))
        .routes(routes!(ssh_ca::authority))
        .routes(routes!(ssh_ca::certificates, ssh_ca::sign))
        .routes(routes!(evidence::verify))
        .routes(routes!(evidence::evidence_key))
        .routes(routes!(inventory::inventory))
        .routes(routes!(goldens::list, goldens::record))
        .routes(routes!(webhooks::list))
        .routes(routes!(webhooks::test))
        .routes(routes!(webhooks::retry))
        .routes(routes!(store::check))
        .routes(routes!(store::backup))
        .routes(routes!(store::export))
        .routes(routes!(web::link))
        .routes(routes!(describe::openapi))
}

#[cfg(test)]
mod tests;

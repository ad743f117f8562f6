//! One-time links to the pages: whoever is let in here asks for one, and a browser signs in with it.

use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use utoipa::ToSchema;

use super::error::ApiError;
use super::extract::Body;
use crate::http::gate::Linking;
use crate::http::session::{Grant, LINK_LIVES};
use crate::http::visit::PAGES;
use crate::outcome::Fault;

#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LinkRequest {
    /// The session may look and change nothing, whatever the role of who asks.
    pub read_only: bool,
}

/// A link for one sign-in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Link {
    /// Path and query, with a code that is good once.
    pub path: String,
    /// Where the pages are, `https://HOST:PORT` as the API's certificate names the host. None: not served over TLS, or the
    /// certificate names nobody.
    #[serde(default)]
    pub base: Option<String>,
    /// So long the code is good, in milliseconds.
    pub lives_ms: u64,
}

/// Make a one-time link that signs a browser in on the pages, with the role of who asks.
#[utoipa::path(post, path = "/v1/web/links", tag = "web", request_body = LinkRequest,
    responses((status = 200, body = Link), (status = "default", body = Fault)))]
pub(super) async fn link(
    linking: Option<Extension<Linking>>,
    Body(request): Body<LinkRequest>,
) -> Result<Json<Link>, ApiError> {
    let Some(Extension(linking)) = linking else {
        return Err(Fault::new("no-such-route", "no pages are served here").into());
    };
    let grant = Grant { proof: linking.proof, read_only: request.read_only };
    let code = linking.sessions.link(grant, Instant::now());
    Ok(Json(Link {
        path: format!("{PAGES}/enter?code={code}"),
        base: linking.base,
        lives_ms: u64::try_from(LINK_LIVES.as_millis()).unwrap_or(u64::MAX),
    }))
}

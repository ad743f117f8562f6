//! What stands before the routes: who asks is found out, what is too large or too slow is turned away.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use axum::{Router, response::IntoResponse};
use firstlight_shared::text::escape;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use tokio::sync::watch;
use tokio::time::Instant;

use super::auth::{Access, Caller, Denied};
use super::share::network;
use super::slow::Failures;
use crate::metrics::Metrics;
use crate::outcome::Fault;

/// In bytes; a batch of some thousand guests fits.
const MAX_BODY: usize = 4 << 20;
/// A body must have come in by then.
const BODY_PATIENCE: Duration = Duration::from_secs(30);
/// Routes that tell nothing but whether somebody is there.
const OPEN: [&str; 2] = ["/livez", "/readyz"];

/// The rules that count now; a reload replaces them.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    pub access: Access,
    pub tls: Option<Tls>,
}

/// How the API is served over TCP.
#[derive(Debug, Clone)]
pub struct Tls {
    pub config: Arc<rustls::ServerConfig>,
    /// Digest of the files that it was made from: connections of other files are closed after a reload.
    pub made_from: [u8; 32],
}

impl PartialEq for Policy {
    fn eq(&self, other: &Self) -> bool {
        let files = |policy: &Self| policy.tls.as_ref().map(|tls| tls.made_from);
        self.access == other.access && files(self) == files(other)
    }
}

/// The way to the routes. Clones share everything.
#[derive(Debug, Clone)]
pub struct Gate {
    router: Router,
    pub(super) policy: watch::Receiver<Arc<Policy>>,
    /// Turns true when connections shall end.
    pub(super) closing: watch::Receiver<bool>,
    failures: Arc<Failures>,
    metrics: Arc<Metrics>,
}

impl Gate {
    pub fn new(
        router: Router,
        policy: watch::Receiver<Arc<Policy>>,
        closing: watch::Receiver<bool>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { router, policy, closing, failures: Arc::default(), metrics }
    }

    /// Answers one request, and whether it proved who asks. `address` is none on the control socket.
    pub(super) async fn answer(
        &self,
        mut request: Request<Incoming>,
        caller: &Caller,
        address: Option<IpAddr>,
    ) -> (Response<Body>, bool) {
        let is_open =
            OPEN.contains(&request.uri().path()) && matches!(*request.method(), Method::GET | Method::HEAD);
        if !is_open {
            let policy = Arc::clone(&self.policy.borrow());
            match policy.access.decide(caller, bearer(request.headers()), request.method()) {
                Ok(identity) => request.extensions_mut().insert(identity),
                Err(denied) => {
                    let is_known = denied == Denied::ReadOnly;
                    return (self.deny(denied, caller, address, &request).await, is_known);
                }
            };
        }
        // What was shown has done its work; no route and no log sees it.
        request.headers_mut().remove(AUTHORIZATION);
        let (head, body) = request.into_parts();
        let response = match read(body).await {
            Ok(body) => self.route(Request::from_parts(head, body)).await,
            Err((status, fault)) => refusal(status, &fault),
        };
        (response, !is_open)
    }

    async fn route(&self, request: Request<Body>) -> Response<Body> {
        use hyper::service::Service as _;
        let service = hyper_util::service::TowerToHyperService::new(self.router.clone());
        match service.call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }

    async fn deny(
        &self,
        denied: Denied,
        caller: &Caller,
        address: Option<IpAddr>,
        request: &Request<Incoming>,
    ) -> Response<Body> {
        self.metrics.api_denied.inc();
        let (method, path) = (request.method(), escape(request.uri().path(), 100));
        match (address, caller) {
            (Some(address), _) => {
                tracing::warn!(%address, %method, %path, reason = ?denied, "request refused")
            }
            (None, Caller::Peer { uid, .. }) => {
                tracing::warn!(uid, %method, %path, reason = ?denied, "request refused")
            }
            (None, Caller::Remote { .. }) => {
                tracing::warn!(%method, %path, reason = ?denied, "request refused")
            }
        }
        // Who is known but may only look guesses nothing.
        if let (Some(address), Denied::Anonymous | Denied::Unknown) = (address, denied) {
            tokio::time::sleep(self.failures.failed(network(address), Instant::now())).await;
        }
        let mut response = refusal(denied.status(), &denied.fault(caller));
        if denied.status() == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// Source: RFC 6750, 2.1; the scheme's case does not matter.
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked("Bearer ".len())?;
    // Another scheme is a wrong token, not none.
    Some(if scheme.eq_ignore_ascii_case(b"Bearer ") { token.trim_ascii() } else { b"" })
}

async fn read(body: Incoming) -> Result<Body, (StatusCode, Fault)> {
    match tokio::time::timeout(BODY_PATIENCE, Limited::new(body, MAX_BODY).collect()).await {
        Ok(Ok(whole)) => Ok(Body::from(whole.to_bytes())),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err((StatusCode::PAYLOAD_TOO_LARGE, Fault::new("too-large", "a request may have 4 MiB")))
        }
        Ok(Err(_)) => Err((StatusCode::BAD_REQUEST, Fault::new("cut-off", "the request broke off"))),
        Err(_) => Err((
            StatusCode::REQUEST_TIMEOUT,
            Fault::new("too-slow", "the request did not come in within 30 s"),
        )),
    }
}

fn refusal(status: StatusCode, fault: &Fault) -> Response<Body> {
    let body = serde_json::to_vec(fault).unwrap_or_default();
    (status, [(CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response()
}

//! What stands before the routes: who asks is found out, what is too large or too slow is turned away.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use axum::{Router, response::IntoResponse};
use firstlight_shared::text::escape;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use tokio::sync::watch;
use tokio::time::Instant;

use super::auth::{Access, Caller, Denied, Proof};
use super::session::Sessions;
use super::share::network;
use super::slow::Failures;
use super::visit::{Streams, Visit, WrongProof, is_page, visit};
use crate::metrics::Metrics;
use crate::outcome::Fault;

/// In bytes; a batch of some thousand guests fits.
const MAX_BODY: usize = 4 << 20;
/// A body must have come in by then.
const BODY_PATIENCE: Duration = Duration::from_secs(30);
/// Routes that tell nothing but whether somebody is there.
const OPEN: [&str; 2] = ["/livez", "/readyz"];
/// Who may only look may have a link to look with.
pub(super) const LINKS: &str = "/v1/web/links";

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
    /// `https://HOST:PORT`, as the certificate names the host; none: it names none.
    pub base: Option<String>,
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
    sessions: Arc<Sessions>,
    failures: Arc<Failures>,
    metrics: Arc<Metrics>,
}

/// What an answer says of who asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asker {
    Unproven,
    Proven,
    /// Proven, and the answer goes on: it is counted apart.
    Streams,
}

/// Who asks for a link, and where it is kept; in the extensions of such a request.
#[derive(Debug, Clone)]
pub(super) struct Linking {
    pub(super) proof: Proof,
    pub(super) sessions: Arc<Sessions>,
    /// `https://HOST:PORT` of the pages, if they are served over TLS.
    pub(super) base: Option<String>,
}

impl Gate {
    pub fn new(
        router: Router,
        policy: watch::Receiver<Arc<Policy>>,
        closing: watch::Receiver<bool>,
        sessions: Arc<Sessions>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { router, policy, closing, sessions, failures: Arc::default(), metrics }
    }

    /// Answers one request. `address` is none on the control socket.
    pub(super) async fn answer(
        &self,
        mut request: Request<Incoming>,
        caller: &Caller,
        address: Option<IpAddr>,
    ) -> (Response<Body>, Asker) {
        let policy = Arc::clone(&self.policy.borrow());
        if is_page(request.uri().path()) {
            return self.show(request, caller, address, &policy).await;
        }
        let is_open =
            OPEN.contains(&request.uri().path()) && matches!(*request.method(), Method::GET | Method::HEAD);
        if !is_open {
            let bearer = bearer(request.headers());
            let is_link = request.uri().path() == LINKS;
            let method = if is_link { &Method::GET } else { request.method() };
            let linking = Proof::of(caller, bearer).filter(|_| is_link).map(|proof| Linking {
                proof,
                sessions: Arc::clone(&self.sessions),
                base: policy.tls.as_ref().and_then(|tls| tls.base.clone()),
            });
            match policy.access.decide(caller, bearer, method) {
                Ok(identity) => {
                    request.extensions_mut().insert(identity);
                    linking.map(|linking| request.extensions_mut().insert(linking));
                }
                Err(denied) => {
                    let asker = if denied == Denied::ReadOnly { Asker::Proven } else { Asker::Unproven };
                    return (self.deny(denied, caller, address, &request).await, asker);
                }
            };
        }
        (self.pass(request).await, if is_open { Asker::Unproven } else { Asker::Proven })
    }

    /// A page: whose session it is, is told to the route. On the control socket it is not enough to be let in there: a
    /// browser comes by way of a program of that user, and so may anybody's.
    async fn show(
        &self,
        mut request: Request<Incoming>,
        caller: &Caller,
        address: Option<IpAddr>,
        policy: &Policy,
    ) -> (Response<Body>, Asker) {
        if let Caller::Peer { uid, gids } = caller
            && !policy.access.obeys(*uid, gids)
        {
            return (self.deny(Denied::Unknown, caller, address, &request).await, Asker::Unproven);
        }
        let visit: Visit = visit(&request, caller, &policy.access, &self.sessions);
        let is_signed_in = visit.visitor.is_some();
        request.extensions_mut().insert(visit);
        let response = self.pass(request).await;
        if response.extensions().get::<WrongProof>().is_some() {
            self.metrics.api_denied.inc();
            tracing::warn!(?address, "somebody could not sign in on the pages");
            if let Some(address) = address {
                tokio::time::sleep(self.failures.failed(network(address), Instant::now())).await;
            }
        }
        let asker = match response.extensions().get::<Streams>() {
            Some(Streams) => Asker::Streams,
            None if is_signed_in => Asker::Proven,
            None => Asker::Unproven,
        };
        (response, asker)
    }

    async fn pass(&self, mut request: Request<Incoming>) -> Response<Body> {
        // What was shown has done its work; no route and no log sees it.
        request.headers_mut().remove(AUTHORIZATION);
        request.headers_mut().remove(COOKIE);
        let (head, body) = request.into_parts();
        match read(body).await {
            Ok(body) => self.route(Request::from_parts(head, body)).await,
            Err((status, fault)) => refusal(status, &fault),
        }
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

/// No place is free for an answer that goes on.
pub(super) fn no_place() -> Response<Body> {
    let fault = Fault::new("no-place", "too many pages are open: this one is not kept up to date");
    refusal(StatusCode::SERVICE_UNAVAILABLE, &fault)
}

fn refusal(status: StatusCode, fault: &Fault) -> Response<Body> {
    let body = serde_json::to_vec(fault).unwrap_or_default();
    (status, [(CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response()
}

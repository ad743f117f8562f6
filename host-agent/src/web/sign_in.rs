//! Signing in, with a token of the API or a one-time link, and out.

use askama::Template;
use axum::extract::{Form, Query, State};
use axum::http::StatusCode;
use axum::http::header::SET_COOKIE;
use axum::response::{IntoResponse, Redirect, Response};
use firstlight_shared::text::escape;
use serde::Deserialize;
use tokio::time::Instant;

use super::Web;
use super::form::Signed;
use super::page::{Page, Visited, rendered};
use crate::config::Role;
use crate::http::auth::Proof;
use crate::http::session::{Grant, Way};
use crate::http::visit::{Visit, WrongProof, cookie_name};

/// Bytes of a token that could be one.
const TOKEN_LIMIT: usize = 4096;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    next: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct TokenForm {
    token: String,
    next: String,
    read_only: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Code {
    code: String,
}

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignIn {
    page: Page,
    next: String,
    /// Why the last try did not work; empty: there was none.
    problem: &'static str,
}

#[derive(Template)]
#[template(path = "enter.html")]
struct Enter {
    page: Page,
    code: String,
    who: String,
    role: &'static str,
}

/// The form for a token.
pub(super) async fn form(Visited(visit): Visited, Query(wanted): Query<Wanted>) -> Response {
    if visit.visitor.is_some() {
        return Redirect::to(&inside(&wanted.next)).into_response();
    }
    let page = Page::new(&visit, "Sign in", "");
    rendered(&SignIn { page, next: inside(&wanted.next), problem: "" })
}

pub(super) async fn with_token(
    State(web): State<Web>,
    Visited(visit): Visited,
    Form(form): Form<TokenForm>,
) -> Response {
    let token = form.token.trim();
    let proof = Proof::of_token(token.as_bytes());
    let grant = Grant { proof, read_only: form.read_only == "yes" };
    let is_known = grant.identity(&web.policy.borrow().access).is_some();
    if !is_known || token.is_empty() || token.len() > TOKEN_LIMIT {
        let page = Page::new(&visit, "Sign in", "");
        let problem = "This token is not known here. Tokens are named by [[api.token]] of the companion's configuration.";
        return refused(rendered(&SignIn { page, next: inside(&form.next), problem }));
    }
    signed_in(&web, &visit, grant, &inside(&form.next))
}

/// A one-time link was followed. Looking uses nothing up: what looks at links by itself, a preview for one, signs nobody in.
pub(super) async fn link(
    State(web): State<Web>,
    Visited(visit): Visited,
    Query(code): Query<Code>,
) -> Response {
    let grant = web.sessions.look(&code.code, Instant::now());
    let identity = grant.and_then(|grant| grant.identity(&web.policy.borrow().access));
    let Some(identity) = identity else { return stale(&visit) };
    let role = if identity.role == Role::Operator { "operator" } else { "may look only" };
    let page = Page::new(&Visit { visitor: None, ..visit }, "Sign in", "");
    rendered(&Enter { page, code: escape(&code.code, 100), who: escape(&identity.who, 80), role })
}

pub(super) async fn with_link(
    State(web): State<Web>,
    Visited(visit): Visited,
    Form(code): Form<Code>,
) -> Response {
    let grant = web.sessions.take(&code.code, Instant::now());
    let grant = grant.filter(|grant| grant.identity(&web.policy.borrow().access).is_some());
    match grant {
        Some(grant) => signed_in(&web, &visit, grant, "/ui/"),
        None => stale(&visit),
    }
}

pub(super) async fn out(State(web): State<Web>, form: Signed) -> Response {
    web.sessions.close(&form.visitor.session);
    let gone = cookie(form.visit.way, "", Some(0));
    ([(SET_COOKIE, gone)], Redirect::to("/ui/sign-in")).into_response()
}

fn signed_in(web: &Web, visit: &Visit, grant: Grant, next: &str) -> Response {
    // Who was signed in here before is not any more.
    if let Some(visitor) = &visit.visitor {
        web.sessions.close(&visitor.session);
    }
    let value = web.sessions.open(grant, visit.way, Instant::now());
    ([(SET_COOKIE, cookie(visit.way, &value, None))], Redirect::to(next)).into_response()
}

fn stale(visit: &Visit) -> Response {
    let page = Page::new(&Visit { visitor: None, ..visit.clone() }, "Sign in", "");
    let problem =
        "This link is not good any more: each is good once, and for two minutes. Ask for another one.";
    refused(rendered(&SignIn { page, next: "/ui/".to_owned(), problem }))
}

fn refused(mut response: Response) -> Response {
    *response.status_mut() = StatusCode::UNAUTHORIZED;
    response.extensions_mut().insert(WrongProof);
    response
}

/// Over TLS the browser itself holds the cookie to this host. The socket's pages come over plain HTTP on 127.0.0.1.
fn cookie(way: Way, value: &str, lives: Option<u32>) -> String {
    let rest = match way {
        Way::Tls => "Path=/; Secure; HttpOnly; SameSite=Strict",
        Way::Socket => "Path=/ui; HttpOnly; SameSite=Strict",
    };
    let end = lives.map(|seconds| format!("; Max-Age={seconds}")).unwrap_or_default();
    format!("{}={value}; {rest}{end}", cookie_name(way))
}

/// Where to go after signing in: a page of ours, whatever the address says.
fn inside(next: &str) -> String {
    let is_page = next.starts_with("/ui/")
        && !next.starts_with("/ui/live")
        && next.len() <= 500
        && next.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'"' | b'<' | b'>'));
    if is_page { next.to_owned() } else { "/ui/".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_away_from_here_by_signing_in() {
        for (next, goes) in [
            ("/ui/guests/web-01?x=1", "/ui/guests/web-01?x=1"),
            ("", "/ui/"),
            ("https://evil.example/ui/", "/ui/"),
            ("//evil.example/ui/", "/ui/"),
            ("/ui/\\evil", "/ui/"),
            ("/ui/\r\nSet-Cookie: x", "/ui/"),
            ("/ui/live", "/ui/"),
        ] {
            assert_eq!(inside(next), goes, "{next:?}");
        }
    }

    #[test]
    fn cookies_are_as_narrow_as_the_way_allows() {
        let tls = cookie(Way::Tls, "x", None);
        assert_eq!(tls, "__Host-firstlight=x; Path=/; Secure; HttpOnly; SameSite=Strict");
        let socket = cookie(Way::Socket, "", Some(0));
        assert_eq!(socket, "firstlight-session=; Path=/ui; HttpOnly; SameSite=Strict; Max-Age=0");
    }
}

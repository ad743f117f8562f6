//! Before every page: is somebody signed in, may that one do this, does the request come from a page of ours? And the
//! headers that go with every answer.

use axum::extract::Request;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, HeaderName, HeaderValue, ORIGIN,
    REFERRER_POLICY, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use firstlight_shared::text::escape;

use super::page::{Page, problem};
use crate::config::Role;
use crate::http::session::Way;
use crate::http::visit::Visit;
use crate::outcome::Fault;

/// Nothing but what we serve ourselves, nothing inline, no frames.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'";
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// What is to be done with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Pass,
    /// Show the form first.
    SignIn,
    NotSignedIn,
    /// A page of somebody else sent it.
    Foreign,
    ReadOnly,
}

pub(super) async fn guard(request: Request, next: Next) -> Response {
    let visit = request.extensions().get::<Visit>().cloned();
    let role = visit.as_ref().and_then(|visit| visit.visitor.as_ref()).map(|one| one.identity.role);
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let verdict = judge(&method, &path, is_ours(request.headers()), role);
    let page = visit.as_ref().map(|visit| Page::new(visit, "Not possible", ""));
    let mut response = match (verdict, page) {
        (Verdict::Pass, page) => {
            let response = next.run(request).await;
            match page.filter(|_| is_bare(&response)) {
                Some(page) => problem(page, response.status(), &unread()),
                None => response,
            }
        }
        (Verdict::SignIn, _) => {
            let wanted = request.uri().path_and_query().map_or("/ui/", |wanted| wanted.as_str());
            let query: String = form_encoded(wanted);
            Redirect::to(&format!("/ui/sign-in?next={query}")).into_response()
        }
        (verdict, Some(page)) => problem(page, verdict.status(), &verdict.fault()),
        (verdict, None) => verdict.status().into_response(),
    };
    secure(&mut response, visit.is_some_and(|visit| visit.way == Way::Tls));
    response
}

/// Pure. `role` is none if nobody is signed in.
fn judge(method: &Method, path: &str, is_ours: bool, role: Option<Role>) -> Verdict {
    let looks = matches!(*method, Method::GET | Method::HEAD);
    let is_open =
        matches!(path, "/ui/sign-in" | "/ui/enter") || path.starts_with("/ui/assets/") || path == "/";
    if !looks && !is_ours {
        return Verdict::Foreign;
    }
    match role {
        _ if is_open => Verdict::Pass,
        None if looks && path != "/ui/live" => Verdict::SignIn,
        None => Verdict::NotSignedIn,
        Some(Role::Read) if !looks && path != "/ui/sign-out" => Verdict::ReadOnly,
        Some(_) => Verdict::Pass,
    }
}

/// Whether a page of ours sent this, as far as the browser says. One that says nothing is no browser, or an old one: the
/// form's own token counts then. With our Referrer-Policy a browser's Origin may be `null`: then the newer header must speak.
fn is_ours(headers: &HeaderMap) -> bool {
    let text = |name: &HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    match (text(&FETCH_SITE), text(&ORIGIN)) {
        (Some(site), _) => site == "same-origin" || site == "none",
        (None, Some(origin)) => {
            let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
            host.is_some() && host == text(&HOST)
        }
        (None, None) => true,
    }
}

impl Verdict {
    fn status(self) -> StatusCode {
        match self {
            Self::Pass | Self::SignIn => StatusCode::OK,
            Self::NotSignedIn => StatusCode::UNAUTHORIZED,
            Self::Foreign | Self::ReadOnly => StatusCode::FORBIDDEN,
        }
    }

    fn fault(self) -> Fault {
        match self {
            Self::ReadOnly => Fault::new("read-only", "your role may look and change nothing")
                .with_hint("sign in with the token of an operator"),
            Self::Foreign => Fault::new("foreign", "this was not sent from a page of this companion")
                .with_hint("open the page here and use its own form"),
            _ => Fault::new("not-signed-in", "your session has ended")
                .with_hint("sign in again; nothing was done"),
        }
    }
}

/// The framework's own words about a request that cannot be read: a parameter given twice, letters that are none.
fn is_bare(response: &Response) -> bool {
    let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    response.status().is_client_error() && kind.is_some_and(|kind| kind.starts_with("text/plain"))
}

fn unread() -> Fault {
    Fault::new("bad-address", "this address cannot be read")
        .with_hint("the navigation leads to all pages; nothing was done")
}

fn secure(response: &mut Response, is_tls: bool) {
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    if is_tls {
        headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}

fn form_encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(&escape(text, 500), percent_encoding::NON_ALPHANUMERIC).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_see_and_send_what() {
        use Verdict::{Foreign, NotSignedIn, Pass, ReadOnly, SignIn};
        let (read, operator) = (Some(Role::Read), Some(Role::Operator));
        for (method, path, ours, role, verdict) in [
            (Method::GET, "/ui/sign-in", true, None, Pass),
            (Method::POST, "/ui/sign-in", true, None, Pass),
            (Method::POST, "/ui/sign-in", false, None, Foreign),
            (Method::POST, "/ui/enter", false, None, Foreign),
            (Method::GET, "/ui/enter", false, None, Pass),
            (Method::GET, "/ui/assets/1/style.css", true, None, Pass),
            (Method::GET, "/ui/", true, None, SignIn),
            (Method::HEAD, "/ui/jobs/x", true, None, SignIn),
            (Method::GET, "/ui/live", true, None, NotSignedIn),
            (Method::POST, "/ui/jobs/x/cancel", true, None, NotSignedIn),
            (Method::GET, "/ui/jobs/x/cancel", false, read, Pass),
            (Method::POST, "/ui/jobs/x/cancel", true, read, ReadOnly),
            (Method::POST, "/ui/sign-out", true, read, Pass),
            (Method::POST, "/ui/sign-out", false, read, Foreign),
            (Method::POST, "/ui/jobs/x/cancel", true, operator, Pass),
            (Method::POST, "/ui/jobs/x/cancel", false, operator, Foreign),
            (Method::DELETE, "/ui/", false, operator, Foreign),
        ] {
            assert_eq!(judge(&method, path, ours, role), verdict, "{method} {path} {ours} {role:?}");
        }
    }

    #[test]
    fn what_the_browser_says_of_a_requests_origin() {
        for (site, origin, ours) in [
            (None, None, true),
            (Some("same-origin"), None, true),
            (Some("same-origin"), Some("null"), true),
            (Some("none"), None, true),
            (Some("same-site"), Some("https://pve1:7444"), false),
            (Some("cross-site"), None, false),
            (None, Some("https://pve1:7444"), true),
            (None, Some("https://pve1:7445"), false),
            (None, Some("null"), false),
            (None, Some("file://pve1:7444"), false),
        ] {
            let mut headers = HeaderMap::from_iter([(HOST, HeaderValue::from_static("pve1:7444"))]);
            site.map(|site| headers.insert(FETCH_SITE, HeaderValue::from_static(site)));
            origin.map(|origin| headers.insert(ORIGIN, HeaderValue::from_static(origin)));
            assert_eq!(is_ours(&headers), ours, "{site:?} {origin:?}");
        }
    }
}

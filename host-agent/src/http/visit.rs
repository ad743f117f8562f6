//! The gate's side of the pages: which requests are for them, and whose session a cookie is. What a visitor gets to see,
//! a sign-in form for one, is up to the pages.

use axum::http::header::COOKIE;
use axum::http::{HeaderMap, Request};
use tokio::time::Instant;

use super::auth::{Access, Caller, Identity};
use super::session::{Session, Sessions, Way};

/// Everything below is for people with a browser. A session counts here and nowhere else.
pub const PAGES: &str = "/ui";
/// On a fetch that nobody clicked for: it does not keep a session alive.
pub const BY_ITSELF: &str = "x-firstlight-live";

/// Who asks for a page, and how; in the extensions of every such request.
#[derive(Debug, Clone)]
pub struct Visit {
    pub way: Way,
    /// None: nobody is signed in.
    pub visitor: Option<Visitor>,
}

/// Somebody who is signed in.
#[derive(Debug, Clone)]
pub struct Visitor {
    pub identity: Identity,
    pub session: Session,
}

/// On an answer to somebody who said who it is, and was wrong: the next try shall wait.
#[derive(Debug, Clone, Copy)]
pub struct WrongProof;

/// On an answer that goes on for as long as the page is open.
#[derive(Debug, Clone, Copy)]
pub struct Streams;

pub(super) fn is_page(path: &str) -> bool {
    path == "/" || path.strip_prefix(PAGES).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The cookie's name. The browser itself holds a `__Host-` one to TLS, to this host and to no other path.
pub fn cookie_name(way: Way) -> &'static str {
    match way {
        Way::Tls => "__Host-firstlight",
        Way::Socket => "firstlight-session",
    }
}

pub(super) fn visit<B>(request: &Request<B>, caller: &Caller, access: &Access, sessions: &Sessions) -> Visit {
    let way = match caller {
        Caller::Peer { .. } => Way::Socket,
        Caller::Remote { .. } => Way::Tls,
    };
    let counts = !request.headers().contains_key(BY_ITSELF);
    let found = cookie(request.headers(), cookie_name(way));
    let session = found.and_then(|cookie| sessions.find(cookie, way, counts, Instant::now()));
    let visitor = session.and_then(|session| match session.grant.identity(access) {
        Some(identity) => Some(Visitor { identity, session }),
        None => {
            sessions.close(&session);
            None
        }
    });
    Visit { way, visitor }
}

/// The first cookie of this name. Source: RFC 6265, 4.2.1.
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(known, _)| *known == name).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_told_from_the_api() {
        for (path, page) in [
            ("/", true),
            ("/ui", true),
            ("/ui/", true),
            ("/ui/guests/web-01", true),
            ("/uid", false),
            ("/v1/jobs", false),
            ("//ui", false),
            ("/v1/../ui", false),
            ("", false),
        ] {
            assert_eq!(is_page(path), page, "{path}");
        }
    }

    #[test]
    fn a_cookie_is_found_among_others_by_its_whole_name() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, "a=1; xfirstlight-session=no;firstlight-session=yes".parse().unwrap());
        headers.append(COOKIE, "firstlight-session=second".parse().unwrap());
        assert_eq!(cookie(&headers, "firstlight-session"), Some("yes"));
        assert_eq!(cookie(&headers, "session"), None);
    }
}

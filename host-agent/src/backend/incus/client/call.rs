//! One request as plain data: method, path, query, headers, body. What goes over the wire follows from it alone.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use hyper::body::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;

/// Everything but RFC 3986's unreserved characters.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

const MIB: u64 = 1024 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    Get,
    /// What an answer to Get would begin with, without its body.
    Head,
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    /// Whether a call may leave something behind.
    pub fn changes(self) -> bool {
        !matches!(self, Self::Get | Self::Head)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How long an answer may take: which of [`Limits`] holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    Read,
    /// What the server does before it answers: a change of devices of a running instance, for one.
    Change,
    /// Files, to and from instances.
    Transfer,
    /// The server answers when something happened, or after so long.
    Wait(Duration),
}

/// The longest that a call may take, by class, and how much is taken at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Proxy, TCP and TLS together.
    pub connect: Duration,
    pub read: Duration,
    pub change: Duration,
    /// Of a body of up to 1 MiB; each further one adds a second.
    pub transfer: Duration,
    /// In bytes.
    pub answer: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            read: Duration::from_secs(15),
            change: Duration::from_secs(60),
            transfer: Duration::from_secs(60),
            answer: 24 * 1024 * 1024,
        }
    }
}

impl Limits {
    pub fn of(&self, call: &Call) -> Duration {
        match call.pace {
            Pace::Read => self.read,
            Pace::Change => self.change,
            Pace::Transfer => self.transfer + Duration::from_secs(call.body.length() / MIB),
            Pace::Wait(longest) => longest + self.read,
        }
    }
}

/// What is sent. `Debug` shows its size and nothing of it: claims and secrets travel in it.
#[derive(Clone, PartialEq, Eq)]
pub enum Body {
    None,
    Json(Bytes),
    Bytes(Bytes),
    /// Read while it is sent. It must not become shorter than this meanwhile.
    File {
        path: PathBuf,
        length: u64,
    },
}

impl Body {
    pub fn length(&self) -> u64 {
        match self {
            Self::None => 0,
            Self::Json(bytes) | Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { length, .. } => *length,
        }
    }

    pub(super) fn content_type(&self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Json(_) => Some("application/json"),
            Self::Bytes(_) | Self::File { .. } => Some("application/octet-stream"),
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            _ => write!(f, "{} bytes", self.length()),
        }
    }
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub method: Method,
    /// From `/1.0` on, each segment encoded.
    pub path: String,
    /// Not encoded. `project` and `target` come from the client.
    pub query: Vec<(&'static str, String)>,
    /// `X-Incus-*` and `If-Match`.
    pub headers: Vec<(&'static str, String)>,
    pub body: Body,
    pub pace: Pace,
    /// A good answer is a file and no document.
    pub raw: bool,
    /// In bytes; None: [`Limits::answer`].
    pub most: Option<usize>,
    /// Of a larger answer the beginning is taken; otherwise it is an error.
    pub cut: bool,
    /// It makes something whose place on a cluster may be chosen.
    pub placed: bool,
}

impl Call {
    pub fn new(method: Method, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            query: Vec::new(),
            headers: Vec::new(),
            body: Body::None,
            pace: if method.changes() { Pace::Change } else { Pace::Read },
            raw: false,
            most: None,
            cut: false,
            placed: false,
        }
    }

    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        self.query.push((name, value.to_string()));
        self
    }

    /// Sends nothing for None.
    #[must_use]
    pub fn maybe(self, name: &'static str, value: Option<impl fmt::Display>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }

    /// Applies only to what was read with this tag.
    #[must_use]
    pub fn if_match(self, etag: Option<&str>) -> Self {
        match etag {
            Some(etag) => self.header("if-match", etag),
            None => self,
        }
    }

    #[must_use]
    pub fn json(mut self, body: &impl Serialize) -> Self {
        // Our own types, with nothing that JSON lacks.
        self.body = Body::Json(serde_json::to_vec(body).unwrap_or_default().into());
        self
    }

    #[must_use]
    pub fn body(mut self, body: Body) -> Self {
        self.body = body;
        self.at(Pace::Transfer)
    }

    #[must_use]
    pub fn at(mut self, pace: Pace) -> Self {
        self.pace = pace;
        self
    }

    /// The answer is taken as it is, up to so many bytes.
    #[must_use]
    pub fn raw(mut self, most: usize) -> Self {
        self.raw = true;
        self.most = Some(most);
        self.at(Pace::Transfer)
    }

    /// See [`Call::cut`].
    #[must_use]
    pub fn cut(mut self) -> Self {
        self.cut = true;
        self
    }

    /// See [`Call::placed`].
    #[must_use]
    pub fn placed(mut self) -> Self {
        self.placed = true;
        self
    }

    /// Path and query for the request line.
    pub fn target(&self, project: &str, member: Option<&str>) -> String {
        let project =
            (!self.query.iter().any(|(name, _)| *name == "all-projects")).then_some(("project", project));
        let member = member.filter(|_| self.placed).map(|member| ("target", member));
        let own = self.query.iter().map(|(name, value)| (*name, value.as_str()));
        let pairs: Vec<_> = own
            .chain(project)
            .chain(member)
            .map(|(name, value)| format!("{name}={}", segment(value)))
            .collect();
        if pairs.is_empty() { self.path.clone() } else { format!("{}?{}", self.path, pairs.join("&")) }
    }
}

/// Encoded for one segment of a path, or one value of a query.
pub fn segment(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn project_and_member_are_in_the_query() {
        let read = Call::new(Method::Get, "/1.0/instances/web-01");
        assert_eq!(read.target("lab one", Some("node2")), "/1.0/instances/web-01?project=lab%20one");
        let make = Call::new(Method::Post, "/1.0/instances").placed();
        assert_eq!(make.target("default", Some("node2")), "/1.0/instances?project=default&target=node2");
        let all = Call::new(Method::Get, "/1.0/instances").with("recursion", 1).with("all-projects", true);
        assert_eq!(all.target("default", None), "/1.0/instances?recursion=1&all-projects=true");
        let file = Call::new(Method::Get, "/1.0/x").with("path", "/a b&c");
        assert_eq!(file.target("default", None), "/1.0/x?path=%2Fa%20b%26c&project=default");
    }

    #[test]
    fn debug_shows_nothing_of_a_body() {
        let call = Call::new(Method::Post, "/1.0/x").json(&serde_json::json!({"claim": "hunter2"}));
        let shown = format!("{call:?}");
        assert!(shown.contains("19 bytes") && !shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn large_files_are_given_more_time() {
        let limits = Limits::default();
        let file =
            |length| Call::new(Method::Post, "/1.0/x").body(Body::File { path: PathBuf::new(), length });
        assert_eq!(limits.of(&file(100)), Duration::from_secs(60));
        assert_eq!(limits.of(&file(300 * MIB)), Duration::from_secs(360));
        let wait = Call::new(Method::Get, "/1.0/x").at(Pace::Wait(Duration::from_secs(10)));
        assert_eq!(limits.of(&wait), Duration::from_secs(25));
    }
}

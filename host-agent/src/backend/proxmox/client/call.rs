//! One request as plain data: method, path, parameters. What goes over the wire follows from it alone.
//!
//! Proxmox's server takes no chunked bodies, none on DELETE and GET, and splits forms at `&` and `;`.

use std::fmt;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Everything but RFC 3986's unreserved characters.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

const ROOT: &str = "/api2/json";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    Get,
    Post,
    Put,
    Delete,
}

impl Method {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }

    /// Whether a call may leave something behind.
    pub fn changes(self) -> bool {
        self != Self::Get
    }

    fn has_body(self) -> bool {
        matches!(self, Self::Post | Self::Put)
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
    /// It may wait for a lock of the server for 10 s.
    Change,
    /// A guest's agent has to answer.
    Agent,
}

/// The longest that a call may take, by class, and how much is asked and taken at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// TCP and TLS together.
    pub connect: Duration,
    pub read: Duration,
    /// Beyond the 30 s after which the server itself gives up on its inner hop: its word is better than our silence.
    pub change: Duration,
    pub agent: Duration,
    /// In bytes: a list of 20,000 guests has 8 MiB, a file of a guest up to 22 MiB of base64.
    pub answer: usize,
    /// Changes and questions to agents that a node is given at once.
    pub at_once: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            read: Duration::from_secs(15),
            change: Duration::from_secs(40),
            agent: Duration::from_secs(20),
            answer: 24 * 1024 * 1024,
            at_once: 2,
        }
    }
}

impl Limits {
    pub fn of(&self, pace: Pace) -> Duration {
        match pace {
            Pace::Read => self.read,
            Pace::Change => self.change,
            Pace::Agent => self.agent,
        }
    }
}

/// A request. `Debug` shows the names of its parameters and no value: claims and passwords travel in them.
#[derive(Clone, PartialEq, Eq)]
pub struct Call {
    pub method: Method,
    /// Below `/api2/json`, each segment encoded.
    pub path: String,
    /// Not encoded, in the order in which they are sent.
    pub parameters: Vec<(String, String)>,
    pub pace: Pace,
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.parameters.iter().map(|(name, _)| name).collect();
        f.debug_struct("Call")
            .field("method", &self.method)
            .field("path", &self.path)
            .field("parameters", &names)
            .finish_non_exhaustive()
    }
}

impl Call {
    pub fn new(method: Method, path: impl Into<String>) -> Self {
        let pace = if method.changes() { Pace::Change } else { Pace::Read };
        Self { method, path: path.into(), parameters: Vec::new(), pace }
    }

    #[must_use]
    pub fn with(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.parameters.push((name.to_owned(), value.to_string()));
        self
    }

    /// Sends nothing for None.
    #[must_use]
    pub fn maybe(self, name: &str, value: Option<impl fmt::Display>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// Sends `1`, or nothing.
    #[must_use]
    pub fn flag(self, name: &str, on: bool) -> Self {
        if on { self.with(name, 1) } else { self }
    }

    #[must_use]
    pub fn at(mut self, pace: Pace) -> Self {
        self.pace = pace;
        self
    }

    /// Path and query for the request line.
    pub fn target(&self) -> String {
        if self.method.has_body() || self.parameters.is_empty() {
            return format!("{ROOT}{}", self.path);
        }
        format!("{ROOT}{}?{}", self.path, form(&self.parameters))
    }

    /// The form for POST and PUT (empty, too: its length is always sent); None: no body at all.
    pub fn body(&self) -> Option<String> {
        self.method.has_body().then(|| form(&self.parameters))
    }

    /// The node whose guest, storage or task this is about.
    pub fn node(&self) -> Option<&str> {
        self.path.strip_prefix("/nodes/")?.split('/').next()
    }
}

fn form(parameters: &[(String, String)]) -> String {
    let pairs: Vec<_> =
        parameters.iter().map(|(name, value)| format!("{}={}", segment(name), segment(value))).collect();
    pairs.join("&")
}

/// Encoded for one segment of a path, or one side of a form's pair.
pub fn segment(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_reads_and_deletes_are_in_the_query_and_of_others_in_the_body() {
        for (method, target, body) in [
            (Method::Get, "/api2/json/x?vmid=7&force=1", None),
            (Method::Delete, "/api2/json/x?vmid=7&force=1", None),
            (Method::Post, "/api2/json/x", Some("vmid=7&force=1")),
            (Method::Put, "/api2/json/x", Some("vmid=7&force=1")),
        ] {
            let call = Call::new(method, "/x").with("vmid", 7).flag("force", true).flag("purge", false);
            assert_eq!((call.target().as_str(), call.body().as_deref()), (target, body), "{method}");
        }
        assert_eq!(Call::new(Method::Post, "/x").body().as_deref(), Some(""), "its length is sent, 0");
        assert_eq!(Call::new(Method::Delete, "/x").target(), "/api2/json/x");
    }

    #[test]
    fn whatever_could_split_a_form_is_encoded() {
        for (raw, encoded) in [
            ("a;b&c=d", "a%3Bb%26c%3Dd"),
            ("A=1\0B=2", "A%3D1%00B%3D2"),
            ("one two+three", "one%20two%2Bthree"),
            ("UPID:pve1:0:1:2:vzstart:7:a@pve!b:", "UPID%3Apve1%3A0%3A1%3A2%3Avzstart%3A7%3Aa%40pve%21b%3A"),
            ("local:7/vm-7-disk-0.raw", "local%3A7%2Fvm-7-disk-0.raw"),
            ("ű", "%C5%B1"),
        ] {
            assert_eq!(segment(raw), encoded);
        }
    }

    #[test]
    fn debug_shows_names_and_no_values() {
        let call = Call::new(Method::Post, "/x").with("env", "CLAIM=hunter2");
        let shown = format!("{call:?}");
        assert!(shown.contains("env") && !shown.contains("hunter2"), "{shown}");
    }
}

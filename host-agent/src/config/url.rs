//! Where others are told of something: `https://HOST[:PORT]/PATH`, or `http://` where nobody stands in between.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use hyper::Uri;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    pub secure: bool,
    /// A name, or an IP address without brackets.
    pub host: String,
    pub port: u16,
    /// With the query.
    pub path: String,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an address is wanted, https://HOST/PATH, without a user or a password")]
pub struct UrlError;

impl FromStr for Url {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let uri: Uri = text.parse().map_err(|_| UrlError)?;
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(UrlError),
        };
        let authority = uri.authority().ok_or(UrlError)?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() || authority.as_str().contains('@') || text.contains('#') {
            return Err(UrlError);
        }
        let behind = authority.as_str().strip_prefix(authority.host()).unwrap_or_default();
        if !behind.is_empty() && authority.port_u16().is_none() {
            return Err(UrlError);
        }
        let port = authority.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        Ok(Self { secure, host, port, path })
    }
}

impl Url {
    /// It never leaves this machine.
    pub fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    /// For the header `Host`, and for messages.
    pub(crate) fn authority(&self) -> String {
        let usual = if self.secure { 443 } else { 80 };
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == usual { host } else { format!("{host}:{}", self.port) }
    }
}

/// Without the query, which may hold a secret.
impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "https" } else { "http" };
        let (path, query) =
            self.path.split_once('?').map_or((self.path.as_str(), ""), |(path, _)| (path, "?..."));
        write!(f, "{scheme}://{}{path}{query}", self.authority())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart_and_others_refused() {
        for (text, secure, host, port, path, shown) in [
            (
                "https://hooks.example/a/b?token=x",
                true,
                "hooks.example",
                443,
                "/a/b?token=x",
                "https://hooks.example/a/b?...",
            ),
            ("http://127.0.0.1:8080", false, "127.0.0.1", 8080, "/", "http://127.0.0.1:8080/"),
            ("http://[::1]:4318/v1/traces", false, "::1", 4318, "/v1/traces", "http://[::1]:4318/v1/traces"),
        ] {
            let url: Url = text.parse().unwrap();
            let wanted = Url { secure, host: host.into(), port, path: path.into() };
            assert_eq!((url.clone(), url.to_string().as_str()), (wanted, shown));
        }
        for text in [
            "",
            "ftp://a/",
            "https://",
            "https://u:p@host/",
            "hooks.example",
            "https://a:99999/",
            "https://a/#b",
            "/x",
        ] {
            assert_eq!(text.parse::<Url>(), Err(UrlError), "{text}");
        }
        let local = |text: &str| text.parse::<Url>().unwrap().is_loopback();
        assert!(local("http://127.9.9.9/") && local("http://[::1]/") && local("http://localhost:1/"));
        assert!(!local("http://192.0.2.1/") && !local("http://localhost.example/"));
    }
}

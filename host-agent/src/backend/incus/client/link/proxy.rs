//! A proxy between us and the server. It sees an address and TLS, and nothing else.

use std::fmt;
use std::str::FromStr;

use hyper::Uri;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proxy {
    /// CONNECT
    Http(Uri),
    /// It resolves names itself.
    Socks5(Uri),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no proxy: http://HOST:PORT or socks5://HOST:PORT is wanted, without a password")]
pub struct ProxyError(String);

impl FromStr for Proxy {
    type Err = ProxyError;

    fn from_str(text: &str) -> Result<Self, ProxyError> {
        // A password may stand before the `@`: nothing of it is repeated.
        let shown = text.rsplit_once('@').map_or(text, |(_, host)| host);
        let wrong = || ProxyError(firstlight_shared::text::escape(shown, 120));
        let uri: Uri = text.parse().map_err(|_| wrong())?;
        let authority = uri.authority().ok_or_else(wrong)?;
        let is_plain = matches!(uri.path(), "" | "/") && uri.query().is_none();
        if authority.as_str().contains('@') || authority.port_u16().is_none() || !is_plain {
            return Err(wrong());
        }
        match uri.scheme_str() {
            Some("http") => Ok(Self::Http(uri)),
            Some("socks5" | "socks5h") => Ok(Self::Socks5(uri)),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(uri) | Self::Socks5(uri) => write!(f, "{uri}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_have_a_kind_a_host_and_a_port_and_no_password() {
        for (text, is_socks) in [
            ("http://proxy:3128", false),
            ("http://10.0.0.1:3128/", false),
            ("socks5://127.0.0.1:1080", true),
            ("socks5h://[::1]:1080", true),
        ] {
            let proxy: Proxy = text.parse().unwrap();
            assert_eq!(matches!(proxy, Proxy::Socks5(_)), is_socks, "{text}");
        }
        for wrong in [
            "",
            "proxy:3128",
            "https://proxy:1",
            "http://proxy",
            "ftp://a:1",
            "http://a:1/x",
            "http://me:hunter2@a:1",
        ] {
            let error = wrong.parse::<Proxy>().unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{wrong}");
        }
    }
}

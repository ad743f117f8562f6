//! `http`: a GET gives the wanted status and, if asked, a text in the body.

use std::net::{IpAddr, SocketAddr};

use firstlight_shared::pin::SpkiPin;
use http_body_util::Full;
use hyper::{Request, Uri};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ParsedCertificate;
use serde::Deserialize;
use serde::de::Error as _;
use tokio::net::TcpStream;

use super::{Look, tls};
use crate::exchange::{self, Stream};

/// So much of a body is searched.
const MAX_BODY: usize = 256 * 1024;

#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Keys")]
pub(super) struct Http {
    address: SocketAddr,
    path: String,
    host: String,
    /// Of an https server; none means plain http.
    pin: Option<SpkiPin>,
    server_name: Option<ServerName<'static>>,
    status: u16,
    contains: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    url: String,
    /// The `Host` header, and the name in a TLS handshake; the address if absent.
    host: Option<String>,
    pin: Option<SpkiPin>,
    status: Option<u16>,
    contains: Option<String>,
}

impl TryFrom<Keys> for Http {
    type Error = toml::de::Error;
    fn try_from(keys: Keys) -> Result<Self, Self::Error> {
        let wrong = Self::Error::custom::<&str>;
        let url: Uri = keys.url.parse().map_err(|_| wrong("`url` is no URL"))?;
        let tls = match (url.scheme_str(), keys.pin.is_some()) {
            (Some("https"), true) => true,
            (Some("http"), false) => false,
            (Some("https"), false) => return Err(wrong("https needs a `pin`")),
            (Some("http"), true) => return Err(wrong("a `pin` needs https")),
            _ => return Err(wrong("`url` begins with http:// or https://")),
        };
        let host = url.host().unwrap_or_default();
        let ip: IpAddr = host
            .trim_matches(['[', ']'])
            .parse()
            .map_err(|_| wrong("`url` names its server by an IP address; a name goes into `host`"))?;
        let address = SocketAddr::new(ip, url.port_u16().unwrap_or(if tls { 443 } else { 80 }));
        let host = keys.host.unwrap_or_else(|| address.to_string());
        if host.is_empty() || host.bytes().any(|byte| !byte.is_ascii_graphic()) {
            return Err(wrong("`host` is no name of a server"));
        }
        // A name with a port is no server name of TLS: then the address stands there.
        let server_name = ServerName::try_from(host.clone()).ok();
        let path = url.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let status = keys.status.unwrap_or(200);
        Ok(Self { address, path, host, pin: keys.pin, server_name, status, contains: keys.contains })
    }
}

pub(super) async fn look(keys: &Http) -> Look {
    let answered = match keys.pin {
        None => match TcpStream::connect(keys.address).await {
            Ok(stream) => ask(keys, Box::new(stream)).await,
            Err(error) => return Look::not_yet(format!("{}: {error}", keys.address)),
        },
        Some(pin) => match tls::connect(keys.address, keys.server_name.clone()).await {
            Ok((stream, leaf)) if key_of(&leaf) == Some(pin) => ask(keys, Box::new(stream)).await,
            Ok(_) => return Look::not_yet(format!("{} has not the pinned key", keys.address)),
            Err(error) => return Look::not_yet(format!("{}: {error}", keys.address)),
        },
    };
    match answered {
        Ok((status, body)) => judge(keys, status, &body),
        Err(error) => Look::not_yet(format!("{}: {error}", keys.address)),
    }
}

fn key_of(leaf: &CertificateDer<'_>) -> Option<SpkiPin> {
    Some(SpkiPin::of(&ParsedCertificate::try_from(leaf).ok()?.subject_public_key_info()))
}

/// Status and the beginning of the body, which is read only if somebody wants it.
async fn ask(keys: &Http, stream: Box<dyn Stream>) -> hyper::Result<(u16, Vec<u8>)> {
    let mut request = Request::new(Full::default());
    // Both were parsed as what they are; a request without them is refused by every server.
    if let (Ok(path), Ok(host)) = (keys.path.parse(), keys.host.parse()) {
        *request.uri_mut() = path;
        request.headers_mut().insert(hyper::header::HOST, host);
    }
    let answer = exchange::send(stream, request).await?;
    let status = answer.status;
    let body = if keys.contains.is_some() { answer.bytes(MAX_BODY).await?.0 } else { Vec::new() };
    Ok((status, body))
}

fn judge(keys: &Http, status: u16, body: &[u8]) -> Look {
    if status != keys.status {
        return Look::not_yet(format!("status {status}, not {}", keys.status));
    }
    let Some(wanted) = &keys.contains else { return Look::pass(format!("status {status}")) };
    // A wanted text that is empty is everywhere; `windows` takes no zero.
    let holds = wanted.is_empty() || body.windows(wanted.len()).any(|window| window == wanted.as_bytes());
    if holds {
        Look::pass(format!("status {status}, and the body has the wanted text"))
    } else {
        Look::not_yet(format!("status {status}, but the body has not the wanted text"))
    }
}

#[cfg(test)]
mod tests {
    use firstlight_shared::check::Verdict;

    use super::super::units::said;
    use super::*;

    #[test]
    fn an_answer_is_judged_by_status_and_body() {
        let check = |keys: &str| toml::from_str::<Http>(&format!("url = \"http://127.0.0.1:8/x?y\"\n{keys}"));
        for (keys, status, body, verdict) in [
            ("", 200, "", Verdict::Pass),
            ("", 503, "", Verdict::Fail),
            ("status = 404", 404, "", Verdict::Pass),
            ("contains = \"up\"", 200, "it is up.", Verdict::Pass),
            ("contains = \"up\"", 200, "u p", Verdict::Fail),
            ("contains = \"up\"", 500, "up", Verdict::Fail),
        ] {
            let look = judge(&check(keys).unwrap(), status, body.as_bytes());
            assert_eq!(said(&look).0, verdict, "{keys} {status} {body}");
        }
        assert_eq!(check("").unwrap().path, "/x?y");
    }

    #[test]
    fn servers_are_addresses_and_https_is_pinned() {
        let pin = "pin = \"sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\"";
        for (url, more, right) in [
            ("http://127.0.0.1", "", true),
            ("http://[::1]:8080/", "host = \"a.example\"", true),
            ("https://127.0.0.1", pin, true),
            ("https://127.0.0.1", "", false),
            ("http://127.0.0.1", pin, false),
            ("http://localhost/", "", false),
            ("ftp://127.0.0.1/", "", false),
            ("127.0.0.1", "", false),
            ("http://127.0.0.1", "host = \"a\\nb\"", false),
        ] {
            let parsed = toml::from_str::<Http>(&format!("url = \"{url}\"\n{more}"));
            assert_eq!(parsed.is_ok(), right, "{url} {more}: {parsed:?}");
        }
    }
}

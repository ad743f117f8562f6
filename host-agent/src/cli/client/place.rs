//! Where the companion is, and how one comes there.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::Uri;
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::HeaderValue;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::super::args::PlaceArguments;
use super::super::failure::{Exit, Failure};
use super::tls;

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(10);
/// Of the API over TLS, if the address names none.
const PORT: u16 = 7444;

#[derive(Debug, Clone)]
pub(crate) enum Place {
    Here { socket: PathBuf },
    There(Arc<There>),
}

#[derive(Debug)]
pub(crate) struct There {
    host: String,
    port: u16,
    tls: Arc<ClientConfig>,
    token_file: Option<PathBuf>,
}

impl Place {
    /// The place that was typed.
    pub(crate) fn of(arguments: &PlaceArguments) -> Result<Self, Failure> {
        let Some(url) = &arguments.url else {
            return Ok(Self::Here { socket: arguments.socket()? });
        };
        let (host, port) = parse_url(url)?;
        Ok(Self::There(Arc::new(There {
            host,
            port,
            tls: tls::config(arguments)?,
            token_file: arguments.token_file.clone(),
        })))
    }

    pub(super) async fn answers(&self) -> bool {
        match self {
            Self::Here { socket } => UnixStream::connect(socket).await.is_ok(),
            Self::There(_) => true,
        }
    }

    pub(super) fn host(&self) -> String {
        match self {
            Self::Here { .. } => "firstlight".to_owned(),
            Self::There(there) => format!("{}:{}", there.host, there.port),
        }
    }

    /// Read anew each time, so that a token may be renewed under a long watch.
    pub(super) fn token(&self) -> Result<Option<HeaderValue>, Failure> {
        let Self::There(there) = self else { return Ok(None) };
        there.token_file.as_deref().map(read_token).transpose()
    }

    pub(super) async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, Failure> {
        match self {
            Self::Here { socket } => {
                let stream = UnixStream::connect(socket).await;
                speak(stream.map_err(|error| not_connected(socket, &error))?).await
            }
            Self::There(there) => there.connect().await,
        }
    }
}

impl There {
    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, Failure> {
        let place = format!("{}:{}", self.host, self.port);
        let name = ServerName::try_from(self.host.clone())
            .map_err(|_| Failure::new(Exit::Usage, format!("`{}` is no name of a host", self.host)))?;
        let connected = async {
            let stream = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(|error| {
                no_answer(format!("no companion answers on {place}: {error}")).hint(
                    "is the API served there ([api] listen)? `firstlight config check` tells on that machine",
                )
            })?;
            TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream).await.map_err(|error| {
                no_answer(format!("{place} is not trusted, or does not trust us: {error}"))
                    .hint("compare --pin or --ca with that companion's certificate; nothing was sent")
            })
        };
        let timed_out = |_| no_answer(format!("{place} did not answer within {} s", CONNECT.as_secs()));
        speak(tokio::time::timeout(CONNECT, connected).await.map_err(timed_out)??).await
    }
}

fn not_connected(socket: &Path, error: &std::io::Error) -> Failure {
    if error.kind() == std::io::ErrorKind::PermissionDenied {
        return Failure::new(Exit::Environment, format!("{} may not be opened: {error}", socket.display()))
            .hint("run it as root, or as one whom `[api.peers]` of the companion's configuration names");
    }
    no_answer(format!("no companion answers on {}: {error}", socket.display()))
        .hint("start one with `firstlight serve`, or name its state folder with --state DIR")
}

fn no_answer(message: String) -> Failure {
    Failure::new(Exit::NoAnswer, message)
}

async fn speak<S>(stream: S) -> Result<SendRequest<Full<Bytes>>, Failure>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| super::lost(&error))?;
    tokio::spawn(async move {
        // Its errors reach us as errors of the request.
        let _ = connection.await;
    });
    Ok(sender)
}

/// `https://HOST[:PORT]`, nothing else: no user, no path.
fn parse_url(url: &str) -> Result<(String, u16), Failure> {
    let wrong = |what: &str| {
        Failure::new(Exit::Usage, format!("--url {url}: {what}"))
            .hint("write it like https://pve1.example:7444")
    };
    let uri: Uri = url.parse().map_err(|_| wrong("this is no address"))?;
    if uri.scheme_str() != Some("https") {
        return Err(wrong("only https is spoken; without TLS there is the unix socket (--state DIR)"));
    }
    if !matches!(uri.path(), "" | "/") || uri.query().is_some() || url.contains('@') {
        return Err(wrong("only a host and a port are wanted"));
    }
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    if host.is_empty() {
        Err(wrong("the host is missing"))
    } else {
        Ok((host, uri.port_u16().unwrap_or(PORT)))
    }
}

fn read_token(path: &Path) -> Result<HeaderValue, Failure> {
    use std::os::unix::fs::PermissionsExt;
    let wrong =
        |what: String| Failure::new(Exit::Environment, format!("--token-file {}: {what}", path.display()));
    let found = std::fs::metadata(path).map_err(|error| wrong(error.to_string()))?;
    if found.is_file() && found.permissions().mode() & 0o077 != 0 {
        return Err(wrong("others may read it".to_owned()).hint(format!("chmod 600 {}", path.display())));
    }
    let token = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let mut value = HeaderValue::from_str(&format!("Bearer {}", token.trim()))
        .map_err(|_| wrong("this is no token: one line of printable characters is wanted".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for (url, parsed) in [
            ("https://pve1", Some(("pve1", PORT))),
            ("https://10.0.0.1:99/", Some(("10.0.0.1", 99))),
            ("https://[fd00::1]:99", Some(("fd00::1", 99))),
            ("http://pve1", None),
            ("pve1:7444", None),
            ("https://user@pve1", None),
            ("https://pve1/v1", None),
            ("https://pve1?x=1", None),
        ] {
            let found = parse_url(url).ok();
            assert_eq!(found, parsed.map(|(host, port)| (host.to_owned(), port)), "{url}");
        }
    }

    #[test]
    fn a_token_that_others_may_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "secret\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(read_token(&path).is_err());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let token = read_token(&path).unwrap();
        assert_eq!(token.to_str().unwrap(), "Bearer secret");
        assert!(!format!("{token:?}").contains("secret"));
    }
}

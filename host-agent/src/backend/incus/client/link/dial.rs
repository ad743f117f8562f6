//! A stream of bytes to the server: the socket itself, or TLS over TCP, over a proxy if there is one.

use std::path::Path;
use std::time::Duration;

use hyper::Uri;
use hyper::service::Service as _;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::{SocksV5, Tunnel};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::proxy::Proxy;
use crate::backend::link::tls::WrongCertificate;
use crate::backend::link::{Address, Failure, FailureKind, FetchError, Presented, fetch_over};

/// Bytes both ways.
pub(in crate::backend::incus::client) trait Io:
    AsyncRead + AsyncWrite + Send + Unpin
{
}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

pub(in crate::backend::incus::client) type Stream = Box<dyn Io>;

fn unreachable(text: String) -> Failure {
    Failure { kind: FailureKind::Connection, sent: false, text }
}

pub(super) async fn socket(path: &Path) -> Result<Stream, Failure> {
    match UnixStream::connect(path).await {
        Ok(stream) => Ok(Box::new(stream)),
        Err(error) => Err(unreachable(format!("{} cannot be opened: {error}", path.display()))),
    }
}

pub(super) async fn server(
    address: &Address,
    name: ServerName<'static>,
    proxy: Option<&Proxy>,
    connector: &TlsConnector,
) -> Result<Stream, Failure> {
    let stream = tcp(address, proxy).await.map_err(unreachable)?;
    // Small requests must not wait for the other side's acknowledgements.
    stream.set_nodelay(true).map_err(|error| unreachable(format!("{address}: {error}")))?;
    match connector.connect(name, stream).await {
        Ok(stream) => Ok(Box::new(stream)),
        Err(error) => Err(match WrongCertificate::of(&error) {
            Some(wrong) => Failure {
                kind: FailureKind::WrongCertificate,
                sent: false,
                text: format!("{address}: {wrong}"),
            },
            None => unreachable(format!("{address} does not speak TLS as it should: {error}")),
        }),
    }
}

async fn tcp(address: &Address, proxy: Option<&Proxy>) -> Result<TcpStream, String> {
    match proxy {
        None => TcpStream::connect((address.host.as_str(), address.port))
            .await
            .map_err(|error| format!("{address} cannot be reached: {error}")),
        Some(proxy) => through(proxy, address)
            .await
            .map_err(|why| format!("{address} cannot be reached through the proxy {proxy}: {why}")),
    }
}

/// What the server presents, over the proxy if there is one; nothing but the handshake is sent.
///
/// # Errors
/// As [`fetch_over`].
pub async fn present(
    address: &Address,
    proxy: Option<&Proxy>,
    limit: Duration,
) -> Result<Presented, FetchError> {
    let connecting = async { tcp(address, proxy).await.map_err(std::io::Error::other) };
    fetch_over(address, connecting, limit).await
}

async fn through(proxy: &Proxy, address: &Address) -> Result<TcpStream, String> {
    let target: Uri = format!("https://{address}").parse().map_err(|error| format!("{error}"))?;
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    let chain =
        |error: &(dyn std::error::Error + 'static)| firstlight_shared::error::Chain(error).to_string();
    let stream: TokioIo<TcpStream> = match proxy {
        Proxy::Http(uri) => TowerToHyperService::new(Tunnel::new(uri.clone(), tcp))
            .call(target)
            .await
            .map_err(|error| chain(&error))?,
        Proxy::Socks5(uri) => TowerToHyperService::new(SocksV5::new(uri.clone(), tcp))
            .call(target)
            .await
            .map_err(|error| chain(&error))?,
    };
    Ok(stream.into_inner())
}

//! A TLS session with whoever answers, and the certificate that it showed: pins and fingerprints are compared by the
//! caller before a byte is sent. Possession of the certificate's key is proved by the handshake as always.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, Error};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::tls;

fn config() -> Result<Arc<ClientConfig>, Error> {
    static MADE: OnceLock<Result<Arc<ClientConfig>, Error>> = OnceLock::new();
    MADE.get_or_init(tls::with_any_certificate).clone()
}

/// The session, and the leaf certificate in DER form.
///
/// # Errors
/// No connection, no TLS, or no proof that the server holds the certificate's key.
pub(super) async fn connect(
    address: SocketAddr,
    name: Option<ServerName<'static>>,
) -> std::io::Result<(TlsStream<TcpStream>, CertificateDer<'static>)> {
    let config = config().map_err(std::io::Error::other)?;
    let stream = TcpStream::connect(address).await?;
    let name = name.unwrap_or_else(|| ServerName::IpAddress(address.ip().into()));
    let stream = TlsConnector::from(config).connect(name, stream).await?;
    let leaf = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let leaf = leaf.ok_or_else(|| std::io::Error::other("the server showed no certificate"))?.clone();
    Ok((stream, leaf.into_owned()))
}

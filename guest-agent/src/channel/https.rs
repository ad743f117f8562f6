//! `https://ADDRESS:PORT`: TCP and TLS to an address.

use std::net::SocketAddr;

use firstlight_shared::pin::SpkiPin;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::AnyError;
use super::http::Stream;
use crate::tls;

/// # Errors
/// Nobody there, or not the holder of the pinned key.
pub(super) async fn connect(address: SocketAddr, pin: SpkiPin) -> Result<Stream, AnyError> {
    let stream = TcpStream::connect(address).await?;
    // Without it a report of two segments waits 40 ms for a delayed acknowledgement.
    stream.set_nodelay(true)?;
    let name = ServerName::IpAddress(address.ip().into());
    Ok(Box::new(TlsConnector::from(tls::pinned(pin)?).connect(name, stream).await?))
}

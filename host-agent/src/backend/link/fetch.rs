//! What a server presents, for a person to compare and to pin. Nothing is sent to it but the handshake.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use firstlight_shared::pin::SpkiPin;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, Error};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::address::Address;
use super::pin::Fingerprint;
use crate::tls::{Judge, Verifier, provider, spki};

/// The server has proved that it holds the key; whose it is, is for a person to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presented {
    pub certificate: Fingerprint,
    pub key: SpkiPin,
    /// The server's own certificate first. Neither Proxmox nor Incus sends its authority's.
    pub chain: Vec<CertificateDer<'static>>,
}

#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("{address} cannot be reached")]
    Connect {
        address: String,
        #[source]
        source: std::io::Error,
    },
    #[error("{address} does not speak TLS as it should")]
    Handshake {
        address: String,
        #[source]
        source: std::io::Error,
    },
    #[error("{address} does not answer in time")]
    TimedOut { address: String },
    #[error("{address} presents a certificate that cannot be read")]
    Certificate { address: String },
    #[error("the address {address} cannot be used")]
    Address { address: String },
}

/// Connects, notes the certificates, and hangs up.
///
/// # Errors
/// The server cannot be reached, or does not prove that it holds its certificate's key.
pub async fn fetch_certificate(address: &Address, limit: Duration) -> Result<Presented, FetchError> {
    fetch_over(address, TcpStream::connect((address.host.as_str(), address.port)), limit).await
}

/// The same over a way of the caller's own, such as a proxy.
///
/// # Errors
/// As [`fetch_certificate`].
pub async fn fetch_over(
    server: &Address,
    connecting: impl Future<Output = std::io::Result<TcpStream>>,
    limit: Duration,
) -> Result<Presented, FetchError> {
    let address = || server.to_string();
    let name = server.server_name().map_err(|_| FetchError::Address { address: address() })?;
    let handshake = |source| FetchError::Handshake { address: address(), source };
    let (notes, connector) = noting().map_err(|error| handshake(std::io::Error::other(error)))?;
    let shake = async {
        let stream = connecting.await.map_err(|source| FetchError::Connect { address: address(), source })?;
        connector.connect(name, stream).await.map_err(handshake)
    };
    let stream = tokio::time::timeout(limit, shake)
        .await
        .map_err(|_| FetchError::TimedOut { address: address() })??;
    drop(stream);
    let chain = notes.judge.seen.lock().map(|seen| seen.clone()).unwrap_or_default();
    let leaf = chain.first().and_then(|leaf| Some((Fingerprint::of(leaf), spki(leaf).ok()?)));
    let (certificate, key) = leaf.ok_or_else(|| FetchError::Certificate { address: address() })?;
    Ok(Presented { certificate, key, chain })
}

fn noting() -> Result<(Arc<Verifier<Notes>>, TlsConnector), Error> {
    let provider = provider();
    let notes = Arc::new(Verifier::new(Notes::default(), &provider));
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&notes) as Arc<dyn ServerCertVerifier>)
        .with_no_client_auth();
    Ok((notes, TlsConnector::from(Arc::new(config))))
}

/// Takes note of any certificate. Never used for a call: connections that it made are closed unused.
#[derive(Debug, Default)]
struct Notes {
    seen: Mutex<Vec<CertificateDer<'static>>>,
}

impl Judge for Notes {
    fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _now: UnixTime,
    ) -> Result<(), Error> {
        if let Ok(mut seen) = self.seen.lock() {
            *seen = std::iter::once(leaf).chain(intermediates).map(|one| one.clone().into_owned()).collect();
        }
        Ok(())
    }
}

//! What a server presents, for a person to compare and to pin. Nothing is sent to it but the handshake.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use firstlight_shared::pin::SpkiPin;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, Error};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::address::{Address, AddressError};
use crate::backend::link::pin::Fingerprint;
use crate::tls::{Judge, Verifier, provider, spki};

/// The server has proved that it holds the key; whose it is, is for a person to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presented {
    pub certificate: Fingerprint,
    pub key: SpkiPin,
    /// The server's own certificate first. Proxmox does not send its authority's.
    pub chain: Vec<CertificateDer<'static>>,
}

#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("{address} cannot be reached")]
    Connect {
        address: Address,
        #[source]
        source: std::io::Error,
    },
    #[error("{address} does not speak TLS as it should")]
    Handshake {
        address: Address,
        #[source]
        source: std::io::Error,
    },
    #[error("{address} does not answer in time")]
    TimedOut { address: Address },
    #[error("{address} presents a certificate that cannot be read")]
    Certificate { address: Address },
    #[error("the address cannot be used")]
    Address(#[source] AddressError),
}

/// Connects, notes the certificates, and hangs up.
///
/// # Errors
/// The server cannot be reached, or does not prove that it holds its certificate's key.
pub async fn fetch_certificate(address: &Address, limit: Duration) -> Result<Presented, FetchError> {
    let name = address.server_name().map_err(FetchError::Address)?;
    let (notes, connector) = noting().map_err(|error| FetchError::Handshake {
        address: address.clone(),
        source: std::io::Error::other(error),
    })?;
    let shake = async {
        let stream = TcpStream::connect((address.host.as_str(), address.port))
            .await
            .map_err(|source| FetchError::Connect { address: address.clone(), source })?;
        connector
            .connect(name, stream)
            .await
            .map_err(|source| FetchError::Handshake { address: address.clone(), source })
    };
    let stream = tokio::time::timeout(limit, shake)
        .await
        .map_err(|_| FetchError::TimedOut { address: address.clone() })??;
    drop(stream);
    let chain = notes.judge.seen.lock().map(|seen| seen.clone()).unwrap_or_default();
    let leaf = chain.first().and_then(|leaf| Some((Fingerprint::of(leaf), spki(leaf).ok()?)));
    let (certificate, key) = leaf.ok_or_else(|| FetchError::Certificate { address: address.clone() })?;
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

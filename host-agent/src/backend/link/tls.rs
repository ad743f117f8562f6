//! Only the pinned server. Possession of its key is proved by the handshake's signature, which the provider verifies.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, Error, OtherError, RootCertStore};
use tokio_rustls::TlsConnector;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::pin::{Fingerprint, Pin};
use crate::tls::{Judge, Verifier, provider, spki};

/// The server is not the one that is pinned. Shows both sides.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the server is not the pinned one: wanted {wanted}; seen certificate {certificate} with key {key} ({why})"
)]
pub struct WrongCertificate {
    pub wanted: String,
    pub certificate: Fingerprint,
    /// `sha256//..`, or that it cannot be read.
    pub key: String,
    pub why: String,
}

impl WrongCertificate {
    /// Out of what tokio-rustls gives.
    pub fn of(error: &std::io::Error) -> Option<&Self> {
        match error.get_ref()?.downcast_ref::<Error>()? {
            Error::InvalidCertificate(CertificateError::Other(OtherError(inner))) => inner.downcast_ref(),
            _ => None,
        }
    }
}

#[derive(Debug)]
struct Pinned {
    pin: Pin,
    /// For an authority.
    chain: Option<Arc<WebPkiServerVerifier>>,
}

impl Pinned {
    /// None: it is the pinned one. Else why not.
    fn objection(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Option<String> {
        match (&self.pin, &self.chain) {
            (Pin::Authority(_), Some(chain)) => chain
                .verify_server_cert(leaf, intermediates, name, &[], now)
                .err()
                .map(|error| error.to_string()),
            (Pin::Authority(_), None) => Some("no authority can be asked".to_owned()),
            (Pin::Keys(keys), _) => match spki(leaf) {
                Ok(key) if keys.contains(&key) => None,
                _ => Some("another key".to_owned()),
            },
            (Pin::Leaves(leaves), _) => {
                (!leaves.contains(&Fingerprint::of(leaf))).then(|| "another certificate".to_owned())
            }
        }
    }
}

impl Judge for Pinned {
    fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), Error> {
        let Some(why) = self.objection(leaf, intermediates, name, now) else { return Ok(()) };
        let wrong = WrongCertificate {
            wanted: self.pin.to_string(),
            certificate: Fingerprint::of(leaf),
            key: spki(leaf).map_or_else(|_| "that cannot be read".to_owned(), |key| key.to_string()),
            why,
        };
        Err(CertificateError::Other(OtherError(Arc::new(wrong))).into())
    }
}

/// Who we are to the server: certificates, our own first, and the key.
pub type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// The last second of a certificate (DER), since 1970. None: it cannot be read.
pub fn ends_s(certificate: &[u8]) -> Option<i64> {
    let (_, read) = X509Certificate::from_der(certificate).ok()?;
    Some(read.validity().not_after.timestamp())
}

/// # Errors
/// An authority's certificate is none, or the key is not that of our own.
pub(crate) fn connector(pin: &Pin, identity: Option<Identity>) -> Result<TlsConnector, Error> {
    let provider = provider();
    let chain = match pin {
        Pin::Authority(certificates) => Some(chain_verifier(certificates, &provider)?),
        Pin::Keys(_) | Pin::Leaves(_) => None,
    };
    let verifier = Verifier::new(Pinned { pin: pin.clone(), chain }, &provider);
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let config = match identity {
        Some((chain, key)) => config.with_client_auth_cert(chain, key)?,
        None => config.with_no_client_auth(),
    };
    Ok(TlsConnector::from(Arc::new(config)))
}

fn chain_verifier(
    certificates: &[CertificateDer<'static>],
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots.add(certificate.clone())?;
    }
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|error| Error::General(error.to_string()))
}

//! TLS, where a certificate's names, dates and issuer do not matter: the guest's clock may be anything this early.
//!
//! The host's key is pinned. Checks take any certificate, and compare it themselves before a byte is sent. Possession of
//! its key is proved by the handshake's signature in both, which the provider verifies as always.

use std::sync::Arc;

use firstlight_shared::pin::SpkiPin;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, SignatureScheme};

#[derive(Debug, thiserror::Error)]
#[error("the server's key is {found}, {wanted} is pinned")]
struct WrongKey {
    wanted: SpkiPin,
    found: SpkiPin,
}

#[derive(Debug)]
struct Verifier {
    /// None takes any certificate.
    pin: Option<SpkiPin>,
    provider: Arc<CryptoProvider>,
}

/// Only whoever holds the pinned key.
///
/// # Errors
/// The provider lacks what TLS 1.3 needs; ours does not.
pub(crate) fn pinned(pin: SpkiPin) -> Result<Arc<ClientConfig>, Error> {
    config(Some(pin))
}

/// Whoever answers; what its certificate is worth is decided afterwards.
///
/// # Errors
/// As [`pinned`].
pub(crate) fn with_any_certificate() -> Result<Arc<ClientConfig>, Error> {
    config(None)
}

fn config(pin: Option<SpkiPin>) -> Result<Arc<ClientConfig>, Error> {
    let provider = Arc::new(crate::provider::tls());
    let verifier = Arc::new(Verifier { pin, provider: Arc::clone(&provider) });
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(wanted) = self.pin else { return Ok(ServerCertVerified::assertion()) };
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let found = SpkiPin::of(&certificate.subject_public_key_info());
        if found == wanted {
            return Ok(ServerCertVerified::assertion());
        }
        let wrong = WrongKey { wanted, found };
        Err(CertificateError::Other(OtherError(Arc::new(wrong))).into())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 is not spoken".to_owned())) // the provider has no cipher of it
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

//! The client's side of TLS: who judges a server's certificate is the caller's business, the rest is the same for all.

use std::fmt::Debug;
use std::sync::Arc;

use firstlight_shared::pin::SpkiPin;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{DigitallySignedStruct, Error, SignatureScheme};

/// The one crypto provider of the companion.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// The pin of a certificate's key.
///
/// # Errors
/// It cannot be read.
pub(crate) fn spki(leaf: &CertificateDer<'_>) -> Result<SpkiPin, Error> {
    Ok(SpkiPin::of(&ParsedCertificate::try_from(leaf)?.subject_public_key_info()))
}

/// Says whether a server is the one that is wanted.
pub(crate) trait Judge: Debug + Send + Sync {
    /// # Errors
    /// It is not; the handshake ends with this error.
    fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), Error>;
}

/// A judge of certificates, with the handshake's signature verified by the provider: that the server holds the
/// certificate's key is proved whatever the judge looks at.
#[derive(Debug)]
pub(crate) struct Verifier<J> {
    pub(crate) judge: J,
    provider: Arc<CryptoProvider>,
}

impl<J: Judge> Verifier<J> {
    pub(crate) fn new(judge: J, provider: &Arc<CryptoProvider>) -> Self {
        Self { judge, provider: Arc::clone(provider) }
    }
}

impl<J: Judge> ServerCertVerifier for Verifier<J> {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.judge
            .judge(end_entity, intermediates, server_name, now)
            .map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
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

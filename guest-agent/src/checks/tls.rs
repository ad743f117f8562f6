//! A TLS session with whoever answers, and the certificate that it showed: pins and fingerprints are compared by the
//! caller before a byte is sent. Possession of the certificate's key is proved by the handshake as always.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Takes any certificate; what it is worth is decided afterwards.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

fn config() -> Result<Arc<ClientConfig>, Error> {
    static MADE: OnceLock<Result<Arc<ClientConfig>, Error>> = OnceLock::new();
    let make = || {
        let provider = Arc::new(crate::provider::tls());
        let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
            .with_no_client_auth();
        Ok(Arc::new(config))
    };
    MADE.get_or_init(make).clone()
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

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
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
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

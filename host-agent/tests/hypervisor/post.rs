//! How a guest sends its report: one POST over TLS. Whoever answers is believed: pins are tested with real guests.

#![allow(dead_code, reason = "each program uses its part")]

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use firstlight_shared::paths::REPORT_ENDPOINT;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Sends a report over a connection of its own; status and body of the answer.
pub(crate) async fn post(
    target: SocketAddr,
    source: IpAddr,
    report: String,
) -> anyhow::Result<(u16, String)> {
    post_to(target, source, REPORT_ENDPOINT, report).await
}

/// The same to another of the listener's places.
pub(crate) async fn post_to(
    target: SocketAddr,
    source: IpAddr,
    place: &str,
    body: String,
) -> anyhow::Result<(u16, String)> {
    let stream = connect(target, source).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let response = sender.send_request(request_to(place, body)?).await?;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await?.to_bytes();
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

pub(crate) fn request(report: String) -> anyhow::Result<Request<Full<Bytes>>> {
    request_to(REPORT_ENDPOINT, report)
}

fn request_to(place: &str, body: String) -> anyhow::Result<Request<Full<Bytes>>> {
    let request = Request::post(place).header("host", "companion");
    Ok(request.header("content-type", "application/json").body(Full::new(Bytes::from(body)))?)
}

/// TLS, whoever answers: pins are tested elsewhere, with real guests.
pub(crate) async fn connect(target: SocketAddr, source: IpAddr) -> anyhow::Result<TlsStream<TcpStream>> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::new(source, 0))?;
    let stream = socket.connect(target).await?;
    stream.set_nodelay(true)?;
    let connector = TlsConnector::from(Arc::new(anybody()?));
    Ok(connector.connect("companion".try_into()?, stream).await?)
}

#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

pub(crate) fn anybody() -> Result<ClientConfig, Error> {
    anybody_over(rustls::DEFAULT_VERSIONS)
}

/// The same over these versions of TLS.
pub(crate) fn anybody_over(
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> Result<ClientConfig, Error> {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider));
    Ok(config
        .with_protocol_versions(versions)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_no_client_auth())
}

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

//! A client that sends one request as it is told to, whatever the server may think of it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rustls::SupportedProtocolVersion;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::certificates::Pair;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    /// The `code` of a refusal.
    pub(crate) fn code(&self) -> String {
        let body: serde_json::Value = serde_json::from_str(&self.body).unwrap_or_default();
        body["code"].as_str().unwrap_or_default().to_owned()
    }
}

pub(crate) async fn over_socket(socket: &Path, method: &str, path: &str) -> Answer {
    let mut stream = UnixStream::connect(socket).await.unwrap();
    exchange(&mut stream, method, path, "").await.unwrap()
}

/// Who one says that one is, over TLS.
#[derive(Clone, Copy, Default)]
pub(crate) struct Proof<'a> {
    pub(crate) bearer: Option<&'a str>,
    pub(crate) certificate: Option<&'a Pair>,
    /// Comes from 127.0.0.N, for whoever failed before waits.
    pub(crate) from: u8,
}

pub(crate) async fn over_tls(
    address: SocketAddr,
    authority: &str,
    proof: Proof<'_>,
    method: &str,
    path: &str,
) -> std::io::Result<Answer> {
    let mut stream = connect_from(proof, address, authority, rustls::DEFAULT_VERSIONS).await?;
    let header = proof.bearer.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    exchange(&mut stream, method, path, &header).await
}

pub(crate) async fn connect(address: SocketAddr, authority: &str) -> std::io::Result<TlsStream<TcpStream>> {
    connect_over(rustls::DEFAULT_VERSIONS, address, authority).await
}

/// As nobody, over these versions of TLS.
pub(crate) async fn connect_over(
    versions: &[&'static SupportedProtocolVersion],
    address: SocketAddr,
    authority: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    connect_from(Proof::default(), address, authority, versions).await
}

async fn connect_from(
    proof: Proof<'_>,
    address: SocketAddr,
    authority: &str,
    versions: &[&'static SupportedProtocolVersion],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap()).unwrap();
    let builder =
        rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
    let config = match proof.certificate {
        None => builder.with_no_client_auth(),
        Some(pair) => {
            let chain = vec![CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap()];
            let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    };
    let socket = TcpSocket::new_v4()?;
    socket.bind(([127, 0, 0, proof.from.max(1)], 0).into())?;
    let stream = socket.connect(address).await?;
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), stream).await
}

pub(crate) async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    method: &str,
    path: &str,
    headers: &str,
) -> std::io::Result<Answer> {
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n{headers}\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut bytes = Vec::new();
    // A server that closes without goodbye has answered all the same.
    let ended = stream.read_to_end(&mut bytes).await;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return Err(ended.err().unwrap_or_else(|| std::io::Error::other("no answer")));
    };
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
    Ok(Answer { status, head: head.to_owned(), body: body.to_owned() })
}

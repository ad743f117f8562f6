//! A client that shows every byte: what a real one must cope with.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use firstlight_tests::simpve::example::{SECRET, TOKEN};
use firstlight_tests::simpve::wire::SimPve;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

pub(crate) const GOLDEN: &str = "local%3Abackup%2Fvzdump-lxc-9100-2026_11_21-11_14_04.tar.zst";

/// An answer as it came.
#[derive(Debug)]
pub(crate) struct Came {
    pub(crate) line: String,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Came {
    pub(crate) fn data(&self) -> Value {
        let body: Value = serde_json::from_str(&self.body).unwrap();
        body["data"].clone()
    }

    pub(crate) fn text(&self) -> String {
        self.data().as_str().unwrap().to_owned()
    }
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Client {
    stream: StreamOwned<ClientConnection, TcpStream>,
}

impl Client {
    pub(crate) fn new(sim: &SimPve, node: &str) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(sim.authority().as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from(node.to_owned()).unwrap();
        let tcp = TcpStream::connect(sim.addresses()[node]).unwrap();
        tcp.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let connection = ClientConnection::new(Arc::new(config), name).unwrap();
        Self { stream: StreamOwned::new(connection, tcp) }
    }

    /// SHA-256 of the public key that was shown, in hex.
    pub(crate) fn key(mut self) -> String {
        self.send(&request("GET", "/version", "")).unwrap();
        let shown = self.stream.conn.peer_certificates().unwrap()[0].clone();
        Sha256::digest(public_key(&shown)).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// None if the connection broke.
    pub(crate) fn send(&mut self, request: &str) -> Option<Came> {
        self.stream.write_all(request.as_bytes()).ok()?;
        let mut bytes = Vec::new();
        let mut piece = [0; 4096];
        loop {
            if let Some(came) = whole(&bytes, false) {
                return Some(came);
            }
            match self.stream.read(&mut piece) {
                Ok(count) if count > 0 => bytes.extend(&piece[..count]),
                _ => return whole(&bytes, true),
            }
        }
    }

    /// Reads until the other side closes; what came.
    pub(crate) fn rest(&mut self) -> usize {
        let mut rest = Vec::new();
        // How it ends does not matter, only that it does.
        let _ = self.stream.read_to_end(&mut rest);
        rest.len()
    }
}

/// The part of a certificate that is its public key: of a P-256 key, 91 bytes behind a header that never changes.
fn public_key(certificate: &[u8]) -> &[u8] {
    const HEADER: [u8; 6] = [0x30, 0x59, 0x30, 0x13, 0x06, 0x07];
    let at = certificate.windows(HEADER.len()).position(|window| window == HEADER).unwrap();
    &certificate[at..at + 91]
}

/// The answer, once it is complete; without a length it ends with the connection.
fn whole(bytes: &[u8], closed: bool) -> Option<Came> {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n")?;
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    match length.map(|length| length.parse::<usize>().unwrap()) {
        Some(length) if body.len() < length => return None,
        None if !closed => return None,
        _ => {}
    }
    let line = head.lines().next()?.to_owned();
    Some(Came { line, head: head.to_owned(), body: body.to_owned() })
}

/// A request with the example's token.
pub(crate) fn request(method: &str, path: &str, body: &str) -> String {
    let content = match body.is_empty() {
        true => String::new(),
        false => {
            format!("Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n", body.len())
        }
    };
    let target = if path.starts_with("/api2") { path.to_owned() } else { format!("/api2/json{path}") };
    format!(
        "{method} {target} HTTP/1.1\r\nHost: localhost\r\nAuthorization: PVEAPIToken={TOKEN}={SECRET}\r\n{content}\r\n{body}"
    )
}

/// One request over a connection of its own to the first node.
pub(crate) fn ask(sim: &SimPve, method: &str, path: &str, body: &str) -> Option<Came> {
    Client::new(sim, "pve1").send(&request(method, path, body))
}

/// The body of a restore of the example's container.
pub(crate) fn restore(id: u32) -> String {
    format!("vmid={id}&ostemplate={GOLDEN}&restore=1&storage=local")
}

//! A TLS server that says and does what a test wants, byte by byte.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use firstlight::backend::proxmox::client::call::Limits;
use firstlight::backend::proxmox::client::link::{Address, ApiToken, Fingerprint, Pin};
use firstlight::backend::proxmox::client::verdict::Patience;
use firstlight::backend::proxmox::client::{Client, Settings};
use firstlight_shared::secret::Secret;
use firstlight_tests::ports::free_address;
use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

pub(crate) const SECRET: &str = "5ec7e7aa-0000-4000-8000-0123456789ab";

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) line: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
    /// Connections count from 0.
    pub(crate) connection: usize,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

#[derive(Debug, Clone)]
pub(crate) enum Reaction {
    /// Sent as it is, and the connection stays open.
    Say(Vec<u8>),
    /// Sent as it is, and the connection is closed.
    SayAndHangUp(Vec<u8>),
    SayLater(Duration, Vec<u8>),
    HangUp,
    Silence,
    /// A body without end.
    Endless,
}

/// A good answer with `Content-Length`.
pub(crate) fn ok(data: &str) -> Reaction {
    Reaction::Say(answer("200 OK", &format!("{{\"data\":{data}}}")))
}

/// A bad one, after which the server hangs up as Proxmox does.
pub(crate) fn no(status: &str, body: &str) -> Reaction {
    Reaction::SayAndHangUp(answer(status, body))
}

pub(crate) fn answer(status: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nConnection: Keep-Alive\r\nContent-Length: {length}\r\n\r\n{body}")
        .into_bytes()
}

pub(crate) struct Server {
    pub(crate) address: Address,
    pub(crate) certificate: CertificateDer<'static>,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

type React = Arc<dyn Fn(usize, &Seen) -> Reaction + Send + Sync>;

impl Server {
    /// With a certificate of its own; `react` gets the number of the request, from 0.
    pub(crate) async fn start(react: impl Fn(usize, &Seen) -> Reaction + Send + Sync + 'static) -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
        Self::with(tls(certificate.der().clone(), &key), certificate.der().clone(), react).await
    }

    pub(crate) async fn with(
        config: Arc<ServerConfig>,
        certificate: CertificateDer<'static>,
        react: impl Fn(usize, &Seen) -> Reaction + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = address(listener.local_addr().unwrap());
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let connections = Arc::<AtomicUsize>::default();
        let (acceptor, react) = (TlsAcceptor::from(config), Arc::new(react) as React);
        let accepting =
            tokio::spawn(accept(listener, acceptor, react, Arc::clone(&seen), Arc::clone(&connections)));
        Self { address, certificate, seen, connections, accepting }
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub(crate) fn pin(&self) -> Pin {
        Pin::Leaves(vec![Fingerprint::of(&self.certificate)])
    }

    /// Gives up at once.
    pub(crate) fn client(&self) -> Client {
        Client::new(settings(vec![self.address.clone()], self.pin())).unwrap()
    }
}

pub(crate) fn address(socket: SocketAddr) -> Address {
    Address { host: socket.ip().to_string(), port: socket.port() }
}

/// An address where nobody listens.
pub(crate) fn nobody() -> Address {
    address(free_address())
}

pub(crate) fn token() -> ApiToken {
    ApiToken::parse(&Secret::new(format!("lab@pve!host={SECRET}").into_bytes())).unwrap()
}

pub(crate) fn settings(addresses: Vec<Address>, pin: Pin) -> Settings {
    let limit = Duration::from_secs(2);
    let limits =
        Limits { connect: limit, read: limit, change: limit, agent: limit, answer: 64 * 1024, at_once: 2 };
    Settings { addresses, pin, token: token(), limits, patience: Patience::NONE }
}

pub(crate) fn tls(certificate: CertificateDer<'static>, key: &KeyPair) -> Arc<ServerConfig> {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    Arc::new(config)
}

async fn accept(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    react: React,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<AtomicUsize>,
) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let connection = connections.fetch_add(1, Ordering::SeqCst);
        let (acceptor, react, seen) = (acceptor.clone(), Arc::clone(&react), Arc::clone(&seen));
        tokio::spawn(async move {
            // A client that does not like us hangs up: that is what tests look for at its side.
            if let Ok(stream) = acceptor.accept(stream).await {
                serve(stream, connection, &react, &seen).await;
            }
        });
    }
}

async fn serve(mut stream: TlsStream<TcpStream>, connection: usize, react: &React, seen: &Mutex<Vec<Seen>>) {
    while let Some(request) = read(&mut stream, connection).await {
        let number = {
            let mut seen = seen.lock().unwrap();
            seen.push(request.clone());
            seen.len() - 1
        };
        let stays = match react(number, &request) {
            Reaction::Say(bytes) => stream.write_all(&bytes).await.is_ok(),
            Reaction::SayAndHangUp(bytes) => {
                let _ = stream.write_all(&bytes).await;
                false
            }
            Reaction::SayLater(delay, bytes) => {
                tokio::time::sleep(delay).await;
                stream.write_all(&bytes).await.is_ok()
            }
            Reaction::HangUp => false,
            Reaction::Silence => {
                tokio::time::sleep(Duration::from_secs(60)).await;
                false
            }
            Reaction::Endless => {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n{\"data\":\"").await;
                while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
                false
            }
        };
        if !stays {
            let _ = stream.shutdown().await;
            return;
        }
    }
}

async fn read(stream: &mut TlsStream<TcpStream>, connection: usize) -> Option<Seen> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        let mut buffer = [0; 4096];
        match stream.read(&mut buffer).await {
            Ok(count) if count > 0 => bytes.extend_from_slice(&buffer[..count]),
            _ => return None,
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let mut lines = head.split("\r\n");
    let line = lines.next().unwrap().to_owned();
    let headers: Vec<(String, String)> = lines
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.into(), value.into()))
        .collect();
    let mut seen = Seen { line, headers, body: String::new(), connection };
    let length = seen.header("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = bytes[end + 4..].to_vec();
    while body.len() < length {
        let mut buffer = [0; 4096];
        let count = stream.read(&mut buffer).await.ok().filter(|count| *count > 0)?;
        body.extend_from_slice(&buffer[..count]);
    }
    seen.body = String::from_utf8(body).unwrap();
    Some(seen)
}

//! HTTPS: both sides are known, a proxy sees nothing.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use firstlight::backend::incus::client::call::Limits;
use firstlight::backend::incus::client::endpoint::server::ReadServer;
use firstlight::backend::incus::client::link::{Address, ClientCertificate, Place, Proxy, Server};
use firstlight::backend::incus::client::verdict::Patience;
use firstlight::backend::incus::client::{Client, Settings};
use firstlight::backend::link::pin::Pin;
use firstlight_shared::secret::Secret;
use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::fake::{React, Seen, ok, serve};

struct Pair {
    certificate: CertificateDer<'static>,
    pem: String,
    key: KeyPair,
}

fn pair() -> Pair {
    let key = KeyPair::generate().unwrap();
    let made = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    Pair { certificate: made.der().clone(), pem: made.pem(), key }
}

fn private(key: &KeyPair) -> PrivateKeyDer<'static> {
    PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()))
}

fn ring() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// A server that takes only clients of this authority. Gives its address and its certificate.
async fn server(authority: &CertificateDer<'static>) -> (SocketAddr, Pair, Arc<Mutex<Vec<Seen>>>) {
    let own = pair();
    let mut roots = RootCertStore::empty();
    roots.add(authority.clone()).unwrap();
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), ring()).build().unwrap();
    let config = ServerConfig::builder_with_provider(ring())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(clients)
        .with_single_cert(vec![own.certificate.clone()], private(&own.key))
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::<Mutex<Vec<Seen>>>::default();
    let kept = Arc::clone(&seen);
    let react: React = Arc::new(|_, _| ok(json!({"auth": "trusted"})));
    tokio::spawn(async move {
        let events = tokio::sync::broadcast::channel(1).0;
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, react) = (acceptor.clone(), Arc::clone(&react));
            let (kept, events) = (Arc::clone(&kept), events.clone());
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    serve(stream, react, kept, events).await;
                }
            });
        }
    });
    (address, own, seen)
}

/// Our certificate, and the authority that signed it.
fn ours() -> (CertificateDer<'static>, ClientCertificate) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let own = CertificateParams::new(vec!["us".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    let secret = Secret::new(key.serialize_pem().into_bytes());
    (authority.der().clone(), ClientCertificate::parse(own.pem().as_bytes(), &secret).unwrap())
}

fn client(address: SocketAddr, pin: Pin, certificate: ClientCertificate, proxy: Option<Proxy>) -> Client {
    let address = Address { host: address.ip().to_string(), port: address.port() };
    Client::new(Settings {
        name: "far".to_owned(),
        place: Place::Server(Server { address, pin, certificate, proxy }),
        project: "default".to_owned(),
        limits: Limits::default(),
        patience: Patience::NONE,
    })
    .unwrap()
}

#[tokio::test]
async fn both_sides_show_a_certificate_and_connections_are_kept() {
    let (authority, certificate) = ours();
    let (address, own, seen) = server(&authority).await;
    let pin = Pin::servers(own.pem.as_bytes()).unwrap();
    let far = client(address, pin, certificate, None);
    for _ in 0..3 {
        assert!(far.send(&ReadServer).await.unwrap().is_trusted());
    }
    assert_eq!(seen.lock().unwrap().len(), 3);
    assert_eq!(far.address(), format!("https://{address}"));
}

#[tokio::test]
async fn another_server_gets_nothing() {
    let (authority, certificate) = ours();
    let (address, _, seen) = server(&authority).await;
    let far = client(address, Pin::servers(pair().pem.as_bytes()).unwrap(), certificate, None);
    let error = far.send(&ReadServer).await.unwrap_err();
    assert_eq!(error.class.to_string(), "never-sent wrong-certificate");
    assert!(error.to_string().contains("sha256//") && error.hint().is_some(), "{error}");
    assert!(seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_certificate_that_the_server_does_not_take_ends_the_call() {
    let (authority, _) = ours();
    let (_, strange) = ours();
    let (address, own, seen) = server(&authority).await;
    let far = client(address, Pin::servers(own.pem.as_bytes()).unwrap(), strange, None);
    assert!(far.send(&ReadServer).await.is_err());
    assert!(seen.lock().unwrap().is_empty());
}

/// What a proxy was asked for.
pub(crate) type Asked = Arc<Mutex<Vec<String>>>;

pub(crate) async fn proxy(socks: bool, refuse: bool) -> (SocketAddr, Asked) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Asked::default();
    let kept = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let kept = Arc::clone(&kept);
            tokio::spawn(async move {
                if socks { socks5(stream, &kept, refuse).await } else { connect(stream, &kept, refuse).await }
            });
        }
    });
    (address, asked)
}

async fn connect(mut stream: TcpStream, asked: &Asked, refuse: bool) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let target = head.split(' ').nth(1).unwrap().to_owned();
    asked.lock().unwrap().push(head.lines().next().unwrap().to_owned());
    if refuse {
        stream.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        return;
    }
    let mut far = TcpStream::connect(target).await.unwrap();
    stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
    let _ = copy_bidirectional(&mut stream, &mut far).await;
}

async fn socks5(mut stream: TcpStream, asked: &Asked, refuse: bool) {
    let mut hello = [0; 3];
    stream.read_exact(&mut hello).await.unwrap();
    assert_eq!(hello, [5, 1, 0], "no password is offered");
    stream.write_all(&[5, 0]).await.unwrap();
    let mut request = [0; 10];
    stream.read_exact(&mut request).await.unwrap();
    let [5, 1, 0, 1, a, b, c, d, high, low] = request else { panic!("an IPv4 address: {request:?}") };
    let target = SocketAddr::from(([a, b, c, d], u16::from_be_bytes([high, low])));
    asked.lock().unwrap().push(target.to_string());
    let answer = [5, if refuse { 2 } else { 0 }, 0, 1, 0, 0, 0, 0, 0, 0];
    stream.write_all(&answer).await.unwrap();
    if !refuse {
        let mut far = TcpStream::connect(target).await.unwrap();
        let _ = copy_bidirectional(&mut stream, &mut far).await;
    }
}

#[tokio::test]
async fn proxies_are_passed_and_the_pin_holds_behind_them() {
    let (authority, certificate) = ours();
    let (address, own, _) = server(&authority).await;
    for (socks, scheme, expected) in
        [(true, "socks5", address.to_string()), (false, "http", format!("CONNECT {address} HTTP/1.1"))]
    {
        let (at, asked) = proxy(socks, false).await;
        let through: Proxy = format!("{scheme}://{at}").parse().unwrap();
        let pin = Pin::servers(own.pem.as_bytes()).unwrap();
        let far = client(address, pin, certificate.clone(), Some(through.clone()));
        assert!(far.send(&ReadServer).await.unwrap().is_trusted());
        assert_eq!(asked.lock().unwrap().as_slice(), [expected]);
        let pin = Pin::servers(pair().pem.as_bytes()).unwrap();
        let wrong = client(address, pin, certificate.clone(), Some(through));
        let error = wrong.send(&ReadServer).await.unwrap_err();
        assert_eq!(error.class.to_string(), "never-sent wrong-certificate");
    }
}

#[tokio::test]
async fn a_proxy_that_refuses_is_named() {
    let (authority, certificate) = ours();
    let (address, own, _) = server(&authority).await;
    for (socks, scheme) in [(true, "socks5"), (false, "http")] {
        let (at, _) = proxy(socks, true).await;
        let through = format!("{scheme}://{at}").parse().unwrap();
        let pin = Pin::servers(own.pem.as_bytes()).unwrap();
        let far = client(address, pin, certificate.clone(), Some(through));
        let error = far.send(&ReadServer).await.unwrap_err();
        assert_eq!(error.class.to_string(), "never-sent unreachable");
        assert!(error.to_string().contains(&at.to_string()), "{error}");
    }
}

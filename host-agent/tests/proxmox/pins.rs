//! Only the pinned server gets a request, whatever it presents.

use std::sync::Arc;
use std::time::Duration;

use firstlight::backend::link::fetch_certificate;
use firstlight::backend::proxmox::client::Client;
use firstlight::backend::proxmox::client::endpoint::cluster::ReadVersion;
use firstlight::backend::proxmox::client::link::{Address, Fingerprint, Pin};
use firstlight::backend::proxmox::client::verdict::{Class, Patience, Unsent};
use firstlight_shared::pin::SpkiPin;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, PublicKeyData as _, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::server::{Server, ok, settings, tls};

const VERSION: &str = r#"{"version":"9.2.11"}"#;

/// A cluster's authority, as Proxmox makes one.
fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn pin_of(authority: &CertifiedIssuer<'static, KeyPair>) -> Pin {
    Pin::authority(authority.pem().as_bytes()).unwrap()
}

fn leaf(
    authority: &CertifiedIssuer<'static, KeyPair>,
    key: &KeyPair,
    name: &str,
    until: i32,
) -> CertificateDer<'static> {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.not_after = date_time_ymd(until, 1, 1);
    params.signed_by(key, authority).unwrap().der().clone()
}

async fn server(certificate: &CertificateDer<'static>, key: &KeyPair) -> Server {
    Server::with(tls(certificate.clone(), key), certificate.clone(), |_, _| ok(VERSION)).await
}

fn client(address: &Address, pin: &Pin) -> Client {
    let patience = Patience { connection: Duration::from_secs(5), lock: Duration::ZERO };
    Client::new(settings(vec![address.clone()], pin.clone())).unwrap().with_patience(patience)
}

fn key_pin(key: &KeyPair) -> Pin {
    Pin::Keys(vec![SpkiPin::of(&key.subject_public_key_info())])
}

async fn is_taken(server: &Server, pin: &Pin) -> bool {
    let before = server.seen().len();
    match client(&server.address, pin).send(&ReadVersion).await {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error.class, Class::NeverSent(Unsent::WrongCertificate), "{error}");
            assert_eq!(
                server.seen().len(),
                before,
                "no request may reach a server that is not the pinned one"
            );
            let seen = Fingerprint::of(&server.certificate).to_string();
            assert!(error.text.contains(&seen) && error.text.contains(&pin.to_string()), "{error}");
            assert!(error.text.contains("sha256//"), "{error}");
            false
        }
    }
}

#[tokio::test]
async fn each_kind_of_pin_takes_its_server_and_no_other() {
    let (ours, theirs) = (authority(), authority());
    let (key, other_key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let good = server(&leaf(&ours, &key, "127.0.0.1", 2099), &key).await;
    for (pin, expected) in [
        (pin_of(&ours), true),
        (pin_of(&theirs), false),
        (key_pin(&key), true),
        (key_pin(&other_key), false),
        (good.pin(), true),
        (Pin::Leaves(vec![Fingerprint::of(b"other")]), false),
        // Nothing of one kind is taken for another: not the authority's key for the leaf's, nor its fingerprint.
        (key_pin(ours.key()), false),
        (Pin::Leaves(vec![Fingerprint::of(ours.der())]), false),
        (Pin::Authority(vec![CertificateDer::from(good.certificate.to_vec())]), false),
    ] {
        assert_eq!(is_taken(&good, &pin).await, expected, "{pin}");
    }
    let garbage = Pin::Authority(vec![CertificateDer::from(vec![1, 2, 3])]);
    assert!(Client::new(settings(vec![good.address.clone()], garbage)).is_err());
}

#[tokio::test]
async fn a_renewed_certificate_keeps_its_key_and_its_authority_and_loses_its_fingerprint() {
    let ours = authority();
    let key = KeyPair::generate().unwrap();
    let old = server(&leaf(&ours, &key, "127.0.0.1", 2098), &key).await;
    let renewed = server(&leaf(&ours, &key, "127.0.0.1", 2099), &key).await;
    assert!(is_taken(&renewed, &pin_of(&ours)).await);
    assert!(is_taken(&renewed, &key_pin(&key)).await);
    assert!(!is_taken(&renewed, &old.pin()).await);
}

#[tokio::test]
async fn an_authority_vouches_for_the_address_and_for_a_time_and_a_key_for_itself() {
    let ours = authority();
    let key = KeyPair::generate().unwrap();
    let elsewhere = server(&leaf(&ours, &key, "127.0.0.9", 2099), &key).await;
    let expired = server(&leaf(&ours, &key, "127.0.0.1", 2001), &key).await;
    for server in [&elsewhere, &expired] {
        assert!(!is_taken(server, &pin_of(&ours)).await);
        assert!(is_taken(server, &key_pin(&key)).await);
    }
}

/// Presents what it is told to, and signs with what it has.
#[derive(Debug)]
struct Thief(Arc<CertifiedKey>);

impl ResolvesServerCert for Thief {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

#[tokio::test]
async fn a_certificate_without_its_key_is_worth_nothing() {
    let ours = authority();
    let (key, stolen_without) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let certificate = leaf(&ours, &key, "127.0.0.1", 2099);
    let its_own = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(stolen_without.serialize_der()));
    let signer = rustls::crypto::ring::sign::any_supported_type(&its_own).unwrap();
    let thief = Thief(Arc::new(CertifiedKey::new(vec![certificate.clone()], signer)));
    for versions in [&[&rustls::version::TLS13], &[&rustls::version::TLS12]] {
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Thief(Arc::clone(&thief.0))));
        let server = Server::with(Arc::new(config), certificate.clone(), |_, _| ok(VERSION)).await;
        for pin in [pin_of(&ours), key_pin(&key), server.pin()] {
            let hasty = client(&server.address, &pin).with_patience(Patience::NONE);
            let error = hasty.send(&ReadVersion).await.unwrap_err();
            assert_eq!(error.class, Class::NeverSent(Unsent::Unreachable), "{error}");
            assert_eq!(server.seen().len(), 0);
        }
        assert!(fetch_certificate(&server.address, Duration::from_secs(5)).await.is_err());
    }
}

#[tokio::test]
async fn a_wrong_node_among_several_is_passed_over_and_named_if_none_is_right() {
    let ours = authority();
    let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let good = server(&leaf(&ours, &key, "127.0.0.1", 2099), &key).await;
    let wrong = server(&leaf(&ours, &other, "127.0.0.1", 2099), &other).await;
    let addresses = vec![wrong.address.clone(), good.address.clone()];
    Client::new(settings(addresses, key_pin(&key))).unwrap().send(&ReadVersion).await.unwrap();
    assert_eq!((wrong.seen().len(), good.seen().len()), (0, 1));

    let addresses = vec![wrong.address.clone(), crate::server::nobody()];
    let error =
        Client::new(settings(addresses, key_pin(&key))).unwrap().send(&ReadVersion).await.unwrap_err();
    assert_eq!(error.class, Class::NeverSent(Unsent::WrongCertificate), "{error}");
    assert_eq!(error.code(), "proxmox-wrong-certificate");
}

#[tokio::test]
async fn what_a_server_presents_can_be_looked_at_and_pinned() {
    let ours = authority();
    let key = KeyPair::generate().unwrap();
    let server = server(&leaf(&ours, &key, "127.0.0.1", 2099), &key).await;
    let presented = fetch_certificate(&server.address, Duration::from_secs(5)).await.unwrap();
    assert_eq!(presented.certificate, Fingerprint::of(&server.certificate));
    assert_eq!(presented.chain, std::slice::from_ref(&server.certificate));
    assert!(is_taken(&server, &Pin::Keys(vec![presented.key])).await);
    assert!(is_taken(&server, &Pin::Leaves(vec![presented.certificate])).await);
    let nobody = crate::server::nobody();
    assert!(fetch_certificate(&nobody, Duration::from_secs(5)).await.is_err());
}

//! What runs in a started machine: it makes one signed report and sends it until somebody acknowledges it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use firstlight_shared::check::{CheckResult, Severity, Verdict};
use firstlight_shared::ids::{MacAddress, MachineId};
use firstlight_shared::paths::REPORT_ENDPOINT;
use firstlight_shared::wire::{
    Address, Agent, Claim, Decision, Envelope, Facts, HostKey, Hostname, Identity, Interface,
    MachineIdOutcome, MachineIdState, REPORT_VERSION, Report, ReportState,
};
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use ssh_key::{Algorithm, PrivateKey};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::Hypervisor;

/// One guest's identity.
#[derive(Debug, Clone)]
pub(crate) struct Guest {
    pub(crate) name: String,
    pub(crate) mac: MacAddress,
    pub(crate) address: IpAddr,
}

impl Guest {
    /// An address of the loopback that is this guest's own, so that it can be told from the others.
    pub(crate) fn source(&self) -> IpAddr {
        match self.address {
            IpAddr::V4(address) => {
                let [_, b, c, d] = address.octets();
                IpAddr::V4(Ipv4Addr::new(127, b, c, d))
            }
            IpAddr::V6(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        }
    }

    /// A report in which all is well, signed with a key of the guest's own: the bytes that go to the companion.
    pub(crate) fn report(&self, claim: &Claim) -> String {
        let key = PrivateKey::random(&mut ssh_key::rand_core::OsRng, Algorithm::Ed25519).unwrap();
        let envelope = Envelope::seal(&self.content(claim, &key), &key, Some(claim)).unwrap();
        serde_json::to_string(&envelope).unwrap()
    }

    fn content(&self, claim: &Claim, key: &PrivateKey) -> Report {
        let address = Address { address: self.address, prefix: 8 };
        Report {
            version: REPORT_VERSION,
            report_id: hex::encode(rand::random::<[u8; 16]>()),
            agent: Agent { name: "firstlight-guest".into(), version: "0.0.0-paper".into() },
            claim_id: Some(claim.id.clone()),
            boot_id: None,
            made_at_ms: 1,
            state: ReportState::Ready,
            identity: Identity {
                decision: Decision::Renew,
                reason: "paper".into(),
                machine_id: MachineIdOutcome {
                    derived: Some(MachineId::from_random(rand::random()).derived()),
                    state: MachineIdState::Fresh,
                    reboot_required: false,
                    prediction: None,
                },
                hostname: Hostname { current: self.name.clone(), expected: None, ok: true },
                ssh_host_keys: vec![HostKey::of(key.public_key()).unwrap()],
                removed_host_keys: vec![],
                pending: vec![],
                problems: vec![],
                items: vec![],
                age_recipient: None,
            },
            network: vec![Interface {
                name: "eth0".into(),
                mac: Some(self.mac),
                up: true,
                addresses: vec![address],
            }],
            checks: vec![CheckResult {
                id: "sshd".into(),
                severity: Severity::Required,
                verdict: Verdict::Pass,
                reason: "paper".into(),
                elapsed_ms: 1,
            }],
            facts: Facts::default(),
            timings_ms: BTreeMap::new(),
            boot: None,
        }
    }
}

/// From start to acknowledgement, or until the machine is gone.
pub(super) async fn live(hypervisor: Hypervisor, job: String) {
    let mut manner = hypervisor.shared.manner.subscribe();
    let boot = manner.borrow().boot;
    tokio::time::sleep(boot).await;
    let Some((guest, report)) = hypervisor.wake(&job) else { return };
    for attempt in 0.. {
        let _ = manner.wait_for(|manner| !manner.silent && !manner.reports.is_empty()).await;
        let there = hypervisor.world().machines.get(&job).is_some_and(|machine| machine.running);
        if !there {
            return;
        }
        let targets = manner.borrow().reports.clone();
        // Guests begin with different companions.
        let turn = (usize::from(guest.mac.0[5]) + attempt) % targets.len();
        match post(targets[turn], guest.source(), report.clone()).await {
            Ok((200..=499, _)) => return,
            _ => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// Sends a report over a connection of its own; status and body of the answer.
pub(crate) async fn post(
    target: SocketAddr,
    source: IpAddr,
    report: String,
) -> anyhow::Result<(u16, String)> {
    let stream = connect(target, source).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let response = sender.send_request(request(report)?).await?;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await?.to_bytes();
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

pub(crate) fn request(report: String) -> anyhow::Result<Request<Full<Bytes>>> {
    let request = Request::post(REPORT_ENDPOINT).header("host", "companion");
    Ok(request.header("content-type", "application/json").body(Full::new(Bytes::from(report)))?)
}

/// TLS, whoever answers: pins are tested elsewhere, with real guests.
pub(crate) async fn connect(target: SocketAddr, source: IpAddr) -> anyhow::Result<TlsStream<TcpStream>> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::new(source, 0))?;
    let stream = socket.connect(target).await?;
    stream.set_nodelay(true)?;
    let connector = TlsConnector::from(Arc::new(trusting::config()?));
    Ok(connector.connect("companion".try_into()?, stream).await?)
}

impl Hypervisor {
    /// The machine's guest and what it will send; the hypervisor can read it from now on.
    fn wake(&self, job: &str) -> Option<(Guest, String)> {
        let mut world = self.world();
        let machine = world.machines.get_mut(job)?;
        let guest =
            Guest { name: machine.guest.clone(), mac: machine.mac, address: *machine.addresses.first()? };
        let report = guest.report(machine.claim.as_ref()?);
        machine.report = Some(report.clone());
        Some((guest, report))
    }
}

mod trusting {
    //! A TLS client that takes any certificate.

    use std::sync::Arc;

    use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
    use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

    #[derive(Debug)]
    struct Anybody(Arc<CryptoProvider>);

    pub(super) fn config() -> Result<ClientConfig, Error> {
        let provider = Arc::new(ring::default_provider());
        let config = ClientConfig::builder_with_provider(Arc::clone(&provider));
        Ok(config
            .with_safe_default_protocol_versions()?
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
}

//! The control socket asked by other users: this very program again, as somebody else. And the report listener's TLS.

use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};

use crate::client::{Answer, exchange, over_socket};
use crate::rig::Rig;

const SOCKET: &str = "FIRSTLIGHT_TEST_SOCKET";
const NOBODY: u32 = 65534;
/// A number that has no name on any machine.
const STRANGER: u32 = 54321;

/// Not a test: a child that asks as another user.
#[tokio::test]
#[ignore = "run by the tests beside it, as another user"]
async fn asks() {
    let Some(socket) = std::env::var_os(SOCKET) else { return };
    for (method, path) in [("GET", "/v1/jobs"), ("POST", "/v1/jobs/nothing/cancel"), ("GET", "/readyz")] {
        let answer = over_socket(socket.as_ref(), method, path).await;
        println!("answered {} {}", answer.status, answer.code());
    }
}

fn ask_as(rig: &Rig, uid: u32, gid: u32) -> String {
    // Where a test is built may be closed to others.
    let program = rig.path("asks");
    if !program.exists() {
        std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    }
    let mut child = Command::new(&program);
    child.args(["--exact", "peer::asks", "--ignored", "--nocapture"]).env(SOCKET, rig.path("control.sock"));
    let output = child.gid(gid).uid(uid).current_dir("/").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let answers: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("answered ")).collect();
    if answers.is_empty() { String::from_utf8_lossy(&output.stderr).into_owned() } else { answers.join(", ") }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_the_control_socket_the_kernel_says_who_asks() {
    assert!(nix::unistd::geteuid().is_root(), "only root can ask as somebody else");
    let rig = Rig::new(&format!("[api.peers]\nuids = [{NOBODY}]\ngids = [4711]\n"));
    let companion = rig.start().await;
    assert_eq!(rig.socket("GET", "/v1/jobs").await.status, 200, "root is obeyed");
    let obeyed = ask_as(&rig, NOBODY, NOBODY);
    assert!(obeyed.starts_with("200 , ") && !obeyed.contains("401"), "{obeyed}");
    let by_group = ask_as(&rig, STRANGER, 4711);
    assert!(by_group.starts_with("200 , ") && !by_group.contains("401"), "{by_group}");
    assert_eq!(ask_as(&rig, STRANGER, STRANGER), "401 not-obeyed, 401 not-obeyed, 200 ");

    // Without peers the file itself is closed.
    rig.configure("");
    companion.reload(&rig.load().settings).unwrap();
    let closed = ask_as(&rig, NOBODY, NOBODY);
    assert!(closed.contains("Permission denied") || closed.contains("PermissionDenied"), "{closed}");
    companion.stop().await;
}

/// Asks the report listener, whose certificate vouches for nothing but its key.
pub(crate) async fn to_reports(address: SocketAddr, method: &str, path: &str) -> Answer {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_no_client_auth();
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let mut stream = connector.connect(ServerName::try_from("firstlight").unwrap(), stream).await.unwrap();
    exchange(&mut stream, method, path, "").await.unwrap()
}

#[derive(Debug)]
struct Anybody(Arc<rustls::crypto::CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            certificate,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            certificate,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

//! Nothing secret is in what may be logged.

use firstlight::backend::incus::client::endpoint::Config;
use firstlight::backend::incus::client::endpoint::Endpoint;
use firstlight::backend::incus::client::endpoint::file::{FileKind, WriteFile};
use firstlight::backend::incus::client::endpoint::instance::PatchInstance;
use firstlight::backend::incus::client::link::ClientCertificate;
use firstlight_shared::secret::Secret;
use rcgen::{CertificateParams, KeyPair};

use crate::fake::{Server, error};

const SECRET: &str = "hunter2-hunter2";

#[tokio::test]
async fn claims_and_files_are_in_no_error_and_no_debug() {
    let server = Server::start(|_, _| error(500, "something"));
    let patch = PatchInstance {
        name: "web-01".to_owned(),
        config: Config::from_iter([("user.firstlight.claim", SECRET)]),
        ..PatchInstance::default()
    };
    let write = WriteFile {
        instance: "web-01".to_owned(),
        path: "/etc/key".to_owned(),
        kind: FileKind::File,
        uid: 0,
        gid: 0,
        mode: 0o400,
        content: Secret::new(SECRET.as_bytes().to_vec()),
    };
    let client = server.client();
    let refused = client.send(&patch).await.unwrap_err();
    let unwritten = client.send(&write).await.unwrap_err();
    for shown in [
        format!("{patch:?} {:?} {refused} {refused:?}", patch.call()),
        format!("{write:?} {:?} {unwritten} {unwritten:?}", write.call()),
        format!("{client:?}"),
    ] {
        assert!(!shown.contains(SECRET), "{shown}");
        assert!(!shown.contains("104, 117, 110"), "nor as numbers: {shown}");
    }
    let sent = server.seen();
    assert!(sent.iter().all(|seen| String::from_utf8_lossy(&seen.body).contains(SECRET)));
}

#[test]
fn of_our_certificate_only_its_fingerprint_is_shown() {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["us".to_owned()]).unwrap().self_signed(&key).unwrap();
    let pem = Secret::new(key.serialize_pem().into_bytes());
    let ours = ClientCertificate::parse(certificate.pem().as_bytes(), &pem).unwrap();
    let shown = format!("{ours:?}");
    assert!(shown.contains(&ours.fingerprint().unwrap().to_string()), "{shown}");
    assert!(shown.len() < 200 && !shown.contains("PRIVATE"), "{shown}");
    for (certificate, key) in
        [(b"x".to_vec(), pem.clone()), (certificate.pem().into_bytes(), Secret::new(b"hunter2".to_vec()))]
    {
        let error = ClientCertificate::parse(&certificate, &key).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
}

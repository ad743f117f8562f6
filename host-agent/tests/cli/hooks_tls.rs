//! Webhooks over TLS: a message goes to the receiver that the settings mean, and to nobody else.

use std::io::Write;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use firstlight_shared::pin::SpkiPin;
use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ParsedCertificate;
use serde_json::Value;
use tokio_rustls::TlsAcceptor;

use crate::certificates::Authority;
use crate::hooks::{KEY, verified};
use crate::receiver::{Answer, Receiver};
use crate::rig::Rig;
use crate::signals::page;

/// A receiver whose certificate an authority of its own signed, for `localhost`.
struct Guarded {
    receiver: Receiver,
    authority: Authority,
    /// `sha256//..` of its key.
    key: String,
}

impl Guarded {
    async fn start(answers: &[Answer]) -> Self {
        let authority = Authority::new();
        let pair = authority.sign("receiver");
        let leaf = CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap();
        let spki = ParsedCertificate::try_from(&leaf).unwrap().subject_public_key_info();
        let key = SpkiPin::of(&spki).to_string();
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf], PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap())
            .unwrap();
        let tls = TlsAcceptor::from(Arc::new(config));
        Self { receiver: Receiver::start_as(Some(tls), answers).await, authority, key }
    }

    /// Starts a companion anew that knows the receiver by this line of its [[webhook]].
    async fn known_by(&self, rig: &mut Rig, host: &str, line: &str) {
        rig.stop().await;
        let secret = rig.path("secret");
        std::fs::write(&secret, format!("whsec_{}\n", STANDARD.encode(KEY))).unwrap();
        std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let port = self.receiver.address.port();
        rig.configure(&format!(
            "[[webhook]]\nname = \"ci\"\nurl = \"https://{host}:{port}/hook\"\nsecret = {secret:?}\n{line}\n"
        ));
        rig.serve().await;
    }
}

/// `ca = "FILE"` of an authority.
fn authority(rig: &Rig, name: &str, authority: &Authority) -> String {
    let path = rig.path(name);
    std::fs::write(&path, authority.pem()).unwrap();
    format!("ca = {path:?}")
}

/// What the companions of all tests here log, from the first call on.
fn log() -> String {
    static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());
    struct Lines;
    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            LOG.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    static LISTENING: LazyLock<()> = LazyLock::new(|| {
        let lines = tracing_subscriber::fmt().with_ansi(false).with_writer(|| Lines).finish();
        tracing::subscriber::set_global_default(lines).unwrap();
    });
    LazyLock::force(&LISTENING);
    String::from_utf8_lossy(&LOG.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
}

/// The newest message, once an attempt with it has failed.
async fn refused(rig: &Rig) -> Value {
    for _ in 0..200 {
        let listed = rig.run(&["webhooks", "--json"]).await.ends_with(0).json();
        if !listed["messages"][0]["error"].is_null() {
            return listed["messages"][0].clone();
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("no attempt failed")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_another_authority_vouches_for_gets_nothing_until_the_right_one_is_named() {
    log();
    let guarded = Guarded::start(&[]).await;
    let mut rig = Rig::idle();
    let wrong = authority(&rig, "wrong.pem", &Authority::new());
    guarded.known_by(&mut rig, "localhost", &wrong).await;
    // The guest is ready all the same.
    rig.run(&["up", &rig.spec(&["web-01"], "")]).await.ends_with(0);
    let message = refused(&rig).await;
    assert_eq!((&message["state"], &message["what"]), (&"waiting".into(), &"guest.ready".into()));
    let why = message["error"].as_str().unwrap();
    assert!(why.contains("the server is not the pinned one") && why.contains(&guarded.key), "{why}");
    let listed = rig.run(&["webhooks"]).await.ends_with(0).stdout;
    assert!(listed.contains("again in") && listed.contains("not the pinned one"), "{listed}");
    let tested = rig.run(&["webhooks", "--test", "ci"]).await.ends_with(1);
    tested.tells(&["not the pinned one", "`ca`, `keys`"]);
    let (_, metrics) = page(&rig, "*/*").await;
    let count = |result: &str| {
        let series = format!("firstlight_deliveries_total{{target=\"webhook:ci\",result=\"{result}\"}} ");
        metrics.lines().find_map(|line| line.strip_prefix(&series)?.parse::<u64>().ok()).unwrap_or(0)
    };
    assert!(count("failed") >= 2 && count("sent") == 0, "{metrics}");
    let id = message["id"].as_str().unwrap();
    let said = log();
    let line = said.lines().find(|line| line.contains(id)).unwrap_or_else(|| panic!("{id}: {said}"));
    assert!(line.contains("WARN") && line.contains("not the pinned one"), "{line}");
    assert!(guarded.receiver.all().is_empty(), "nobody was told anything");

    let right = authority(&rig, "right.pem", &guarded.authority);
    guarded.known_by(&mut rig, "localhost", &right).await;
    rig.run(&["webhooks", "--retry", "ci"]).await.ends_with(0);
    let told = guarded.receiver.until(2).await;
    let mut types: Vec<Value> = told.iter().map(|one| verified(one)["type"].clone()).collect();
    types.sort_by_key(Value::to_string);
    assert_eq!(types, ["firstlight.test", "guest.ready"]);
    // The authority vouches for a name, not for whoever has a certificate of it.
    guarded.known_by(&mut rig, "127.0.0.1", &right).await;
    rig.run(&["webhooks", "--test", "ci"]).await.ends_with(1).tells(&["not the pinned one"]);
    assert_eq!(guarded.receiver.all().len(), 2);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_is_known_by_its_key_whoever_signed_it() {
    let guarded = Guarded::start(&[Answer::Status(500)]).await;
    let other = Guarded::start(&[]).await;
    let mut rig = Rig::idle();
    guarded.known_by(&mut rig, "localhost", &format!("keys = [\"{}\"]", other.key)).await;
    rig.run(&["webhooks", "--test", "ci"]).await.ends_with(1).tells(&[&other.key, &guarded.key]);
    assert!(guarded.receiver.all().is_empty());
    // Any of several; what it did not take at first comes again, over a connection that is judged again.
    let both = format!("keys = [\"{}\", \"{}\"]", other.key, guarded.key);
    guarded.known_by(&mut rig, "localhost", &both).await;
    rig.run(&["webhooks", "--retry", "ci"]).await.ends_with(0);
    refused(&rig).await;
    rig.run(&["webhooks", "--retry", "ci"]).await.ends_with(0);
    let told = guarded.receiver.until(2).await;
    assert_eq!(verified(&told[0])["type"], "firstlight.test");
    assert_eq!(told[0].header("webhook-id"), told[1].header("webhook-id"));
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_vouch_for_nobody_stop_the_start() {
    let rig = Rig::idle();
    let secret = rig.path("secret");
    std::fs::write(&secret, format!("whsec_{}\n", STANDARD.encode(KEY))).unwrap();
    std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let empty = rig.path("empty.pem");
    std::fs::write(&empty, "no certificate").unwrap();
    for (line, words) in [
        (format!("ca = {empty:?}"), "empty.pem"),
        (format!("ca = {:?}", rig.path("missing.pem")), "missing.pem"),
        ("keys = [\"sha256//AAAA\"]".to_owned(), "keys"),
    ] {
        rig.configure_file(&format!(
            "[[webhook]]\nname = \"ci\"\nurl = \"https://localhost:1/\"\nsecret = {secret:?}\n{line}\n"
        ));
        let started = rig.run(&["--config", &rig.config(), "serve"]).await;
        assert!(started.code != 0 && started.stderr.contains(words), "{line}: {started:?}");
        started.tells(&[]);
    }
}

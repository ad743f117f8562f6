//! The token goes to the server and nowhere else.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use firstlight::backend::proxmox::client::Client;
use firstlight::backend::proxmox::client::endpoint::Endpoint as _;
use firstlight::backend::proxmox::client::endpoint::cluster::ReadVersion;
use firstlight::backend::proxmox::client::endpoint::guest::{Guest, Kind, Start};
use firstlight::backend::proxmox::client::endpoint::lxc::RestoreLxc;
use firstlight::backend::proxmox::client::link::{ApiToken, Pin};
use firstlight::backend::proxmox::client::verdict::Patience;
use firstlight::config::SecretFile;
use firstlight::outcome::Fault;
use firstlight_shared::error::Chain;
use tracing_subscriber::fmt::MakeWriter;

use crate::server::{Reaction, SECRET, Server, no, nobody, ok, settings};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }

    /// Everything that this thread logs while the guard lives.
    fn capture(&self) -> tracing::subscriber::DefaultGuard {
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(self.clone())
            .finish();
        tracing::subscriber::set_default(subscriber)
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

fn start() -> Start {
    Start { guest: Guest { node: "pve1".to_owned(), kind: Kind::Lxc, vmid: 104 } }
}

/// Servers that put the token into everything they say, and ones that fail in every other way.
#[tokio::test]
async fn the_token_is_in_no_log_no_error_and_no_debug_output() {
    let log = Log::default();
    let _guard = log.capture();
    let mut shown = String::new();
    let reactions = [
        no(
            &format!("500 bad token {SECRET}"),
            &format!("{{\"message\":\"bad {SECRET}\",\"errors\":{{\"x\":\"{SECRET}\"}}}}"),
        ),
        no(&format!("401 {SECRET}"), SECRET),
        no(&format!("400 {SECRET}"), &format!("<html>{SECRET}")),
        no(&format!("596 {SECRET}"), ""),
        ok(&format!("\"{SECRET}\"")),
        Reaction::HangUp,
        Reaction::Silence,
    ];
    for reaction in reactions {
        let server = Server::start(move |_, _| reaction.clone()).await;
        let addresses = vec![nobody(), server.address.clone()];
        let client = Client::new(settings(addresses, server.pin())).unwrap();
        let patient =
            client.with_patience(Patience { connection: Duration::from_millis(400), lock: Duration::ZERO });
        let error = patient.send(&start()).await.unwrap_err();
        write!(shown, "{error} {error:?} {} {:?} ", Chain(&error), Fault::from(&error)).unwrap();
        if let Err(error) = patient.send(&ReadVersion).await {
            write!(shown, "{error} {error:?} ").unwrap();
        }
        write!(shown, "{client:?} {:?} {:?} ", settings(Vec::new(), server.pin()), start().call()).unwrap();
        assert!(server.seen().iter().all(|seen| seen.header("authorization").unwrap().contains(SECRET)));
    }
    let wrong = Server::start(|_, _| ok("null")).await;
    let other = Server::start(|_, _| ok("null")).await;
    let error = Client::new(settings(vec![wrong.address.clone()], other.pin())).unwrap();
    write!(shown, "{:?}", error.send(&start()).await.unwrap_err()).unwrap();

    assert!(shown.contains("[token]") && shown.contains("lab@pve!host"), "{shown}");
    assert!(log.text().contains("tried again"), "the log was captured: {}", log.text());
    for text in [&shown, &log.text()] {
        assert!(!text.contains(SECRET), "{text}");
        assert!(!text.contains(&SECRET[..12]), "{text}");
    }
}

#[test]
fn a_claim_in_a_request_is_not_shown_either() {
    let restore = RestoreLxc { env: Some("CLAIM=hunter2".to_owned()), ..RestoreLxc::default() };
    let shown = format!("{restore:?} {:?}", restore.call());
    assert!(shown.contains("env") && !shown.contains("hunter2"), "{shown}");
}

#[tokio::test]
async fn what_is_tried_again_is_logged_once_and_so_is_a_weak_pin() {
    let log = Log::default();
    let _guard = log.capture();
    let server = Server::start(|_, _| no("596 Connection timed out", "")).await;
    let client = server.client();
    let patience = Patience { connection: Duration::from_secs(2), lock: Duration::ZERO };
    client.with_patience(patience).send(&ReadVersion).await.unwrap_err();
    assert!(server.seen().len() >= 3, "{} requests", server.seen().len());
    let text = log.text();
    let warnings =
        |words: &str| text.lines().filter(|line| line.contains("WARN") && line.contains(words)).count();
    assert_eq!(warnings("tried again"), 1, "{text}");
    assert_eq!(warnings("it is renewed some day"), 1, "{text}");
    assert!(matches!(server.pin(), Pin::Leaves(_)));
}

#[test]
fn a_token_comes_from_a_file_that_nobody_else_reads_or_from_a_credential() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    std::fs::write(&path, format!("lab@pve!host={SECRET}\n")).unwrap();
    for (mode, is_taken) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false)] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        match SecretFile::File(path.clone()).read(None) {
            Ok(content) => {
                assert!(is_taken, "{mode:o}");
                assert_eq!(ApiToken::parse(&content).unwrap().id(), "lab@pve!host");
            }
            Err(error) => {
                assert!(!is_taken, "{mode:o}: {error}");
                assert!(!format!("{error:?}{error}").contains(SECRET));
            }
        }
    }
    let credential = SecretFile::parse("credential:token").unwrap();
    let content = credential.read(Some(folder.path().as_os_str())).unwrap();
    assert_eq!(ApiToken::parse(&content).unwrap().id(), "lab@pve!host");
}

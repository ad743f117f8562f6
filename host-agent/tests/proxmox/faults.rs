//! What becomes of a call when the network or the server fails at each point.

use std::time::Duration;

use firstlight::backend::proxmox::client::call::Method;
use firstlight::backend::proxmox::client::endpoint::cluster::ReadVersion;
use firstlight::backend::proxmox::client::endpoint::config::{ChangeConfig, ReadConfig};
use firstlight::backend::proxmox::client::endpoint::guest::{Destroy, Guest, Kind, Start};
use firstlight::backend::proxmox::client::link::{Fingerprint, Pin};
use firstlight::backend::proxmox::client::verdict::{
    Answer, ApiError, Class, Code, Lock, Patience, Reply, Unsent, classify,
};
use firstlight::backend::proxmox::client::{Client, SettingsError};
use firstlight::outcome::Fault;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;

use crate::server::{Reaction, Server, address, answer, no, nobody, ok, settings, tls};

const VERSION: &str = r#"{"version":"9.2.11","release":"9.2"}"#;
const UPID: &str = r#""UPID:pve1:00000D27:00056742:6B017F12:vzstart:104:lab@pve!host:""#;
const LOCKED: &str =
    r#"{"message":"can't lock file '/run/lock/lxc/pve-config-104.lock' - got timeout\n","data":null}"#;

fn container() -> Guest {
    Guest { node: "pve1".to_owned(), kind: Kind::Lxc, vmid: 104 }
}

fn start() -> Start {
    Start { guest: container() }
}

fn change() -> ChangeConfig {
    let set = vec![("hostname".to_owned(), "web-01".to_owned())];
    ChangeConfig { guest: container(), set, delete: Vec::new(), digest: None }
}

fn patient(seconds: u64) -> Patience {
    Patience { connection: Duration::from_secs(seconds), lock: Duration::from_secs(seconds) }
}

fn is_unreachable(error: &ApiError) -> bool {
    error.class == Class::NeverSent(Unsent::Unreachable)
}

#[tokio::test]
async fn nobody_listens() {
    let server = Server::start(|_, _| ok(UPID)).await;
    let client = Client::new(settings(vec![nobody()], server.pin())).unwrap();
    let error = client.send(&start()).await.unwrap_err();
    assert!(is_unreachable(&error), "{error}");
    assert!(error.text.contains("Connection refused"), "{error}");
    let none = Client::new(settings(Vec::new(), server.pin()));
    assert!(matches!(none, Err(SettingsError::NoAddress)));
}

#[tokio::test]
async fn a_listener_that_never_shakes_hands_or_hangs_up_got_nothing() {
    let pin = Server::start(|_, _| ok(UPID)).await.pin();
    for hangs_up in [true, false] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client =
            Client::new(settings(vec![address(listener.local_addr().unwrap())], pin.clone())).unwrap();
        let silent = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut buffer = [0; 16];
            let _ = stream.read(&mut buffer).await;
            if !hangs_up {
                tokio::time::sleep(Duration::from_secs(60)).await;
            }
        });
        let error = client.send(&start()).await.unwrap_err();
        assert!(is_unreachable(&error), "{error}");
        silent.abort();
    }
}

/// Closed before and after the request was read, torn, endless, slow, and not what Proxmox says.
#[tokio::test]
async fn a_change_without_a_whole_answer_is_of_unknown_outcome_and_sent_once() {
    let torn = answer("200 OK", &format!("{{\"data\":{UPID}}}"));
    let reactions = [
        Reaction::HangUp,
        Reaction::SayAndHangUp(b"HTTP/1.1 200 OK\r\nContent-Le".to_vec()),
        Reaction::SayAndHangUp(torn[..torn.len() - 5].to_vec()),
        Reaction::SayAndHangUp(b"SSH-2.0-OpenSSH_10.0\r\n\r\n".to_vec()),
        Reaction::Silence,
        Reaction::Endless,
        no("200 OK", "<html>login</html>"),
        no("200 OK", "{}"),
        ok("null"),
        ok("\"not a task\""),
        ok("{\"upid\":1}"),
        no("502 Bad Gateway", "<html>"),
        no("504 Gateway Time-out", "<html>"),
        Reaction::SayAndHangUp(b"HTTP/1.1 595 Connection refused\r\n\r\n".to_vec()),
        Reaction::SayAndHangUp(b"HTTP/1.1 596 \xe2\x80\x9cBroken\xe2\x80\x9d pipe\r\n\r\n".to_vec()),
        Reaction::SayAndHangUp(b"HTTP/1.1 596\r\nConnection: close\r\n\r\n".to_vec()),
        Reaction::SayAndHangUp(b"HTTP/1.1 599 Too many redirections\r\n\r\n".to_vec()),
    ];
    for reaction in reactions {
        let shown = format!("{reaction:?}");
        let server = Server::start(move |_, _| reaction.clone()).await;
        let client = server.client().with_patience(patient(1));
        let error = client.send(&start()).await.unwrap_err();
        assert_eq!(error.class, Class::MaybeApplied, "{shown}: {error}");
        assert_eq!(server.seen().len(), 1, "{shown}");
    }
}

#[tokio::test]
async fn a_read_is_tried_again_until_patience_ends_or_an_answer_comes() {
    let torn = answer("200 OK", &format!("{{\"data\":{VERSION}}}"));
    for bad in [
        Reaction::HangUp,
        Reaction::SayAndHangUp(torn[..torn.len() - 5].to_vec()),
        Reaction::Silence,
        Reaction::SayAndHangUp(b"HTTP/1.1 596 Connection timed out\r\n\r\n".to_vec()),
        no("503 Service Unavailable", ""),
    ] {
        let shown = format!("{bad:?}");
        let server = Server::start(move |number, _| if number < 2 { bad.clone() } else { ok(VERSION) }).await;
        let hasty = server.client();
        assert_eq!(hasty.send(&ReadVersion).await.unwrap_err().class, Class::MaybeApplied, "{shown}");
        let version = hasty.with_patience(patient(10)).send(&ReadVersion).await.unwrap();
        assert_eq!((version.numbers(), server.seen().len()), (Some((9, 2)), 3), "{shown}");
    }
}

#[tokio::test]
async fn a_read_that_is_not_answered_as_proxmox_does_is_reported_at_once() {
    for bad in [no("200 OK", "<html>login</html>"), no("200 OK", "[]"), ok("{\"version\":[]}"), ok("null")] {
        let server = Server::start(move |_, _| bad.clone()).await;
        let error = server.client().with_patience(patient(5)).send(&ReadVersion).await.unwrap_err();
        assert_eq!(error.class, Class::Rejected { code: Code::Unreadable, kept: false });
        assert_eq!(server.seen().len(), 1);
    }
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    let server = Server::start(|_, _| Reaction::Endless).await;
    let error = server.client().with_patience(patient(5)).send(&ReadVersion).await.unwrap_err();
    assert_eq!(error.class, Class::Rejected { code: Code::Unreadable, kept: false });
    assert!(error.text.contains("larger than 65536 bytes"), "{error}");
    assert_eq!(server.seen().len(), 1, "it would be as large the next time");
}

#[tokio::test]
async fn a_lock_is_waited_for_and_what_it_kept_from_happening_is_done_once() {
    let server = Server::start(|number, _| match number {
        0 | 1 => no("500 can't lock file '/run/lock/lxc/pve-config-104.lock' - got timeout", LOCKED),
        _ => ok("null"),
    })
    .await;
    let error = server.client().send(&change()).await.unwrap_err();
    assert_eq!(error.class, Class::Locked(Lock::Guest));
    server.client().with_patience(patient(10)).send(&change()).await.unwrap();
    assert_eq!(server.seen().len(), 3);
}

#[tokio::test]
async fn a_storage_that_is_locked_looks_like_a_wrong_parameter_and_is_waited_for() {
    let texts = [
        "unable to hotplug mp0: can't lock file '/var/lock/pve-manager/pve-storage-local' - got timeout\\n",
        "unable to apply pending change mp0 : cfs-lock 'storage-nfs' error: got lock request timeout",
    ];
    for text in texts {
        let body = format!(
            r#"{{"message":"Parameter verification failed.\n","errors":{{"mp0":"{text}"}},"data":null}}"#
        );
        let server = Server::start(move |number, _| {
            if number == 0 { no("400 Parameter verification failed.", &body) } else { ok("null") }
        })
        .await;
        server.client().with_patience(patient(10)).send(&change()).await.unwrap();
        assert_eq!(server.seen().len(), 2);
    }
}

#[tokio::test]
async fn a_written_lock_a_refusal_and_a_bad_token_are_not_tried_again() {
    for (status, body, class) in [
        (
            "500 CT is locked (backup)",
            r#"{"message":"CT is locked (backup)\n"}"#,
            Class::Locked(Lock::Written("backup".to_owned())),
        ),
        ("401 Authentication failed!", "", Class::Rejected { code: Code::Unauthenticated, kept: false }),
        ("500 something new", "{}", Class::Rejected { code: Code::ServerError, kept: true }),
        ("500 'storage-nfs'-locked command timed out - aborting", "{}", Class::MaybeApplied),
        ("500 cluster not ready - no quorum?", "{}", Class::Locked(Lock::Quorum)),
    ] {
        let server = Server::start(move |_, _| no(status, body)).await;
        let patience = if status.contains("quorum") { Patience::NONE } else { patient(5) };
        let error = server.client().with_patience(patience).send(&change()).await.unwrap_err();
        assert_eq!((error.class, server.seen().len()), (class, 1), "{status}");
    }
}

/// The handshake is done, and the server hangs up without reading: what was written may have been lost, or not.
#[tokio::test]
async fn a_server_that_hangs_up_before_it_reads_is_never_taken_for_an_answer() {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate =
        rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(tls(certificate.der().clone(), &key));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let pin = Pin::Leaves(vec![Fingerprint::of(certificate.der())]);
    let addresses = vec![address(listener.local_addr().unwrap())];
    let deaf = tokio::spawn(async move {
        for accepted in 1.. {
            let (stream, _) = listener.accept().await.unwrap();
            drop(acceptor.accept(stream).await);
            if accepted == 2 {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    });
    let client = Client::new(settings(addresses, pin)).unwrap();
    for _ in 0..3 {
        let error = client.send(&start()).await.unwrap_err();
        assert!(error.class == Class::MaybeApplied || is_unreachable(&error), "{error}");
    }
    deaf.abort();
}

#[test]
fn an_error_says_what_the_server_said_of_each_parameter_and_what_to_do() {
    let answer = |status, body: &str| {
        let answer = Answer { status, reason: "no".to_owned(), body: body.as_bytes().to_vec() };
        classify(Method::Put, "/nodes/pve1/lxc/104/config", &Reply::Answer(answer)).unwrap_err()
    };
    let error = answer(400, r#"{"message":"Bad.\n","errors":{"mp0":"too \u001b[31m small","net0":"x"}}"#);
    let shown = r"PUT /nodes/pve1/lxc/104/config: Bad. (mp0: too \u{1b}[31m small) (net0: x)";
    assert_eq!(error.to_string(), shown);
    let fault = Fault::from(&answer(500, r#"{"message":"CT is locked (create)\n"}"#));
    assert_eq!(fault.code, "proxmox-locked");
    assert!(fault.hint.unwrap().contains("`pct unlock 104`"));
    let fault =
        Fault::from(&answer(403, r#"{"message":"Permission check failed (/vms/104, VM.Audit|X)\n"}"#));
    assert_eq!(fault.code, "proxmox-denied");
    assert!(fault.hint.unwrap().starts_with("give VM.Audit or X on /vms/104 to the token and to its user"));
}

#[tokio::test]
async fn another_address_is_asked_only_if_surely_nothing_was_sent() {
    let good = Server::start(|_, _| ok(UPID)).await;
    let client = Client::new(settings(vec![nobody(), good.address.clone()], good.pin())).unwrap();
    client.send(&start()).await.unwrap();
    client.send(&start()).await.unwrap();
    assert_eq!(good.seen().len(), 2);

    let broken = Server::start(|_, _| Reaction::HangUp).await;
    let pins = Pin::Leaves([&broken, &good].map(|server| Fingerprint::of(&server.certificate)).to_vec());
    let client = Client::new(settings(vec![broken.address.clone(), good.address.clone()], pins)).unwrap();
    let error = client.send(&Destroy { guest: container(), force: true, unreferenced_disks: true }).await;
    assert_eq!(error.unwrap_err().class, Class::MaybeApplied);
    assert_eq!((broken.seen().len(), good.seen().len()), (1, 2));
    // The one that failed is asked last now.
    client.send(&start()).await.unwrap();
    assert_eq!((broken.seen().len(), good.seen().len()), (1, 3));
}

#[tokio::test]
async fn requests_are_as_the_server_wants_them() {
    let server =
        Server::start(|number, _| if number == 2 { ok("{\"digest\":\"0\"}") } else { ok(UPID) }).await;
    let client = server.client();
    client.send(&start()).await.unwrap();
    client.send(&Destroy { guest: container(), force: true, unreferenced_disks: true }).await.unwrap();
    client.send(&ReadConfig { guest: container(), current: true }).await.unwrap();
    let mut long = change();
    long.set.push(("env".to_owned(), "A=1;2\0B=x y&z".to_owned()));
    client.send(&long).await.unwrap();

    let [start, destroy, read, change] = &server.seen()[..] else { panic!("four requests") };
    assert_eq!(start.line, "POST /api2/json/nodes/pve1/lxc/104/status/start HTTP/1.1");
    assert_eq!((start.header("content-length"), start.body.as_str()), (Some("0"), ""));
    assert_eq!(
        destroy.line,
        "DELETE /api2/json/nodes/pve1/lxc/104?purge=1&force=1&destroy-unreferenced-disks=1 HTTP/1.1"
    );
    assert_eq!(read.line, "GET /api2/json/nodes/pve1/lxc/104/config?current=1 HTTP/1.1");
    for without in [destroy, read] {
        assert_eq!((without.header("content-length"), without.header("content-type")), (None, None));
    }
    assert_eq!(change.body, "hostname=web-01&env=A%3D1%3B2%00B%3Dx%20y%26z");
    assert_eq!(change.header("content-length"), Some(change.body.len().to_string().as_str()));
    assert_eq!(change.header("content-type"), Some("application/x-www-form-urlencoded"));
    for seen in server.seen() {
        assert_eq!(seen.header("transfer-encoding"), None, "{}", seen.line);
        assert!(seen.header("authorization").unwrap().starts_with("PVEAPIToken=lab@pve!host="));
    }
}

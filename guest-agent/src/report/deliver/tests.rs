//! Delivery against a real TLS server on loopback whose answers are scripted.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread::JoinHandle;

use firstlight_shared::pin::SpkiPin;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::*;

struct Server {
    target: Target,
    thread: JoinHandle<Vec<Vec<u8>>>,
}

/// Answers one connection after the other with the given statuses and bodies, then ends; returns the request bodies.
/// `None` closes the connection without an answer.
fn serve(answers: Vec<Option<(u16, String)>>) -> Server {
    let pair = rcgen::generate_simple_self_signed(vec!["firstlight".to_owned()]).unwrap();
    let pin = SpkiPin::of(&rcgen::PublicKeyData::subject_public_key_info(&pair.signing_key));
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pair.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![pair.cert.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        let mut bodies = Vec::new();
        for answer in answers {
            let (stream, _) = listener.accept().unwrap();
            let mut stream = StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), stream);
            let Some(body) = read_request(&mut stream) else { continue };
            bodies.push(body);
            let Some((status, text)) = answer else { continue };
            let head =
                format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", text.len());
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(text.as_bytes()));
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
        bodies
    });
    Server { target: Target { address, pin }, thread }
}

/// The body of a request; none if the client went away in the handshake.
fn read_request(stream: &mut impl Read) -> Option<Vec<u8>> {
    let (mut bytes, mut part) = (Vec::new(), [0; 4096]);
    loop {
        let count = stream.read(&mut part).ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&part[..count]);
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        assert!(head.starts_with("post /v1/report http/1.1"), "{head}");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        if bytes.len() >= end + 4 + length.parse::<usize>().unwrap() {
            return Some(bytes[end + 4..].to_vec());
        }
    }
}

fn envelope() -> Envelope {
    Envelope {
        version: 1,
        report: "{}".to_owned(),
        signature: String::new(),
        signing_key: String::new(),
        binding: None,
    }
}

fn ack() -> Option<(u16, String)> {
    let ack =
        Ack { version: 1, report_sha256: sha256_hex(b"{}"), accepted_at_ms: 1, host_certificates: vec![] };
    Some((200, serde_json::to_string(&ack).unwrap()))
}

fn refusal(status: u16) -> Option<(u16, String)> {
    let refusal = Refusal { code: "claim-used".to_owned(), message: "no".to_owned() };
    Some((status, serde_json::to_string(&refusal).unwrap()))
}

fn run_delivery(target: &Target, give_up_after: Duration) -> (ReportEnd, Delivery) {
    let folder = tempfile::tempdir().unwrap();
    let machine = Machine::open(folder.path()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let end = runtime.block_on(deliver(&machine, target, &envelope(), give_up_after));
    (end, load(&machine.root).unwrap())
}

#[test]
fn the_pinned_host_acknowledges() {
    let server = serve(vec![ack()]);
    let (end, delivery) = run_delivery(&server.target, Duration::from_secs(20));
    assert_eq!(end, ReportEnd::Done);
    assert_eq!((delivery.state, delivery.attempt_count), (DeliveryState::Acknowledged, 1));
    assert_eq!(server.thread.join().unwrap(), [serde_json::to_vec(&envelope()).unwrap()]);
}

#[test]
fn trouble_is_retried_with_the_same_bytes() {
    let other =
        Ack { version: 1, report_sha256: sha256_hex(b"other"), accepted_at_ms: 1, host_certificates: vec![] };
    let other = Some((200, serde_json::to_string(&other).unwrap()));
    let answers = vec![Some((503, String::new())), None, refusal(500), Some((404, "?".into())), other, ack()];
    let count = answers.len();
    let server = serve(answers);
    let (end, delivery) = run_delivery(&server.target, Duration::from_secs(60));
    assert_eq!(end, ReportEnd::Done, "{delivery:?}");
    let bodies = server.thread.join().unwrap();
    assert_eq!(bodies.len(), count);
    assert!(bodies.iter().all(|body| *body == bodies[0]));
    assert!(delivery.attempts[0].result.contains("503"), "{delivery:?}");
}

#[test]
fn a_refusal_is_final() {
    let server = serve(vec![refusal(409)]);
    let (end, delivery) = run_delivery(&server.target, Duration::from_secs(20));
    assert_eq!(
        (end, delivery.state, delivery.attempt_count),
        (ReportEnd::Refused, DeliveryState::Refused, 1)
    );
    assert!(delivery.is_final());
    assert_eq!(delivery.refusal.unwrap().code, "claim-used");
}

#[test]
fn another_key_gets_nothing_and_both_pins_are_shown() {
    let server = serve(vec![ack()]);
    let target = Target { pin: SpkiPin::of(b"another"), ..server.target.clone() };
    let (end, delivery) = run_delivery(&target, Duration::ZERO);
    assert_eq!((end, delivery.state), (ReportEnd::GaveUp, DeliveryState::GaveUp));
    let result = &delivery.attempts[0].result;
    assert!(result.contains(&target.pin.to_string()), "{result}");
    assert!(result.contains(&server.target.pin.to_string()), "{result}");
    assert_eq!(server.thread.join().unwrap(), Vec::<Vec<u8>>::new());
}

#[test]
fn nobody_there_ends_in_giving_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = Target { address: listener.local_addr().unwrap(), pin: SpkiPin::of(b"x") };
    drop(listener);
    let (end, delivery) = run_delivery(&target, Duration::from_millis(300));
    assert_eq!(end, ReportEnd::GaveUp);
    assert!(delivery.attempt_count > 1, "{delivery:?}");
}

#[test]
fn the_log_stays_short() {
    let (_, mut delivery) = run_delivery(
        &Target { address: "127.0.0.1:9".parse().unwrap(), pin: SpkiPin::of(b"x") },
        Duration::ZERO,
    );
    for at_ms in 0..100 {
        delivery.note(Attempt { at_ms, elapsed_ms: 0, result: String::new() });
    }
    assert_eq!((delivery.attempts.len(), delivery.attempt_count), (KEPT_ATTEMPTS, 101));
    assert_eq!(delivery.attempts.last().unwrap().at_ms, 99);
}

//! Every channel that can be had on any machine against a real server on this one, whose answers are scripted.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::thread::JoinHandle;

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::*;

/// A host with its answers used up, or still waiting for somebody to answer.
#[derive(Debug)]
pub(crate) struct Server {
    pub channel: Channel,
    /// Gives the bodies of the requests.
    pub thread: JoinHandle<Vec<Vec<u8>>>,
    _folder: Option<tempfile::TempDir>,
}

/// Status and body; `None` closes the connection without an answer.
pub(crate) type Scripted = Option<(u16, String)>;

pub(crate) fn envelope() -> Envelope {
    Envelope {
        version: 1,
        report: "{}".to_owned(),
        signature: String::new(),
        signing_key: String::new(),
        binding: None,
    }
}

pub(crate) fn message() -> Arc<Message> {
    Message::new(&envelope(), true).unwrap()
}

pub(crate) fn ack_text(sha256: &str) -> String {
    let (report_sha256, host_certificates) = (sha256.to_owned(), vec![]);
    serde_json::to_string(&Ack { version: 1, report_sha256, accepted_at_ms: 1, host_certificates }).unwrap()
}

pub(crate) fn ack() -> Scripted {
    Some((200, ack_text(message().sha256())))
}

pub(crate) fn refusal(status: u16) -> Scripted {
    let refusal = Refusal { code: "claim-used".to_owned(), message: "no".to_owned() };
    Some((status, serde_json::to_string(&refusal).unwrap()))
}

/// Answers one connection after the other as scripted, then ends.
pub(crate) fn serve_tls(answers: Vec<Scripted>) -> Server {
    let pair = rcgen::generate_simple_self_signed(vec!["firstlight".to_owned()]).unwrap();
    let pin = SpkiPin::of(&rcgen::PublicKeyData::subject_public_key_info(&pair.signing_key));
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pair.signing_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
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
            bodies.extend(answer_one(&mut stream, answer));
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
        bodies
    });
    Server { channel: Channel::Https { address, pin }, thread, _folder: None }
}

pub(crate) fn serve_unix(answers: Vec<Scripted>) -> Server {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("host.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let thread = std::thread::spawn(move || {
        let mut bodies = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            bodies.extend(answer_one(&mut stream, answer));
        }
        bodies
    });
    let channel = Channel::Unix(path.to_str().unwrap().to_owned());
    Server { channel, thread, _folder: Some(folder) }
}

fn answer_one(stream: &mut (impl Read + Write), answer: Scripted) -> Option<Vec<u8>> {
    let body = read_request(stream)?;
    if let Some((status, text)) = answer {
        let head =
            format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", text.len());
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(text.as_bytes()));
    }
    Some(body)
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

fn attempt(channel: &Channel, message: &Message) -> Answer {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(channel.attempt(message))
}

#[test]
fn a_local_socket_and_tls_speak_the_same() {
    for serve in [serve_tls, serve_unix] {
        let server = serve(vec![ack(), refusal(409), refusal(503), None]);
        assert!(matches!(attempt(&server.channel, &message()), Answer::Acknowledged(_)));
        assert!(matches!(attempt(&server.channel, &message()), Answer::Refused(_)));
        assert!(matches!(attempt(&server.channel, &message()), Answer::Retry(said) if said.contains("503")));
        assert!(matches!(attempt(&server.channel, &message()), Answer::Retry(_)));
        let bodies = server.thread.join().unwrap();
        assert_eq!(bodies.len(), 4);
        assert!(bodies.iter().all(|body| *body == *message().body));
    }
}

#[test]
fn a_channel_that_leads_nowhere_is_worth_another_attempt() {
    for channel in [
        Channel::Unix("/nonexistent/host.sock".to_owned()),
        // Port 1 of this machine itself; where the kernel has no vsock, that is the answer.
        Channel::Vsock { cid: 1, port: 1 },
        Channel::VirtioPort("firstlight.nonexistent".to_owned()),
        Channel::Incus("/nonexistent/sock".to_owned()),
    ] {
        assert!(matches!(attempt(&channel, &message()), Answer::Retry(_)), "{channel}");
    }
}

#[test]
fn incus_hears_of_a_ready_guest_only() {
    use crate::dev_incus::tests::{answer, serve};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sock");
    let server = serve(&path, vec![answer(200, ""), answer(500, "no")]);
    let channel = Channel::Incus(path.to_str().unwrap().to_owned());
    let degraded = Message::new(&envelope(), false).unwrap();
    assert!(matches!(attempt(&channel, &degraded), Answer::Told(_)));
    assert!(matches!(attempt(&channel, &message()), Answer::Told(_)));
    assert!(matches!(attempt(&channel, &message()), Answer::Retry(_)));
    assert_eq!(server.join().unwrap(), ["PATCH /1.0 HTTP/1.0", "PATCH /1.0 HTTP/1.0"]);
}

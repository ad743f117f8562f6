//! Who takes what guests send: reports over TLS with a key that the claim pins, as the companion takes them, and forms in plain HTTP.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use firstlight_shared::pin::SpkiPin;
use firstlight_shared::wire::{Ack, Claim, Envelope, ReportState};
use percent_encoding::percent_decode_str;
use rcgen::{CertificateParams, KeyPair, PublicKeyData as _};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::image::bare_key;
use crate::wait;

/// Of one request.
const PATIENCE: Duration = Duration::from_secs(10);
const MOST: usize = 1 << 20;

/// Host keys that a guest has told, and when they had come and were found to be in order.
#[derive(Debug)]
pub(super) struct Said {
    /// Type and base64 of each, in order.
    pub(super) keys: Vec<String>,
    pub(super) at: Instant,
}

#[derive(Debug)]
pub(super) struct Listener {
    socket: TcpListener,
    tls: Option<Arc<ServerConfig>>,
}

impl Listener {
    pub(super) fn plain(socket: TcpListener) -> Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self { socket, tls: None })
    }

    /// With a key of its own, whose pin is given.
    pub(super) fn tls(socket: TcpListener) -> Result<(Self, SpkiPin)> {
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new(vec!["host".to_owned()])?.self_signed(&key)?;
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], private)?;
        let listener = Self { tls: Some(Arc::new(config)), ..Self::plain(socket)? };
        Ok((listener, SpkiPin::of(&key.subject_public_key_info())))
    }

    pub(super) fn address(&self) -> Result<SocketAddr> {
        Ok(self.socket.local_addr()?)
    }

    /// A report of a guest that is ready, signed by one of its host keys and bound to the claim; it is acknowledged.
    ///
    /// # Errors
    /// None came in time, or one that is not all of that.
    pub(super) fn report(&self, claim: &Claim, limit: Duration) -> Result<Said> {
        self.first(limit, |stream| {
            let config = self.tls.clone().context("this listener speaks no TLS")?;
            let mut stream = StreamOwned::new(ServerConnection::new(config)?, stream);
            let envelope = Envelope::parse(&body(&mut stream)?)?;
            let opened = envelope.open()?;
            let secret = claim.secret.as_ref().context("the claim has no secret")?;
            ensure!(envelope.binding_holds(secret), "the report is not bound to the claim");
            ensure!(opened.report.claim_id.as_ref() == Some(&claim.id), "the report is of another claim");
            ensure!(!opened.ephemeral_key, "no host key has signed the report");
            let at = Instant::now();
            let report = &opened.report;
            ensure!(report.state == ReportState::Ready, "the guest is not ready: {:#?}", report.checks);
            let mut keys: Vec<String> =
                report.identity.ssh_host_keys.iter().filter_map(|key| bare_key(&key.public_key)).collect();
            keys.sort();
            let ack = Ack {
                version: 1,
                report_sha256: opened.sha256,
                accepted_at_ms: 1,
                host_certificates: Vec::new(),
            };
            answer(&mut stream, &serde_json::to_string(&ack)?)?;
            stream.conn.send_close_notify();
            stream.flush()?;
            Ok(Said { keys, at })
        })
    }

    /// The form of `phone_home`.
    ///
    /// # Errors
    /// None came in time.
    pub(super) fn form(&self, limit: Duration) -> Result<(Form, Said)> {
        self.first(limit, |mut stream| {
            let form = Form::parse(&String::from_utf8(body(&mut stream)?)?);
            let at = Instant::now();
            answer(&mut stream, "")?;
            let keys = form.keys();
            Ok((form, Said { keys, at }))
        })
    }

    /// What the first connection brings.
    fn first<T>(&self, limit: Duration, take: impl FnOnce(TcpStream) -> Result<T>) -> Result<T> {
        let (stream, _) = wait::until("the guest's call", limit, || self.socket.accept().ok())?;
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        take(stream)
    }
}

/// What `phone_home` sends.
#[derive(Debug)]
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    pub(super) fn parse(text: &str) -> Self {
        let decoded =
            |part: &str| percent_decode_str(&part.replace('+', " ")).decode_utf8_lossy().into_owned();
        let fields = text.split('&').filter_map(|field| field.split_once('='));
        Self(fields.map(|(name, value)| (decoded(name), decoded(value))).collect())
    }

    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|field| field.0 == name).map(|field| field.1.as_str())
    }

    /// As [`Said::keys`]. One that the guest does not have is said to be `N/A`.
    pub(super) fn keys(&self) -> Vec<String> {
        let keys = self.0.iter().filter(|(name, _)| name.starts_with("pub_key_"));
        let mut keys: Vec<String> = keys.filter_map(|(_, value)| bare_key(value)).collect();
        keys.sort();
        keys
    }
}

/// The body of a POST.
fn body(stream: &mut impl Read) -> Result<Vec<u8>> {
    let (mut bytes, mut part) = (Vec::new(), [0; 8192]);
    loop {
        if let Some((start, length)) = head(&bytes)?
            && bytes.len() >= start + length
        {
            return Ok(bytes.drain(start..start + length).collect());
        }
        let count = stream.read(&mut part).context("a request cannot be read")?;
        ensure!(count > 0 && bytes.len() < MOST, "a request without an end");
        bytes.extend(part.iter().take(count));
    }
}

/// Where the body of a POST begins and its length, once its head is there.
fn head(bytes: &[u8]) -> Result<Option<(usize, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut request = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(start) = request.parse(bytes)? else { return Ok(None) };
    if request.method != Some("POST") {
        bail!("a POST is wanted, and {:?} came", request.method);
    }
    let length = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let length: usize = std::str::from_utf8(length.context("a POST without a length")?.value)?.parse()?;
    ensure!(length < MOST, "a POST of {length} bytes");
    Ok(Some((start, length)))
}

fn answer(stream: &mut impl Write, body: &str) -> Result<()> {
    let length = body.len();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    stream.write_all(format!("{head}{body}").as_bytes())?;
    Ok(stream.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_post_is_taken_in_parts_and_nothing_else() {
        assert_eq!(head(b"POST / HTTP/1.1\r\nContent-Le").unwrap(), None);
        let text = b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\na=b";
        assert_eq!(head(text).unwrap(), Some((38, 3)));
        assert_eq!(body(&mut &text[..]).unwrap(), b"a=b");
        assert!(body(&mut &text[..40]).is_err(), "the body is cut off");
        assert!(head(b"GET / HTTP/1.1\r\n\r\n").is_err());
        assert!(head(b"POST / HTTP/1.1\r\n\r\n").is_err());
        assert!(head(b"POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n").is_err());
    }

    #[test]
    fn a_form_is_read_as_it_was_meant() {
        let form = Form::parse(
            "pub_key_ed25519=ssh-ed25519+AAAA%2Bb%2F%3D+root%40bench%0A&pub_key_rsa=N%2FA&hostname=bench",
        );
        assert_eq!(form.value("hostname"), Some("bench"));
        assert_eq!(form.keys(), ["ssh-ed25519 AAAA+b/="]);
    }
}

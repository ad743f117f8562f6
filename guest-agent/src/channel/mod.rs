//! The ways to the host, one file per kind. Each makes one attempt at a time; when to try again is `report`'s matter.
//!
//! | written as | what it is |
//! |---|---|
//! | `https://ADDRESS:PORT` | HTTP over TLS, the host's key pinned |
//! | `unix:/PATH` | the same HTTP over a local socket that the host put there |
//! | `vsock:CID:PORT` | the same HTTP over vsock; CID 2 is the hypervisor |
//! | `virtio-port:NAME` | one JSON line out and one back, on a named virtio-serial port |
//! | `incus:` | devIncus learns that this instance is ready; it acknowledges no report |
//! | `file:` | /run/firstlight/report.json, which is always written |

mod choose;
mod http;
mod https;
mod incus;
mod unix;
mod virtio_port;
mod vsock;

pub(crate) use choose::{choose, is_there};
#[cfg(feature = "fuzzing")]
pub(crate) use virtio_port::understand;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use firstlight_shared::error::Chain;
use firstlight_shared::pin::SpkiPin;
use firstlight_shared::wire::{Ack, Envelope, Refusal, sha256_hex};
use hyper::body::Bytes;

/// For one attempt, from connecting to the whole answer.
pub(crate) const ATTEMPT_LIMIT: Duration = Duration::from_secs(15);
const MAX_ANSWER: usize = 64 * 1024;

/// Addresses and paths, never names to look up: a look-up through libc can kill a static program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Channel {
    Https {
        address: SocketAddr,
        pin: SpkiPin,
    },
    /// An absolute path.
    Unix(String),
    Vsock {
        cid: u32,
        port: u32,
    },
    /// The port's name in /dev/virtio-ports.
    VirtioPort(String),
    /// Path of the devIncus socket.
    Incus(String),
}

/// What is sent: the same bytes at every attempt, over every channel.
#[derive(Debug)]
pub(crate) struct Message {
    body: Bytes,
    /// Of the report, not of the envelope.
    sha256: String,
    ready: bool,
}

/// What one attempt came to.
#[derive(Debug)]
pub(crate) enum Answer {
    Acknowledged(Ack),
    Refused(Refusal),
    /// The hypervisor knows what it can know; nobody has the report.
    Told(&'static str),
    /// Worth another attempt: the way, the host's own trouble, or an answer that cannot be understood.
    Retry(String),
}

type AnyError = Box<dyn std::error::Error + Send + Sync>;

impl Message {
    /// # Errors
    /// None in fact: an envelope is a struct of strings.
    pub(crate) fn new(envelope: &Envelope, ready: bool) -> Result<Arc<Self>, serde_json::Error> {
        let body = Bytes::from(serde_json::to_vec(envelope)?);
        Ok(Arc::new(Self { body, sha256: sha256_hex(envelope.report.as_bytes()), ready }))
    }

    pub(crate) fn sha256(&self) -> &str {
        &self.sha256
    }
}

impl Channel {
    /// Whether the host's acknowledgement can come back this way.
    pub(crate) fn acknowledges(&self) -> bool {
        !matches!(self, Self::Incus(_))
    }

    /// One attempt, within [`ATTEMPT_LIMIT`].
    pub(crate) async fn attempt(&self, message: &Message) -> Answer {
        let sent = tokio::time::timeout(ATTEMPT_LIMIT, self.send(message));
        match sent.await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => Answer::Retry(Chain(&*error).to_string()),
            Err(_) => Answer::Retry(format!("no answer within {} seconds", ATTEMPT_LIMIT.as_secs())),
        }
    }

    /// One request with its whole answer: status and body. Only over what speaks HTTP.
    ///
    /// # Errors
    /// Nobody is there, the connection broke, the answer is too long, or nobody can be asked on this channel.
    pub(crate) async fn ask(&self, path: &str, body: Vec<u8>) -> Result<(u16, Vec<u8>), AnyError> {
        let (stream, host) = match self {
            Self::Https { address, pin } => (https::connect(*address, *pin).await?, address.to_string()),
            Self::Unix(path) => (unix::connect(path).await?, "localhost".to_owned()),
            Self::Vsock { cid, port } => (vsock::connect(*cid, *port).await?, "localhost".to_owned()),
            Self::VirtioPort(_) | Self::Incus(_) => return Err("nobody can be asked on this channel".into()),
        };
        http::ask(stream, &host, path, body).await
    }

    async fn send(&self, message: &Message) -> Result<Answer, AnyError> {
        match self {
            Self::Https { address, pin } => {
                let stream = https::connect(*address, *pin).await?;
                http::post(stream, &address.to_string(), message).await
            }
            Self::Unix(path) => http::post(unix::connect(path).await?, "localhost", message).await,
            Self::Vsock { cid, port } => {
                http::post(vsock::connect(*cid, *port).await?, "localhost", message).await
            }
            Self::VirtioPort(name) => virtio_port::exchange(name, message).await,
            Self::Incus(socket) => incus::tell(socket, message).await,
        }
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Https { address, .. } => write!(f, "https://{address}"),
            Self::Unix(path) => write!(f, "unix:{path}"),
            Self::Vsock { cid, port } => write!(f, "vsock:{cid}:{port}"),
            Self::VirtioPort(name) => write!(f, "virtio-port:{name}"),
            Self::Incus(_) => write!(f, "incus:"),
        }
    }
}

/// A whole answer, as every channel that carries one judges it.
fn acknowledgement(bytes: &[u8], sha256: &str) -> Answer {
    match serde_json::from_slice::<Ack>(bytes) {
        Ok(ack) if ack.report_sha256 == sha256 => Answer::Acknowledged(ack),
        Ok(_) => Answer::Retry("the acknowledgement is for another report".to_owned()),
        Err(_) => Answer::Retry("the acknowledgement cannot be read".to_owned()),
    }
}

#[cfg(test)]
pub(crate) mod tests;

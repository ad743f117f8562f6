//! Hands the report to the host: the same bytes at every attempt, until acknowledged, refused or out of time.
//!
//! States: sending → acknowledged | refused | gave-up. Every attempt is noted in /run/firstlight/delivery.json.

use std::time::Duration;

use firstlight_shared::backoff::Backoff;
use firstlight_shared::error::Chain;
use firstlight_shared::paths::REPORT_ENDPOINT;
use firstlight_shared::wire::{Ack, Envelope, Refusal, sha256_hex};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::ReportEnd;
use super::target::Target;
use super::tls;
use crate::keys::certificate;
use crate::paths;
use crate::sys::{Machine, Root, Stopwatch, random_bytes};

const BACKOFF: Backoff = Backoff { first: Duration::from_millis(100), max: Duration::from_secs(5) };
/// For one attempt, from connecting to the whole answer.
const ATTEMPT_LIMIT: Duration = Duration::from_secs(15);
const MAX_ANSWER: usize = 64 * 1024;
/// The log keeps the first attempt and so many of the last ones.
const KEPT_ATTEMPTS: usize = 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum DeliveryState {
    Sending,
    Acknowledged,
    Refused,
    GaveUp,
}

/// The log of this boot's delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Delivery {
    pub version: u32,
    pub state: DeliveryState,
    pub address: String,
    pub report_sha256: String,
    pub attempt_count: u32,
    pub attempts: Vec<Attempt>,
    pub ack: Option<Ack>,
    pub refusal: Option<Refusal>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Attempt {
    pub at_ms: u64,
    pub elapsed_ms: u64,
    pub result: String,
}

impl Delivery {
    /// The host has answered for good.
    pub(crate) fn is_final(&self) -> bool {
        matches!(self.state, DeliveryState::Acknowledged | DeliveryState::Refused)
    }

    fn note(&mut self, attempt: Attempt) {
        self.attempt_count = self.attempt_count.saturating_add(1);
        self.attempts.push(attempt);
        if self.attempts.len() > KEPT_ATTEMPTS {
            self.attempts.remove(1);
        }
    }
}

pub(crate) fn load(root: &Root) -> Option<Delivery> {
    serde_json::from_slice(&root.read(paths::DELIVERY).ok()??).ok()
}

/// What one attempt came to.
#[derive(Debug)]
enum Answer {
    Acknowledged(Ack),
    Refused(Refusal),
    /// Worth another attempt: the network, the server's own trouble, or an answer that cannot be understood.
    Retry(String),
}

pub(super) async fn deliver(
    machine: &Machine,
    target: &Target,
    envelope: &Envelope,
    give_up_after: Duration,
) -> ReportEnd {
    let sha256 = sha256_hex(envelope.report.as_bytes());
    let mut delivery = Delivery {
        version: 1,
        state: DeliveryState::Sending,
        address: target.address.to_string(),
        report_sha256: sha256.clone(),
        attempt_count: 0,
        attempts: Vec::new(),
        ack: None,
        refusal: None,
    };
    let prepared = tls::pinned(target.pin).map_err(|error| error.to_string()).and_then(|tls| {
        Ok((tls, Bytes::from(serde_json::to_vec(envelope).map_err(|error| error.to_string())?)))
    });
    let (tls, body) = match prepared {
        Ok(prepared) => prepared,
        Err(problem) => {
            eprintln!("error: the report cannot be sent: {problem}");
            return ReportEnd::GaveUp;
        }
    };
    let watch = Stopwatch::start();
    loop {
        let (at_ms, lap) = (machine.clock().now_ms(), Stopwatch::start());
        let answer = attempt(target, &tls, &body, &sha256).await;
        let result = match &answer {
            Answer::Acknowledged(_) => "acknowledged".to_owned(),
            Answer::Refused(refusal) => format!("refused: {}", refusal.code),
            Answer::Retry(problem) => problem.clone(),
        };
        delivery.note(Attempt { at_ms, elapsed_ms: lap.elapsed_ms(), result: result.clone() });
        let end = match answer {
            Answer::Acknowledged(ack) => {
                // Before the answer is noted: after a crash in between, the host is asked again.
                let installed = certificate::install(machine, &ack.host_certificates).await;
                installed.problems.iter().for_each(|problem| eprintln!("warning: {problem}"));
                delivery.state = DeliveryState::Acknowledged;
                delivery.ack = Some(ack);
                Some(ReportEnd::Done)
            }
            Answer::Refused(refusal) => {
                let message = firstlight_shared::text::escape(&refusal.message, 300);
                eprintln!("error: the host refused the report: {message}");
                delivery.state = DeliveryState::Refused;
                delivery.refusal = Some(refusal);
                Some(ReportEnd::Refused)
            }
            Answer::Retry(_) if watch.elapsed() >= give_up_after => {
                eprintln!("error: the report was not delivered: {result}");
                delivery.state = DeliveryState::GaveUp;
                Some(ReportEnd::GaveUp)
            }
            Answer::Retry(_) => {
                if delivery.attempt_count == 1 {
                    eprintln!("warning: {} does not take the report yet: {result}", target.address);
                }
                None
            }
        };
        let text = serde_json::to_vec_pretty(&delivery).unwrap_or_default();
        if let Err(error) = machine.root.replace(paths::DELIVERY, 0o600, &text) {
            eprintln!("warning: {}", Chain(&error));
        }
        match end {
            Some(end) => return end,
            None => {
                let random = u32::from_ne_bytes(random_bytes());
                tokio::time::sleep(BACKOFF.delay(delivery.attempt_count, random)).await;
            }
        }
    }
}

async fn attempt(target: &Target, tls: &Arc<ClientConfig>, body: &Bytes, sha256: &str) -> Answer {
    let sent = tokio::time::timeout(ATTEMPT_LIMIT, exchange(target, tls, body));
    match sent.await {
        Ok(Ok((status, answer))) => judge(status, &answer, sha256),
        Ok(Err(error)) => Answer::Retry(Chain(&*error).to_string()),
        Err(_) => Answer::Retry(format!("no answer within {} seconds", ATTEMPT_LIMIT.as_secs())),
    }
}

fn judge(status: StatusCode, body: &[u8], sha256: &str) -> Answer {
    if status == StatusCode::OK {
        return match serde_json::from_slice::<Ack>(body) {
            Ok(ack) if ack.report_sha256 == sha256 => Answer::Acknowledged(ack),
            Ok(_) => Answer::Retry("the acknowledgement is for another report".to_owned()),
            Err(_) => Answer::Retry("the acknowledgement cannot be read".to_owned()),
        };
    }
    match serde_json::from_slice::<Refusal>(body) {
        Ok(refusal) if status.is_client_error() => Answer::Refused(refusal),
        _ => Answer::Retry(format!("the host answered with status {}", status.as_u16())),
    }
}

type AnyError = Box<dyn std::error::Error + Send + Sync>;

async fn exchange(
    target: &Target,
    tls: &Arc<ClientConfig>,
    body: &Bytes,
) -> Result<(StatusCode, Bytes), AnyError> {
    let stream = TcpStream::connect(target.address).await?;
    // Without it a report of two segments waits 40 ms for a delayed acknowledgement.
    stream.set_nodelay(true)?;
    let name = ServerName::IpAddress(target.address.ip().into());
    let stream = TlsConnector::from(Arc::clone(tls)).connect(name, stream).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request = Request::post(REPORT_ENDPOINT)
        .header("host", target.address.to_string())
        .header("content-type", "application/json")
        .header("connection", "close")
        .body(Full::new(body.clone()))?;
    let answer = sender.send_request(request).await?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await?.to_bytes();
    connection.abort();
    Ok((status, body))
}

#[cfg(test)]
mod tests;

//! The report listener: TLS with the companion's own key, one route, small limits. The other side is hostile.

#[cfg(feature = "fuzzing")]
pub(crate) mod fuzz;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use firstlight_shared::paths::{CHALLENGE_ENDPOINT, EVIDENCE_ENDPOINT, REPORT_ENDPOINT};
use firstlight_shared::wire::{MAX_ENVELOPE, Refusal};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

use super::crowd::{Closed, Crowd, Place};
use super::share::Seldom;
use crate::intake::{COPIED, Intake, IntakeError, NO_CLAIM};
use crate::metrics::Metrics;
use crate::store::StoreError;

/// Bytes of a body beyond which nobody is answered any more.
const FORGOTTEN: usize = 8 * MAX_ENVELOPE;
/// A whole connection, handshake included, may last this long.
const PATIENCE: Duration = Duration::from_secs(10);

/// Takes reports until the task is aborted; at most so many connections of one address at once, and no more in all than
/// the crowd has places.
pub async fn serve_reports(
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    intake: Intake,
    metrics: Arc<Metrics>,
    connections_per_address: usize,
) {
    let acceptor = TlsAcceptor::from(tls);
    let crowd = Crowd::new(connections_per_address);
    let closed = Seldom::default();
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let place = match crowd.enter(peer.ip()).await {
                    Ok(place) => place,
                    Err(why) => {
                        tell_closed(&closed, peer, why);
                        continue;
                    }
                };
                let acceptor = acceptor.clone();
                let taker =
                    Taker { intake: intake.clone(), metrics: Arc::clone(&metrics), place: place.clone() };
                tokio::spawn(async move {
                    tokio::select! {
                        served = tokio::time::timeout(PATIENCE, serve_one(stream, peer, acceptor, taker)) => {
                            if served.is_err() {
                                tracing::debug!(%peer, "report connection took too long");
                            }
                        }
                        () = place.told_to_leave() => {
                            tracing::debug!(%peer, "report connection ended: others have its place");
                        }
                    }
                });
            }
            Err(error) => {
                // Out of file descriptors, for one: give the others time to end.
                tracing::warn!(%error, "no connection accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

fn tell_closed(closed: &Seldom, peer: SocketAddr, why: Closed) {
    let Some(times) = closed.tell(Instant::now()) else { return };
    let why = match why {
        Closed::Share => {
            "the address has reports.connections_per_address already, or its network half of all"
        }
        Closed::Full => "all places are taken, and nobody has more than this address",
    };
    tracing::warn!(address = %peer.ip(), times, why, "report connections closed");
}

/// What takes a report, and what counts it.
#[derive(Clone)]
struct Taker {
    intake: Intake,
    metrics: Arc<Metrics>,
    place: Place,
}

async fn serve_one(stream: TcpStream, peer: SocketAddr, acceptor: TlsAcceptor, taker: Taker) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%peer, %error, "TCP_NODELAY refused");
    }
    match acceptor.accept(stream).await {
        Ok(stream) => converse(stream, peer, taker).await,
        Err(error) => tracing::debug!(%peer, %error, "no TLS"),
    }
}

/// What is said after the handshake.
async fn converse<S>(stream: S, peer: SocketAddr, taker: Taker)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let service = hyper::service::service_fn(move |request| {
        let taker = taker.clone();
        async move {
            let response = answer(request, peer, &taker).await;
            taker.place.work(false);
            Ok::<_, Infallible>(response)
        }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(10))
        .max_buf_size(64 * 1024)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%peer, %error, "report connection ended");
    }
}

async fn answer(request: Request<Incoming>, peer: SocketAddr, taker: &Taker) -> Response<Full<Bytes>> {
    let path = request.uri().path().to_owned();
    if ![REPORT_ENDPOINT, CHALLENGE_ENDPOINT, EVIDENCE_ENDPOINT].contains(&path.as_str()) {
        return refusal(StatusCode::NOT_FOUND, "not-found", "only reports are taken here");
    }
    if request.method() != Method::POST {
        return refusal(StatusCode::METHOD_NOT_ALLOWED, "method", "reports are sent by POST");
    }
    if path == CHALLENGE_ENDPOINT {
        return match taker.intake.challenge().await {
            Ok(challenge) => json(StatusCode::OK, &challenge),
            Err(error) => unstored(taker, &error),
        };
    }
    let Some(body) = read(request.into_body()).await else {
        return refusal(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "the report is too large or was cut off");
    };
    let source = peer.ip().to_canonical();
    taker.place.work(true);
    let taken = match path.as_str() {
        EVIDENCE_ENDPOINT => taker.intake.receive_evidence(&body, source).await,
        _ => taker.intake.receive(&body, source).await,
    };
    match taken {
        Ok(ack) => {
            taker.metrics.report("taken");
            json(StatusCode::OK, &ack)
        }
        Err(IntakeError::Refused(refused)) => {
            taker.metrics.report(&refused.code);
            let status = match refused.code.as_str() {
                "claim-used" | "replayed" | "evidence-replayed" | "shared-host-key" | "several-guests" => {
                    StatusCode::CONFLICT
                }
                // Somebody may wait for it yet: the guest shall try again.
                NO_CLAIM | COPIED => StatusCode::SERVICE_UNAVAILABLE,
                "unknown-claim" | "wrong-claim" | "claim-expired" => StatusCode::FORBIDDEN,
                "too-large" => StatusCode::PAYLOAD_TOO_LARGE,
                _ => StatusCode::UNPROCESSABLE_ENTITY,
            };
            refusal(status, &refused.code, &refused.message)
        }
        Err(IntakeError::Unbound) => {
            taker.metrics.report("unbound");
            let message = "the guest's beacon has not been seen with this report yet; try again";
            refusal(StatusCode::SERVICE_UNAVAILABLE, "unbound", message)
        }
        Err(IntakeError::Store(error)) => unstored(taker, &error),
    }
}

fn unstored(taker: &Taker, error: &StoreError) -> Response<Full<Bytes>> {
    taker.metrics.store_error("take-report");
    tracing::error!(error = %firstlight_shared::error::Chain(error), "a report could not be stored");
    refusal(StatusCode::SERVICE_UNAVAILABLE, "store", "the report could not be stored; try again")
}

/// The body, or a little more than the largest one that is taken; what is behind that is read and forgotten, so that
/// the sender is there to hear why it is refused. None: it broke off, or does not end.
async fn read(mut body: Incoming) -> Option<Vec<u8>> {
    let (mut kept, mut total) = (Vec::new(), 0);
    while let Some(frame) = body.frame().await {
        let frame = frame.ok()?;
        let Some(data) = frame.data_ref() else { continue };
        total += data.len();
        if total > FORGOTTEN {
            return None;
        }
        if kept.len() <= MAX_ENVELOPE {
            kept.extend_from_slice(data);
        }
    }
    Some(kept)
}

fn refusal(status: StatusCode, code: &str, message: &str) -> Response<Full<Bytes>> {
    json(status, &Refusal { code: code.to_owned(), message: message.to_owned() })
}

fn json<T: Serialize>(status: StatusCode, value: &T) -> Response<Full<Bytes>> {
    let body = serde_json::to_vec(value).unwrap_or_default();
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    let content_type = hyper::header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(hyper::header::CONTENT_TYPE, content_type);
    response
}

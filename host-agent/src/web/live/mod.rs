//! Changes as they happen, to whoever has a page open: server-sent events. Each change is rendered once, for all.

mod hub;

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;

use super::Web;
use super::page::Visited;
use crate::http::visit::Streams;

pub(super) use hub::Hub;

/// A line goes out after so long without any; and it is looked whether the session still is.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// The browser comes back after so long, if the stream breaks off.
const BEGIN: &str = "retry: 2000\n\n";
/// Too many changes at once for this reader: it fetches the page again.
const RELOAD: &str = "event: reload\ndata: {}\n\n";

/// The stream of one page. Ends with the session, and with the companion.
pub(super) async fn live(State(web): State<Web>, Visited(visit): Visited) -> Response {
    let Some(visitor) = visit.visitor else { return StatusCode::UNAUTHORIZED.into_response() };
    let Some(mut reader) = web.hub.subscribe(visit.way) else {
        let later = [(RETRY_AFTER, HeaderValue::from_static("30"))];
        return (StatusCode::SERVICE_UNAVAILABLE, later).into_response();
    };
    let mut stopping = web.service.stopping();
    let sessions = web.sessions;
    let (sender, mut receiver) = tokio::sync::mpsc::channel::<Result<Bytes, std::convert::Infallible>>(4);
    tokio::spawn(async move {
        let mut frame = Bytes::from_static(BEGIN.as_bytes());
        loop {
            let is_sent = tokio::select! {
                sent = sender.send(Ok(frame)) => sent.is_ok(),
                _ = stopping.wait_for(|stopping| *stopping) => false,
            };
            if !is_sent {
                return;
            }
            let heard = tokio::select! {
                heard = tokio::time::timeout(HEARTBEAT, reader.changes.recv()) => heard,
                _ = stopping.wait_for(|stopping| *stopping) => return,
                () = sender.closed() => return,
            };
            if !sessions.lives(&visitor.session, Instant::now()) {
                return;
            }
            frame = match heard {
                Ok(Ok(frame)) => frame,
                Ok(Err(RecvError::Lagged(_))) => Bytes::from_static(RELOAD.as_bytes()),
                Ok(Err(RecvError::Closed)) => return,
                Err(_) => Bytes::from_static(b":\n\n"),
            };
        }
    });
    let stream = futures_util::stream::poll_fn(move |context| receiver.poll_recv(context));
    let mut response = Response::new(Body::from_stream(stream));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response.extensions_mut().insert(Streams);
    response
}

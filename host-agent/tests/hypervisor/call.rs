//! One HTTP request over a unix socket: to the hypervisor, and to a companion's API.

use std::path::Path;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum NoAnswer {
    NeverSent(String),
    /// It may have been carried out, or may be carried out yet.
    Unclear(String),
}

/// Longer than this nobody waits for an answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);

/// Answers status and JSON (null where there is none).
pub(crate) async fn call(
    socket: &Path,
    companion: &str,
    method: &str,
    path: &str,
    body: &Value,
) -> Result<(StatusCode, Value), NoAnswer> {
    call_within(PATIENCE, socket, companion, method, path, body).await
}

/// The same for an answer that may take so long.
pub(crate) async fn call_within(
    patience: Duration,
    socket: &Path,
    companion: &str,
    method: &str,
    path: &str,
    body: &Value,
) -> Result<(StatusCode, Value), NoAnswer> {
    let never = |error: &dyn std::fmt::Display| NoAnswer::NeverSent(error.to_string());
    let stream = UnixStream::connect(socket).await.map_err(|error| never(&error))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| never(&error))?;
    tokio::spawn(connection);
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "localhost")
        .header("content-type", "application/json")
        .header("companion", companion)
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| never(&error))?;
    let answered = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        Ok::<_, hyper::Error>((status, response.into_body().collect().await?.to_bytes()))
    };
    match tokio::time::timeout(patience, answered).await {
        Ok(Ok((status, body))) => Ok((status, serde_json::from_slice(&body).unwrap_or(Value::Null))),
        Ok(Err(error)) => Err(NoAnswer::Unclear(error.to_string())),
        Err(_) => Err(NoAnswer::Unclear("no answer in time".to_owned())),
    }
}

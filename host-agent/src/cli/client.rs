//! Speaks HTTP to the companion over its unix socket.

use std::path::PathBuf;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;

use super::failure::{Exit, Failure};
use crate::outcome::Fault;

/// One connection per request.
#[derive(Debug)]
pub(super) struct Client {
    socket: PathBuf,
}

impl Client {
    pub(super) fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// Whether somebody answers.
    pub(super) async fn answers(&self) -> bool {
        UnixStream::connect(&self.socket).await.is_ok()
    }

    pub(super) async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.json(Method::GET, path, None).await
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.json(Method::POST, path, Some(body)).await
    }

    async fn json(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        let response = self.send(method, path, body).await?;
        let status = response.status();
        let bytes = response.into_body().collect().await.map_err(|error| lost(&error))?.to_bytes();
        let value: Value = serde_json::from_slice(&bytes).map_err(|error| lost(&error))?;
        if status.is_success() {
            return Ok(value);
        }
        let fault: Fault = serde_json::from_value(value).map_err(|error| lost(&error))?;
        Err(fault.into())
    }

    /// The answer's body as it comes in.
    pub(super) async fn stream(&self, path: &str) -> Result<Incoming, Failure> {
        Ok(self.send(Method::GET, path, None).await?.into_body())
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Response<Incoming>, Failure> {
        let stream = UnixStream::connect(&self.socket).await.map_err(|error| {
            Failure::new(
                Exit::NoAnswer,
                format!("no companion answers on {}: {error}", self.socket.display()),
            )
            .hint("start one with `firstlight serve`, or name its state folder with --state DIR")
        })?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| lost(&error))?;
        tokio::spawn(async move {
            // Its errors reach us as errors of the request.
            let _ = connection.await;
        });
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "firstlight")
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| {
                Failure::new(Exit::BadInput, format!("`{path}` cannot be asked for: {error}"))
            })?;
        sender.send_request(request).await.map_err(|error| lost(&error))
    }
}

fn lost(error: &dyn std::error::Error) -> Failure {
    let message = firstlight_shared::error::Chain(error).to_string();
    Failure::new(Exit::NoAnswer, format!("the companion's answer was lost: {message}"))
        .hint("is it still running? `firstlight jobs` shows where things stand")
}

/// The job ids of an answer.
pub(super) fn ids(answer: &Value) -> Vec<String> {
    let jobs = answer["jobs"].as_array().into_iter().flatten();
    jobs.filter_map(Value::as_str).map(ToOwned::to_owned).collect()
}

/// Percent-encodes what may not stand in a path or query as it is.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b',' => out.push(char::from(byte)),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

//! Speaks HTTP to a companion: over the unix socket of a state folder, or over TLS.

mod lines;
mod place;
mod tls;

use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::failure::{Exit, Failure};
use super::live::say;
use crate::outcome::Fault;

pub(super) use lines::{Ending, Lines};
pub(super) use place::Place;

/// After so long without an answer people are told that it is still awaited.
const PATIENCE: Duration = Duration::from_secs(1);

/// One connection per request.
#[derive(Debug, Clone)]
pub(super) struct Client {
    place: Place,
}

impl Client {
    pub(super) fn new(place: Place) -> Self {
        Self { place }
    }

    /// Whether somebody answers here. Elsewhere it is taken for granted, the request will tell.
    pub(super) async fn answers(&self) -> bool {
        self.place.answers().await
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.json(Method::GET, path, String::new()).await
    }

    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        let body = serde_json::to_string(body).map_err(|error| lost(&error))?;
        self.json(Method::POST, path, body).await
    }

    async fn json<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: String,
    ) -> Result<T, Failure> {
        let answered = async {
            let response = self.ask(method, path, body).await?;
            let bytes = response.into_body().collect().await.map_err(|error| lost(&error))?.to_bytes();
            serde_json::from_slice(&bytes).map_err(|error| lost(&error))
        };
        told_of_waiting(answered).await
    }

    /// The lines of an answer that goes on.
    pub(super) async fn lines(&self, path: &str) -> Result<Lines, Failure> {
        Ok(Lines::new(self.ask(Method::GET, path, String::new()).await?.into_body()))
    }

    /// An answer that may be long, piece by piece; false from `take` ends it.
    pub(super) async fn pieces(
        &self,
        method: Method,
        path: &str,
        mut take: impl FnMut(&[u8]) -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        let mut body = told_of_waiting(self.ask(method, path, String::new())).await?.into_body();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| lost(&error))?;
            if !take(frame.data_ref().map(AsRef::as_ref).unwrap_or_default())? {
                break;
            }
        }
        Ok(())
    }

    /// A good answer, or the fault that came instead.
    async fn ask(&self, method: Method, path: &str, body: String) -> Result<Response<Incoming>, Failure> {
        let response = self.send(method, path, body).await?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let bytes = response.into_body().collect().await.map_err(|error| lost(&error))?.to_bytes();
        match serde_json::from_slice::<Fault>(&bytes) {
            Ok(fault) => Err(fault.into()),
            Err(_) => {
                Err(Failure::new(Exit::NoAnswer, format!("the companion answered with status {status}"))
                    .hint("is this a companion of this version? `firstlight --version` tells ours"))
            }
        }
    }

    /// A request of somebody else, as it is; nothing of ours is added.
    pub(super) async fn pass(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Failure> {
        let mut sender = self.place.connect().await?;
        sender.send_request(request).await.map_err(|error| lost(&error))
    }

    async fn send(&self, method: Method, path: &str, body: String) -> Result<Response<Incoming>, Failure> {
        let mut sender = self.place.connect().await?;
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", self.place.host())
            .header("content-type", "application/json");
        if let Some(token) = self.place.token()? {
            request = request.header("authorization", token);
        }
        let request = request.body(Full::new(Bytes::from(body))).map_err(|error| {
            Failure::new(Exit::BadInput, format!("`{path}` cannot be asked for: {error}"))
        })?;
        sender.send_request(request).await.map_err(|error| lost(&error))
    }
}

/// Says once that an answer takes its time: the companion asks a hypervisor first, for one.
async fn told_of_waiting<T>(answer: impl Future<Output = T>) -> T {
    tokio::pin!(answer);
    match tokio::time::timeout(PATIENCE, &mut answer).await {
        Ok(answer) => answer,
        Err(_) => {
            say("waiting for the companion's answer...");
            answer.await
        }
    }
}

fn lost(error: &dyn std::error::Error) -> Failure {
    let message = firstlight_shared::error::Chain(error).to_string();
    Failure::new(Exit::NoAnswer, format!("the companion's answer was lost: {message}"))
        .hint("is it still running? `firstlight jobs` shows where things stand")
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

/// A query from those parameters that have a value.
pub(super) fn query(parameters: &[(&str, &str)]) -> String {
    let given = parameters.iter().filter(|(_, value)| !value.is_empty());
    let pairs: Vec<String> = given.map(|(name, value)| format!("{name}={}", escape(value))).collect();
    if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
}

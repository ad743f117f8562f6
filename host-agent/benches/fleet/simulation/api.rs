//! What is asked of companions, whichever of them answers: the HTTP API on their control sockets.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::UnixStream;

use crate::hypervisor::call::call_within;

/// For an answer: whoever stands still meanwhile is not waited for.
const PATIENCE: Duration = Duration::from_secs(15);
/// For one that is asked for once only, or takes long.
const LONG: Duration = Duration::from_secs(600);
/// Nobody answers for so long: the run has failed.
const DEAD: Duration = Duration::from_secs(180);
const PAUSE: Duration = Duration::from_millis(100);

/// Clones share the turn.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    sockets: Vec<PathBuf>,
    turn: Arc<AtomicUsize>,
}

impl Api {
    pub(crate) fn new(sockets: Vec<PathBuf>) -> Self {
        Self { sockets, turn: Arc::default() }
    }

    fn next(&self) -> &PathBuf {
        &self.sockets[self.turn.fetch_add(1, Ordering::Relaxed) % self.sockets.len()]
    }

    /// Asks one after the other until one of them answers well.
    ///
    /// # Panics
    /// Nobody does for minutes.
    pub(crate) async fn get(&self, path: &str) -> Value {
        self.get_within(PATIENCE, path).await
    }

    /// The same for what takes long.
    pub(crate) async fn get_slow(&self, path: &str) -> Value {
        self.get_within(LONG, path).await
    }

    async fn get_within(&self, patience: Duration, path: &str) -> Value {
        let begun = Instant::now();
        loop {
            let answer = call_within(patience, self.next(), "", "GET", path, &Value::Null).await;
            match answer {
                Ok((StatusCode::OK, said)) => return said,
                Ok((status, said)) if status.is_client_error() => panic!("{path}: {status} {said}"),
                other => {
                    assert!(begun.elapsed() < DEAD + patience, "{path}: {other:?}, again and again");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Submits guests that were never asked for. Without an answer nobody knows whether they were recorded: all of them,
    /// or none; so that is looked up before they are asked for again.
    ///
    /// # Errors
    /// They are refused.
    pub(crate) async fn up(&self, specs: &[Value]) -> Result<(), String> {
        let body = json!({ "guests": specs, "by": "fleet" });
        let first = specs[0]["plan"]["name"].as_str().unwrap_or_default();
        loop {
            match call_within(LONG, self.next(), "", "POST", "/v1/up", &body).await {
                Ok((status, _)) if status.is_success() => return Ok(()),
                Ok((status, said)) if status.is_client_error() => return Err(format!("{status}: {said}")),
                _ => tokio::time::sleep(PAUSE).await,
            }
            let known = self.get(&format!("/v1/jobs?guest={first}&limit=1")).await;
            if known["jobs"].as_array().is_some_and(|jobs| !jobs.is_empty()) {
                return Ok(());
            }
        }
    }

    /// Hands every finished job to `line`, as `firstlight store export` writes it.
    ///
    /// # Errors
    /// It breaks off.
    pub(crate) async fn export(&self, mut line: impl FnMut(Value)) -> anyhow::Result<()> {
        let stream = UnixStream::connect(&self.sockets[0]).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let request = Request::get("/v1/store/export").header("host", "localhost");
        let mut response = sender.send_request(request.body(Empty::<Bytes>::new())?).await?;
        anyhow::ensure!(response.status() == StatusCode::OK, "export: {}", response.status());
        let mut rest = Vec::new();
        while let Some(frame) = response.body_mut().frame().await {
            let Ok(data) = frame?.into_data() else { continue };
            rest.extend_from_slice(&data);
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let text: Vec<u8> = rest.drain(..=end).collect();
                line(serde_json::from_slice(&text)?);
            }
        }
        anyhow::ensure!(rest.is_empty(), "the export ends in the middle of a line");
        Ok(())
    }
}

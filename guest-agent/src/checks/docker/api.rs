//! Requests to the daemon: one connection each, answers of limited size.

use std::io;

use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, Uri};
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use crate::exchange;

/// A list of some hundred containers has this size.
const MAX_ANSWER: usize = 4 << 20;

#[derive(Debug, thiserror::Error)]
pub(super) enum DaemonError {
    #[error("no docker daemon answers at {socket}")]
    Connect { socket: String, source: io::Error },
    #[error("the docker daemon does not finish its answer to {path}")]
    Talk { path: String, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("the docker daemon's answer to {path} cannot be read")]
    Answer { path: String, source: serde_json::Error },
    /// It answered with an error, which says what is wrong.
    #[error("the docker daemon refuses {path} with status {status}: {message}")]
    Refused { path: String, status: u16, message: String },
    #[error("{0}")]
    Run(String),
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Daemon<'a> {
    socket: &'a str,
}

#[derive(Debug, serde::Deserialize)]
struct Message {
    message: String,
}

/// An answer whose body is still to come.
#[derive(Debug)]
pub(super) struct Answer {
    path: String,
    rest: exchange::Answer,
}

impl<'a> Daemon<'a> {
    pub(super) fn new(socket: &'a str) -> Self {
        Self { socket }
    }

    /// # Errors
    /// All of [`DaemonError`] but a failed run.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, DaemonError> {
        read(path, &self.get_bytes(path).await?)
    }

    async fn get_bytes(&self, path: &str) -> Result<Vec<u8>, DaemonError> {
        self.send(Method::GET, path, None).await?.bytes().await
    }

    /// Sends a request and waits for the head of its answer; its body may take as long as it likes.
    ///
    /// # Errors
    /// All of [`DaemonError`] but a failed run and an answer that cannot be read.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&serde_json::Value>,
    ) -> Result<Answer, DaemonError> {
        let stream = UnixStream::connect(self.socket)
            .await
            .map_err(|source| DaemonError::Connect { socket: self.socket.to_owned(), source })?;
        let bytes = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
        let mut request = Request::new(Full::from(bytes));
        *request.method_mut() = method;
        *request.uri_mut() = path
            .parse::<Uri>()
            .map_err(|source| DaemonError::Talk { path: path.to_owned(), source: source.into() })?;
        request.headers_mut().insert(HOST, HeaderValue::from_static("docker"));
        if body.is_some() {
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let sent = exchange::send(Box::new(stream), request).await;
        let rest =
            sent.map_err(|source| DaemonError::Talk { path: path.to_owned(), source: source.into() })?;
        let (status, answer) = (rest.status, Answer { path: path.to_owned(), rest });
        if (200..300).contains(&status) {
            return Ok(answer);
        }
        let message = serde_json::from_slice::<Message>(&answer.bytes().await?).map(|parsed| parsed.message);
        let message =
            firstlight_shared::text::escape(&message.unwrap_or_else(|_| "no reason".to_owned()), 160);
        Err(DaemonError::Refused { path: path.to_owned(), status, message })
    }
}

impl Answer {
    async fn bytes(self) -> Result<Vec<u8>, DaemonError> {
        let Self { path, rest } = self;
        match rest.bytes(MAX_ANSWER).await {
            Ok((bytes, true)) => Ok(bytes),
            Ok((_, false)) => Err(DaemonError::Talk { path, source: "it is too long".into() }),
            Err(source) => Err(DaemonError::Talk { path, source: source.into() }),
        }
    }

    /// # Errors
    /// The rest does not come, or is not what it should be.
    pub(super) async fn json<T: DeserializeOwned>(self) -> Result<T, DaemonError> {
        let path = self.path.clone();
        read(&path, &self.bytes().await?)
    }
}

fn read<T: DeserializeOwned>(path: &str, bytes: &[u8]) -> Result<T, DaemonError> {
    serde_json::from_slice(bytes).map_err(|source| DaemonError::Answer { path: path.to_owned(), source })
}

/// One row of `GET /containers/json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Container {
    pub id: String,
    /// Each with a slash before it.
    pub names: Vec<String>,
    pub image: String,
    pub labels: std::collections::BTreeMap<String, String>,
    /// `running`, `restarting`, `exited`, ...
    pub state: String,
    /// For people: `Up 3 minutes (healthy)`.
    pub status: String,
}

impl Container {
    /// The name that people gave it, or that it was given.
    pub(super) fn name(&self) -> &str {
        let name = self.names.iter().map(|name| name.trim_start_matches('/'));
        // Names with a further slash are links of other containers.
        name.into_iter().find(|name| !name.contains('/')).unwrap_or(&self.id)
    }
}

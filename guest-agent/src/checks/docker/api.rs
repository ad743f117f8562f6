//! Requests to the daemon: one connection each, answers of limited size.

use std::io;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response, Uri};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

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
    body: Incoming,
    connection: Connection,
}

/// A connection ends with whoever waits for its answer.
#[derive(Debug)]
struct Connection(JoinHandle<hyper::Result<()>>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl<'a> Daemon<'a> {
    pub(super) fn new(socket: &'a str) -> Self {
        Self { socket }
    }

    /// # Errors
    /// All of [`DaemonError`] but a failed run.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, DaemonError> {
        self.send(Method::GET, path, None).await?.json().await
    }

    /// Sends a request and waits for the head of its answer.
    ///
    /// # Errors
    /// All of [`DaemonError`] but a failed run and an answer that cannot be read.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&serde_json::Value>,
    ) -> Result<Answer, DaemonError> {
        let talk = |source: hyper::Error| DaemonError::Talk { path: path.to_owned(), source: source.into() };
        let stream = UnixStream::connect(self.socket)
            .await
            .map_err(|source| DaemonError::Connect { socket: self.socket.to_owned(), source })?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(talk)?;
        let connection = Connection(tokio::spawn(connection));
        let bytes = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        let mut request = Request::new(Full::new(bytes));
        *request.method_mut() = method;
        *request.uri_mut() = path
            .parse::<Uri>()
            .map_err(|source| DaemonError::Talk { path: path.to_owned(), source: source.into() })?;
        request.headers_mut().insert("host", hyper::header::HeaderValue::from_static("docker"));
        if body.is_some() {
            let json = hyper::header::HeaderValue::from_static("application/json");
            request.headers_mut().insert("content-type", json);
        }
        let response = sender.send_request(request).await.map_err(talk)?;
        self.judge(path, response, connection).await
    }

    async fn judge(
        &self,
        path: &str,
        response: Response<Incoming>,
        connection: Connection,
    ) -> Result<Answer, DaemonError> {
        let status = response.status();
        let answer = Answer { path: path.to_owned(), body: response.into_body(), connection };
        if status.is_success() {
            return Ok(answer);
        }
        let bytes = answer.bytes().await?;
        let message = serde_json::from_slice::<Message>(&bytes).map(|parsed| parsed.message);
        let message = message.unwrap_or_else(|_| "no reason".to_owned());
        let message = firstlight_shared::text::escape(&message, 160);
        Err(DaemonError::Refused { path: path.to_owned(), status: status.as_u16(), message })
    }
}

impl Answer {
    async fn bytes(self) -> Result<Bytes, DaemonError> {
        let Self { path, body, connection } = self;
        let collected = Limited::new(body, MAX_ANSWER).collect().await;
        drop(connection);
        match collected {
            Ok(collected) => Ok(collected.to_bytes()),
            Err(source) => Err(DaemonError::Talk { path, source }),
        }
    }

    /// # Errors
    /// The rest does not come, or is not what it should be.
    pub(super) async fn json<T: DeserializeOwned>(self) -> Result<T, DaemonError> {
        let path = self.path.clone();
        let bytes = self.bytes().await?;
        serde_json::from_slice(&bytes).map_err(|source| DaemonError::Answer { path, source })
    }
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

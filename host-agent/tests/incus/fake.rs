//! A server on a unix socket that says and does what a test wants, and tells events.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use firstlight::backend::incus::client::call::Limits;
use firstlight::backend::incus::client::link::Place;
use firstlight::backend::incus::client::verdict::Patience;
use firstlight::backend::incus::client::{Client, Settings};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::UnixListener;
use tokio::sync::broadcast;
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

pub(crate) const ID: &str = "9355e03f-0097-456e-9b21-e0707f35e892";

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// `GET /1.0?project=default`
    pub(crate) line: String,
    /// Names in small letters.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

#[derive(Debug, Clone)]
pub(crate) enum Reaction {
    Say(u16, Vec<(&'static str, &'static str)>, Vec<u8>),
    /// After the request was read.
    HangUp,
    Silence,
    /// A body without end.
    Endless,
    /// The socket for events.
    Events,
}

pub(crate) fn ok(metadata: Value) -> Reaction {
    Reaction::Say(200, Vec::new(), sync(metadata).to_string().into_bytes())
}

pub(crate) fn sync(metadata: Value) -> Value {
    json!({"type": "sync", "status": "Success", "status_code": 200, "operation": "", "error_code": 0, "error": "", "metadata": metadata})
}

pub(crate) fn started() -> Reaction {
    started_as(&operation(103, ""))
}

pub(crate) fn started_as(operation: &Value) -> Reaction {
    let path = format!("/1.0/operations/{}", operation["id"].as_str().unwrap());
    let body = json!({"type": "async", "status": "Operation created", "status_code": 100, "operation": path,
        "error_code": 0, "error": "", "metadata": operation});
    Reaction::Say(202, Vec::new(), body.to_string().into_bytes())
}

pub(crate) fn error(status: u16, text: &str) -> Reaction {
    let body = json!({"type": "error", "status": "", "status_code": 0, "operation": "", "error_code": status, "error": text, "metadata": null});
    Reaction::Say(status, Vec::new(), body.to_string().into_bytes())
}

pub(crate) fn operation(status: u16, err: &str) -> Value {
    operation_as(ID, "Creating instance", "web-01", status, err)
}

pub(crate) fn operation_as(id: &str, description: &str, instance: &str, status: u16, err: &str) -> Value {
    let words = match status {
        103 => "Running",
        200 => "Success",
        400 => "Failure",
        _ => "Cancelled",
    };
    json!({"id": id, "class": "task", "description": description, "created_at": "2026-11-22T02:56:37.3Z",
        "updated_at": "2026-11-22T02:56:37.3Z", "status": words, "status_code": status,
        "resources": {"instances": [format!("/1.0/instances/{instance}")]}, "metadata": null, "may_cancel": false, "err": err, "location": "none"})
}

pub(crate) fn operation_event(status: u16, err: &str) -> Value {
    json!({"type": "operation", "timestamp": "2026-11-22T02:56:37.3Z", "metadata": operation(status, err), "location": "none", "project": "default"})
}

/// Tells all who listen; clones tell the same. None closes their sockets.
#[derive(Debug, Clone)]
pub(crate) struct Telling(broadcast::Sender<Option<String>>);

impl Default for Telling {
    fn default() -> Self {
        Self(broadcast::channel(64).0)
    }
}

impl Telling {
    /// Where nobody listens, nobody hears.
    pub(crate) fn tell(&self, event: &Value) {
        let _ = self.0.send(Some(event.to_string()));
    }
}

pub(crate) struct Server {
    pub(crate) socket: PathBuf,
    seen: Arc<Mutex<Vec<Seen>>>,
    events: broadcast::Sender<Option<String>>,
    accepting: JoinHandle<()>,
    _folder: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

pub(crate) type React = Arc<dyn Fn(usize, &Seen) -> Reaction + Send + Sync>;

impl Server {
    /// `react` gets the number of the request, from 0, those for events left out.
    pub(crate) fn start(react: impl Fn(usize, &Seen) -> Reaction + Send + Sync + 'static) -> Self {
        Self::telling(&Telling::default(), react)
    }

    /// The same, where somebody else tells too.
    pub(crate) fn telling(
        telling: &Telling,
        react: impl Fn(usize, &Seen) -> Reaction + Send + Sync + 'static,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("unix.socket");
        let listener = UnixListener::bind(&socket).unwrap();
        let (seen, react) = (Arc::<Mutex<Vec<Seen>>>::default(), Arc::new(react) as React);
        let events = telling.0.clone();
        let (kept, told) = (Arc::clone(&seen), events.clone());
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&react), Arc::clone(&kept), told.clone()));
            }
        });
        Self { socket, seen, events, accepting, _folder: folder }
    }

    /// The requests so far, those for events left out.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        let seen = self.seen.lock().unwrap();
        seen.iter().filter(|seen| !seen.line.starts_with("GET /1.0/events")).cloned().collect()
    }

    pub(crate) fn settings(&self) -> Settings {
        Settings {
            name: "here".to_owned(),
            place: Place::Socket(self.socket.clone()),
            project: "default".to_owned(),
            limits: Limits::default(),
            patience: Patience::NONE,
        }
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.settings()).unwrap()
    }

    /// Waits until somebody listens, and tells it.
    pub(crate) async fn tell(&self, event: &Value) {
        self.listened().await;
        self.events.send(Some(event.to_string())).unwrap();
    }

    pub(crate) async fn listened(&self) {
        while self.events.receiver_count() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Closes the sockets for events.
    pub(crate) async fn hush(&self) {
        self.listened().await;
        self.events.send(None).unwrap();
        while self.events.receiver_count() != 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// One connection, request after request.
pub(crate) async fn serve<S: AsyncRead + AsyncWrite + Send + Unpin>(
    mut stream: S,
    react: React,
    seen: Arc<Mutex<Vec<Seen>>>,
    events: broadcast::Sender<Option<String>>,
) {
    while let Some(request) = read(&mut stream).await {
        let number = {
            let mut seen = seen.lock().unwrap();
            seen.push(request.clone());
            seen.iter().filter(|seen| !seen.line.starts_with("GET /1.0/events")).count().saturating_sub(1)
        };
        match react(number, &request) {
            Reaction::Say(status, headers, body) => {
                say(&mut stream, status, &headers, &body).await;
                if request.header("connection") == Some("close") {
                    return;
                }
            }
            Reaction::HangUp => return,
            Reaction::Silence => std::future::pending().await,
            Reaction::Endless => {
                let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
                let mut fine = stream.write_all(head).await.is_ok();
                while fine {
                    fine = stream.write_all(b"5\r\nhello\r\n").await.is_ok();
                }
                return;
            }
            Reaction::Events => return tell(stream, &request, events.subscribe()).await,
        }
    }
}

async fn tell<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    request: &Seen,
    mut events: broadcast::Receiver<Option<String>>,
) {
    let key = derive_accept_key(request.header("sec-websocket-key").unwrap().as_bytes());
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {key}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
    loop {
        tokio::select! {
            told = events.recv() => match told {
                Ok(Some(text)) => socket.send(Message::text(text)).await.unwrap(),
                _ => return,
            },
            heard = socket.next() => if !matches!(heard, Some(Ok(_))) { return },
        }
    }
}

async fn say<S: AsyncWrite + Unpin>(
    stream: &mut S,
    status: u16,
    headers: &[(&'static str, &'static str)],
    body: &[u8],
) {
    let mut head = format!("HTTP/1.1 {status} Words\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    // Whoever asked may be gone.
    let _ = stream.write_all(&[head.as_bytes(), body].concat()).await;
}

async fn read<S: AsyncRead + Unpin>(stream: &mut S) -> Option<Seen> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.lines();
    let line = lines.next().unwrap().trim_end_matches(" HTTP/1.1").to_owned();
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let mut seen = Seen { line, headers, body: Vec::new() };
    let length: usize = seen.header("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    seen.body = body;
    Some(seen)
}

//! One remote: where it is, and the connections that are kept to it.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::Request;
use hyper::header::{HOST, USER_AGENT};
use rustls::pki_types::ServerName;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use super::connection::{AGENT, Wire};
use super::dial::{self, Stream};
use super::identity::ClientCertificate;
use super::proxy::Proxy;
use crate::backend::incus::client::SettingsError;
use crate::backend::incus::client::call::{Call, Limits};
use crate::backend::incus::client::verdict::{Answer, Reply};
use crate::backend::link::pin::Pin;
use crate::backend::link::tls::connector;
use crate::backend::link::{Address, Failure, FailureKind};

/// The server closes none by itself; what stands between may.
const KEPT_FOR_READS: Duration = Duration::from_secs(20);
/// A change must not meet a server that has just gone: its outcome would be unknown.
const KEPT_FOR_CHANGES: Duration = Duration::from_secs(1);
/// At most.
const KEPT: usize = 8;

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Its unix socket.
    Socket(PathBuf),
    Server(Server),
}

/// A server that is reached over HTTPS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    pub address: Address,
    pub pin: Pin,
    pub certificate: ClientCertificate,
    pub proxy: Option<Proxy>,
}

pub(in crate::backend::incus::client) struct Remote {
    name: String,
    route: Route,
    limits: Limits,
    idle: Mutex<Vec<(Wire, Instant)>>,
}

enum Route {
    Socket(PathBuf),
    Tls { address: Address, server_name: ServerName<'static>, proxy: Option<Proxy>, connector: TlsConnector },
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Remote({}, {self})", self.name)
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.route {
            Route::Socket(path) => write!(f, "{}", path.display()),
            Route::Tls { address, .. } => write!(f, "https://{address}"),
        }
    }
}

impl Remote {
    pub(in crate::backend::incus::client) fn new(
        name: String,
        place: Place,
        limits: Limits,
    ) -> Result<Self, SettingsError> {
        let route = match place {
            Place::Socket(path) => Route::Socket(path),
            Place::Server(server) => {
                if let Some(warning) = server.pin.warning() {
                    tracing::warn!(remote = name, pin = %server.pin, "{warning}");
                }
                let identity = server.certificate.identity().map_err(SettingsError::Certificate)?;
                Route::Tls {
                    server_name: server.address.server_name().map_err(SettingsError::Address)?,
                    connector: connector(&server.pin, Some(identity)).map_err(SettingsError::Certificate)?,
                    address: server.address,
                    proxy: server.proxy,
                }
            }
        };
        Ok(Self { name, route, limits, idle: Mutex::default() })
    }

    pub(in crate::backend::incus::client) fn name(&self) -> &str {
        &self.name
    }

    /// As requests name it: a socket has no name.
    fn host(&self) -> String {
        match &self.route {
            Route::Socket(_) => "incus".to_owned(),
            Route::Tls { address, .. } => address.to_string(),
        }
    }

    /// One attempt.
    pub(in crate::backend::incus::client) async fn ask(&self, call: &Call, target: &str) -> Reply {
        match self.attempt(call, target).await {
            Ok(answer) => Reply::Answer(answer),
            Err(failure) => Reply::Failure(failure),
        }
    }

    async fn attempt(&self, call: &Call, target: &str) -> Result<Answer, Failure> {
        while let Some(wire) = self.take(call) {
            match self.exchange(wire, call, target).await {
                // The server hung up in between. Nothing was sent, or only a question.
                Err(failure)
                    if failure.kind == FailureKind::Connection
                        && (!failure.sent || !call.method.changes()) => {}
                ended => return ended,
            }
        }
        let stream = self.connect().await?;
        let wire = Wire::over(stream, &self.to_string()).await?;
        self.exchange(wire, call, target).await
    }

    async fn exchange(&self, wire: Wire, call: &Call, target: &str) -> Result<Answer, Failure> {
        let (limit, host, server) = (self.limits.of(call), self.host(), self.to_string());
        let most = call.most.unwrap_or(self.limits.answer);
        let exchanged = tokio::time::timeout(limit, wire.exchange(call, target, &host, &server, most)).await;
        let (answer, wire) = exchanged.unwrap_or_else(|_| {
            let text = format!("no answer from {server} within {limit:?}");
            Err(Failure { kind: FailureKind::TimedOut, sent: true, text })
        })?;
        if let Some(wire) = wire {
            self.keep(wire);
        }
        Ok(answer)
    }

    async fn connect(&self) -> Result<Stream, Failure> {
        let limit = self.limits.connect;
        let connecting = async {
            match &self.route {
                Route::Socket(path) => dial::socket(path).await,
                Route::Tls { address, server_name, proxy, connector } => {
                    dial::server(address, server_name.clone(), proxy.as_ref(), connector).await
                }
            }
        };
        tokio::time::timeout(limit, connecting).await.unwrap_or_else(|_| {
            let text = format!("{self} does not answer within {limit:?}");
            Err(Failure { kind: FailureKind::TimedOut, sent: false, text })
        })
    }

    /// A connection of its own, for as long as it stays open. Why there is none, in words for the log.
    pub(in crate::backend::incus::client) async fn websocket(
        &self,
        target: &str,
        config: WebSocketConfig,
    ) -> Result<WebSocketStream<Stream>, String> {
        let stream = self.connect().await.map_err(|failure| failure.text)?;
        let request = Request::builder()
            // A whole address is wanted here; only its path is sent.
            .uri(format!("ws://{}{target}", self.host()))
            .header(HOST, self.host())
            .header(USER_AGENT, AGENT)
            .header("connection", "Upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", generate_key())
            .body(())
            .map_err(|error| error.to_string())?;
        let opening = tokio_tungstenite::client_async_with_config(request, stream, Some(config));
        match tokio::time::timeout(self.limits.read, opening).await {
            Ok(Ok((socket, _response))) => Ok(socket),
            Ok(Err(error)) => Err(firstlight_shared::text::escape(&error.to_string(), 300)),
            Err(_) => Err(format!("{self} does not open it within {:?}", self.limits.read)),
        }
    }

    /// The one that was used last, if it is fresh enough; older ones are closed.
    fn take(&self, call: &Call) -> Option<Wire> {
        let longest = if call.method.changes() { KEPT_FOR_CHANGES } else { KEPT_FOR_READS };
        let mut idle = self.lock();
        idle.retain(|(wire, since)| wire.is_open() && since.elapsed() < KEPT_FOR_READS);
        let fresh = idle.last().is_some_and(|(_, since)| since.elapsed() < longest);
        if fresh { idle.pop().map(|(wire, _)| wire) } else { None }
    }

    fn keep(&self, wire: Wire) {
        // A new connection to a socket costs nothing, and surely meets a server that is there.
        if matches!(self.route, Route::Socket(_)) {
            return;
        }
        let mut idle = self.lock();
        idle.push((wire, Instant::now()));
        if idle.len() > KEPT {
            idle.remove(0);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Wire, Instant)>> {
        // Nothing in it can be half done.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

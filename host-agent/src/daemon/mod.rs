//! The companion: composes everything, and ends it in order.

mod identity;
mod lock;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use firstlight_shared::error::Code;
use tokio::net::{TcpListener, UnixListener};
use tokio::task::{AbortHandle, JoinHandle};

use crate::backend::Backend;
use crate::backend::local::{Local, LocalConfig};
use crate::bringup::{Bringups, Endpoints, Parts, ServeReports};
use crate::http::{api_router, serve_reports};
use crate::intake::Intake;
use crate::job::{Limits, Runner, RunnerConfig, Sagas};
use crate::store::{Store, StoreError};

pub use identity::ListenerIdentity;
pub use lock::StateLock;

/// What a companion needs to know.
#[derive(Debug, Clone)]
pub struct Settings {
    pub state: PathBuf,
    /// Where reports are taken besides the places that backends open; none for an `up` without a daemon.
    pub listen: Option<SocketAddr>,
    pub report_port: u16,
    /// Go on with interrupted jobs; a command that only looks does not.
    pub resume: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the state folder {path} cannot be used")]
    State {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the state folder {path} is in use by process {pid}")]
    InUse { path: PathBuf, pid: String },
    #[error("{address} cannot be listened on")]
    Listen {
        address: SocketAddr,
        #[source]
        source: std::io::Error,
    },
    #[error("the socket {path} cannot be made")]
    Socket {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the listener's key or certificate in {path} cannot be used: {what}")]
    Identity { path: PathBuf, what: String },
    #[error("the store failed")]
    Store(#[from] StoreError),
}

impl Code for StartError {
    fn code(&self) -> &'static str {
        match self {
            Self::State { .. } => "state-folder",
            Self::InUse { .. } => "state-in-use",
            Self::Listen { .. } => "listen",
            Self::Socket { .. } => "socket",
            Self::Identity { .. } => "listener-identity",
            Self::Store(error) => error.code(),
        }
    }
}

impl StartError {
    /// What the operator can do.
    pub fn hint(&self) -> String {
        match self {
            Self::State { .. } => "name a folder that you may write with --state DIR".to_owned(),
            Self::InUse { .. } => {
                "stop that companion first, or name another folder with --state DIR".to_owned()
            }
            Self::Listen { source, .. } if source.kind() == std::io::ErrorKind::AddrNotAvailable => {
                "this machine does not have that address: name another with --listen ADDRESS:PORT".to_owned()
            }
            Self::Listen { .. } => {
                "another program may use this port: name another with --listen ADDRESS:PORT".to_owned()
            }
            Self::Socket { path, .. } => format!(
                "the path may be too long (107 bytes are allowed) or not writable: {}",
                path.display()
            ),
            Self::Identity { path, .. } => format!(
                "restore the file from a backup, or remove both to have new ones made; guests that still wait pin the old key: {}",
                path.display()
            ),
            Self::Store(_) => "the file may be damaged or the disk full: see the message above".to_owned(),
        }
    }
}

/// Bytes that the path of a unix socket may have. Source: unix(7), sun_path.
const SOCKET_PATH_LIMIT: usize = 107;

/// The unix socket of the companion on this state folder.
pub fn socket_path(state: &Path) -> PathBuf {
    state.join("control.sock")
}

/// A companion at work.
#[derive(Debug)]
pub struct Companion {
    pub service: Arc<Bringups>,
    runner: Option<Arc<Runner>>,
    tasks: Vec<JoinHandle<()>>,
    socket: PathBuf,
    store: Store,
    /// Last, so that the folder stays ours until everything else is closed.
    _lock: StateLock,
}

impl Companion {
    /// Takes the state folder, opens store and sockets, and resumes what was interrupted.
    pub async fn start(settings: &Settings) -> Result<Self, StartError> {
        let socket = socket_path(&settings.state);
        if socket.as_os_str().len() > SOCKET_PATH_LIMIT {
            let source = std::io::Error::other("the path is too long");
            return Err(StartError::Socket { path: socket, source });
        }
        let lock = StateLock::take(&settings.state)?;
        let state = settings
            .state
            .canonicalize()
            .map_err(|source| StartError::State { path: settings.state.clone(), source })?;
        // Before anything else is made, what can fail for reasons of the machine.
        let listener = match settings.listen {
            Some(address) => {
                let bound = TcpListener::bind(address).await;
                Some(bound.map_err(|source| StartError::Listen { address, source })?)
            }
            None => None,
        };
        let identity = ListenerIdentity::load_or_make(&state)?;
        let store = Store::open(&state.join("firstlight.db")).await?;
        let intake = Intake::new(store.clone());
        let tls = identity.server_config();

        let serve: ServeReports = {
            let (tls, intake) = (Arc::clone(&tls), intake.clone());
            Arc::new(move |listener| spawn_listener(listener, Arc::clone(&tls), intake.clone()))
        };
        let local = Local::new(LocalConfig { folder: state.clone(), report_port: settings.report_port });
        let backends: Vec<Arc<dyn Backend>> = vec![Arc::new(local)];
        let parts = Parts {
            store: store.clone(),
            endpoints: Endpoints::new(serve),
            pin: identity.pin(),
            backends,
            limits: Limits::default(),
        };
        let service = Bringups::new(parts);

        let mut tasks = Vec::new();
        if let Some(listener) = listener {
            tasks.push(tokio::spawn(serve_reports(listener, tls, intake)));
        }
        let socket = socket_path(&state);
        let control =
            bind_socket(&socket).map_err(|source| StartError::Socket { path: socket.clone(), source })?;
        let router = api_router(Arc::clone(&service));
        tasks.push(tokio::spawn(async move {
            if let Err(error) = axum::serve(control, router).await {
                tracing::error!(%error, "the control socket failed");
            }
        }));
        let mut runner = None;
        if settings.resume {
            let works =
                Runner::new(Arc::new(store.clone()), Arc::clone(&service) as Arc<dyn Sagas>, runner_config());
            tasks.push(tokio::spawn(Arc::clone(&works).run()));
            tasks.push(tokio::spawn(Arc::clone(&service).run()));
            runner = Some(works);
        }
        Ok(Self { service, runner, tasks, socket, store, _lock: lock })
    }

    /// Stops taking work and closes the store. Guests and their jobs stay as they are for the next start.
    pub async fn stop(self) {
        if let Some(runner) = &self.runner {
            runner.stop().await;
        }
        self.service.stop().await;
        for task in &self.tasks {
            task.abort();
        }
        self.store.close().await;
        if let Err(error) = std::fs::remove_file(&self.socket) {
            tracing::debug!(%error, "the socket was gone already");
        }
    }
}

fn runner_config() -> RunnerConfig {
    RunnerConfig {
        companion: format!("{}-{:08x}", std::process::id(), rand::random::<u32>()),
        room: 10_000,
        limits: Limits { at_once: [("node".to_owned(), 4), ("storage".to_owned(), 4)].into() },
        lease: Duration::from_secs(15),
        grace: Duration::from_secs(30),
        look: Duration::from_secs(5),
    }
}

fn spawn_listener(
    listener: std::net::TcpListener,
    tls: Arc<rustls::ServerConfig>,
    intake: Intake,
) -> AbortHandle {
    let task = tokio::spawn(async move {
        match listener.set_nonblocking(true).and_then(|()| TcpListener::from_std(listener)) {
            Ok(listener) => serve_reports(listener, tls, intake).await,
            Err(error) => tracing::error!(%error, "the backend's report socket cannot be used"),
        }
    });
    task.abort_handle()
}

/// A dead companion's socket is in the way only until we hold the lock: remove it.
fn bind_socket(path: &Path) -> std::io::Result<UnixListener> {
    use std::os::unix::fs::PermissionsExt;
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

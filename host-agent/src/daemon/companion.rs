//! The composition root: everything is built here, and ended in order.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinHandle};

use super::error::StartError;
use super::heart::Heart;
use super::identity::ListenerIdentity;
use super::lock::StateLock;
use super::metered::Metered;
use super::policy::{PolicyError, policy};
use super::{prune, socket};
use crate::backend::Backend;
use crate::backend::local::{Local, LocalConfig};
use crate::bringup::{Bringups, Endpoints, Parts, ServeReports};
use crate::config::{RetentionSettings, Settings};
use crate::http::{
    Condition, Gate, Health, Policy, api_router, health_router, serve_reports, serve_socket, serve_tls,
};
use crate::intake::Intake;
use crate::job::{Limits, Runner, RunnerConfig, Sagas};
use crate::metrics::Metrics;
use crate::store::{Location, Store};

/// How often to look for work that nobody told of.
const LOOK: Duration = Duration::from_secs(5);
/// How long a daemon waits for the state folder.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);
/// How long connections may take to end.
const FAREWELL: Duration = Duration::from_secs(4);

/// What a companion is started for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To be the daemon: work, listen, and tell the service manager.
    Serve,
    /// To carry out what one command asks, without a daemon: work, and listen on the control socket only.
    Work,
    /// To answer questions about what is stored.
    Look,
}

/// A companion at work.
#[derive(Debug)]
pub struct Companion {
    pub service: Arc<Bringups>,
    pub metrics: Arc<Metrics>,
    runner: Option<Arc<Runner>>,
    policy: watch::Sender<Arc<Policy>>,
    retention: watch::Sender<RetentionSettings>,
    /// Nothing new is begun any more.
    stopping: watch::Sender<bool>,
    condition: watch::Sender<Condition>,
    /// Connections shall end.
    closing: watch::Sender<bool>,
    /// They end when `closing` turns true.
    listeners: Vec<JoinHandle<()>>,
    /// They are ended.
    tasks: Vec<JoinHandle<()>>,
    socket: PathBuf,
    store: Store,
    /// Last, so that the folder stays ours until everything else is closed.
    _lock: StateLock,
}

/// What is bound and read before anything is done.
struct Ground {
    lock: StateLock,
    store: Store,
    identity: ListenerIdentity,
    policy: Policy,
    reports: Option<TcpListener>,
    api: Option<TcpListener>,
}

impl Companion {
    /// Takes the state folder, opens store and sockets, and takes up what was interrupted. `backends` are those beside
    /// the local one.
    pub async fn start(
        settings: &Settings,
        purpose: Purpose,
        backends: Vec<Arc<dyn Backend>>,
    ) -> Result<Self, StartError> {
        let ground = Ground::prepare(settings, purpose).await?;
        let metrics = Arc::new(Metrics::default());
        let intake = Intake::new(ground.store.clone());
        let reports = Reports { tls: ground.identity.server_config(), intake, metrics: Arc::clone(&metrics) };
        let service = Bringups::new(Parts {
            store: ground.store.clone(),
            endpoints: Endpoints::new(reports.on_sockets_of_backends()),
            pin: ground.identity.pin(),
            backends: with_local(settings, backends),
            limits: limits(settings),
        });
        let runner = (purpose != Purpose::Look).then(|| {
            let metered = Metered::new(Arc::new(ground.store.clone()), Arc::clone(&metrics));
            let sagas = Arc::clone(&service) as Arc<dyn Sagas>;
            Runner::new(Arc::new(metered), sagas, runner_config(settings))
        });
        if runner.is_some() {
            service.open().await;
        }

        let (policy, _) = watch::channel(Arc::new(ground.policy));
        let (closing, _) = watch::channel(false);
        let (stopping, _) = watch::channel(false);
        let (condition, _) = watch::channel(Condition::default());
        let (retention, _) = watch::channel(settings.retention.clone());

        let mut tasks = Vec::new();
        if let Some(runner) = &runner {
            tasks.push(tokio::spawn(Arc::clone(&service).run()));
            tasks.push(tokio::spawn(Arc::clone(runner).run()));
        }
        tasks.extend(ground.reports.map(|listener| tokio::spawn(reports.serve(listener))));
        if purpose == Purpose::Serve {
            let heart = Heart {
                store: ground.store.clone(),
                runner: runner.clone(),
                metrics: Arc::clone(&metrics),
                condition: condition.clone(),
                stopping: stopping.subscribe(),
            };
            tasks.push(tokio::spawn(heart.beat()));
            tasks.push(tokio::spawn(prune::prune(ground.store.clone(), retention.subscribe())));
        }

        let health = Health { condition: condition.subscribe(), metrics: Arc::clone(&metrics) };
        let router = api_router(Arc::clone(&service)).merge(health_router(health));
        let gate = Gate::new(router, policy.subscribe(), closing.subscribe(), Arc::clone(&metrics));
        let path = settings.api.socket.clone();
        let control = socket::bind(&settings.api)
            .map_err(|source| StartError::Socket { path: path.clone(), source })?;
        let mut listeners = vec![tokio::spawn(serve_socket(control, gate.clone()))];
        listeners.extend(ground.api.map(|listener| tokio::spawn(serve_tls(listener, gate))));

        Ok(Self {
            service,
            metrics,
            runner,
            policy,
            retention,
            stopping,
            condition,
            closing,
            listeners,
            tasks,
            socket: path,
            store: ground.store,
            _lock: ground.lock,
        })
    }

    /// Takes over what a reload may change. All or nothing.
    ///
    /// # Errors
    /// The old rules go on.
    pub fn reload(&self, settings: &Settings) -> Result<(), PolicyError> {
        let rules = policy(&settings.api, credentials().as_deref())?;
        self.policy.send_if_modified(|known| {
            let changed = **known != rules;
            if changed {
                *known = Arc::new(rules);
            }
            changed
        });
        if let Some(runner) = &self.runner {
            runner.set_limits(limits(settings));
        }
        self.service.set_limits(limits(settings));
        self.retention.send_replace(settings.retention.clone());
        if let Err(error) = socket::open_to(&self.socket, &settings.api) {
            tracing::warn!(%error, "the control socket keeps its mode");
        }
        Ok(())
    }

    /// Begins nothing new and lets steps that are under way end, at most for `patience`. The API goes on meanwhile.
    pub async fn drain(&self, patience: Duration) {
        self.stopping.send_replace(true);
        self.condition.send_modify(|condition| condition.unready = Some("the companion is stopping"));
        if let Some(runner) = &self.runner {
            runner.drain(patience).await;
        }
    }

    /// Stops every job where it is, ends connections and closes the store. Guests live on, and their jobs are taken up by
    /// the next start or by another companion.
    pub async fn stop(self) {
        self.stopping.send_replace(true);
        if let Some(runner) = &self.runner {
            runner.stop().await;
        }
        self.service.stop().await;
        self.closing.send_replace(true);
        for listener in self.listeners {
            let abort = listener.abort_handle();
            if tokio::time::timeout(FAREWELL, listener).await.is_err() {
                abort.abort();
            }
        }
        for task in &self.tasks {
            task.abort();
        }
        self.store.close().await;
        if let Err(error) = std::fs::remove_file(&self.socket) {
            tracing::debug!(%error, "the socket was gone already");
        }
    }
}

impl Ground {
    /// First what can fail for reasons of the machine.
    async fn prepare(settings: &Settings, purpose: Purpose) -> Result<Self, StartError> {
        let credentials = credentials();
        let serves = purpose == Purpose::Serve;
        let lock = take_lock(settings, serves).await?;
        let reports = bind(serves.then_some(settings.reports.listen)).await?;
        let tcp = settings.api.listen.as_ref().map(|tcp| tcp.address);
        let api = bind(tcp.filter(|_| serves)).await?;
        let policy = policy(&settings.api, credentials.as_deref())?;
        let mut location: Location = settings.store.url.parse()?;
        if let Some(file) = &settings.store.password {
            location = location.with_password(file.read(credentials.as_deref())?);
        }
        if let Some(certificate) = &settings.store.root_certificate {
            location = location.with_root_certificate(certificate);
        }
        let store = Store::connect(&location).await?;
        let key = settings.reports.key.as_ref();
        let identity = ListenerIdentity::load(key, credentials.as_deref(), &store).await?;
        Ok(Self { lock, store, identity, policy, reports, api })
    }
}

/// A command that looks without a daemon holds the folder for a moment; the daemon waits for it.
async fn take_lock(settings: &Settings, serves: bool) -> Result<StateLock, StartError> {
    let deadline = tokio::time::Instant::now() + if serves { LOCK_PATIENCE } else { Duration::ZERO };
    loop {
        match StateLock::take(&settings.state) {
            Err(StartError::InUse { .. }) if tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            taken => return taken,
        }
    }
}

async fn bind(address: Option<std::net::SocketAddr>) -> Result<Option<TcpListener>, StartError> {
    let Some(address) = address else { return Ok(None) };
    let bound = TcpListener::bind(address).await;
    bound.map(Some).map_err(|source| StartError::Listen { address, source })
}

/// systemd's folder of what `LoadCredential=` gave. Source: systemd.exec(5).
fn credentials() -> Option<OsString> {
    std::env::var_os("CREDENTIALS_DIRECTORY")
}

fn limits(settings: &Settings) -> Limits {
    Limits { at_once: settings.limits.clone() }
}

fn runner_config(settings: &Settings) -> RunnerConfig {
    let companion = &settings.companion;
    RunnerConfig {
        // Of this life of it.
        companion: format!("{}-{}-{:08x}", companion.name, std::process::id(), rand::random::<u32>()),
        room: companion.room,
        limits: limits(settings),
        lease: companion.lease,
        grace: companion.grace,
        look: LOOK,
    }
}

fn with_local(settings: &Settings, others: Vec<Arc<dyn Backend>>) -> Vec<Arc<dyn Backend>> {
    let config =
        LocalConfig { folder: settings.local.folder.clone(), report_port: settings.reports.listen.port() };
    let local: Arc<dyn Backend> = Arc::new(Local::new(config));
    // The first of a name counts.
    others.into_iter().chain([local]).collect()
}

/// The report listener, on its own address and on the sockets that backends open.
#[derive(Clone)]
struct Reports {
    tls: Arc<rustls::ServerConfig>,
    intake: Intake,
    metrics: Arc<Metrics>,
}

impl Reports {
    async fn serve(self, listener: TcpListener) {
        serve_reports(listener, self.tls, self.intake, self.metrics).await;
    }

    fn on_sockets_of_backends(&self) -> ServeReports {
        let reports = self.clone();
        Arc::new(move |listener| reports.clone().spawn(listener))
    }

    fn spawn(self, listener: std::net::TcpListener) -> AbortHandle {
        let task = tokio::spawn(async move {
            match listener.set_nonblocking(true).and_then(|()| TcpListener::from_std(listener)) {
                Ok(listener) => self.serve(listener).await,
                Err(error) => tracing::error!(%error, "the backend's report socket cannot be used"),
            }
        });
        task.abort_handle()
    }
}

//! The composition root: everything is built here, and ended in order.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use firstlight_shared::error::Chain;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::error::StartError;
use super::ground::{Ground, credentials};
use super::heart::Heart;
use super::incus::{IncusError, incus_config};
use super::lock::StateLock;
use super::metered::{CallMeter, Metered};
use super::policy::{PolicyError, policy};
use super::proxmox::{ProxmoxError, proxmox_config};
use super::reports::Reports;
use super::{goldens, hooks, prune, socket};
use crate::backend::Backend;
use crate::backend::incus::Incus;
use crate::backend::local::{Local, LocalConfig};
use crate::backend::proxmox::Proxmox;
use crate::bringup::{Bringups, Certifier, Endpoints, HookView, Parts, SecretRules};
use crate::config::{RetentionSettings, Settings, WebhookSettings};
use crate::http::session::Sessions;
use crate::http::{Condition, Gate, Health, Policy, api_router, health_router, serve_socket, serve_tls};
use crate::intake::Intake;
use crate::job::{Limits, Runner, RunnerConfig, Sagas};
use crate::metrics::Metrics;
use crate::outbox::{Outbox, Target};
use crate::store::Store;
use crate::web::web_router;

/// How often to look for work that nobody told of.
const LOOK: Duration = Duration::from_secs(5);
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

impl Companion {
    /// Takes the state folder, opens store and sockets, and takes up what was interrupted. `backends` are those beside
    /// the configuration's own.
    pub async fn start(
        settings: &Settings,
        purpose: Purpose,
        backends: Vec<Arc<dyn Backend>>,
    ) -> Result<Self, StartError> {
        let ground = Ground::prepare(settings, purpose).await?;
        let backends = composed(settings, purpose, backends)?;
        let names: Vec<&'static str> = backends.iter().map(|backend| backend.name()).collect();
        let metrics = Arc::new(Metrics::new(&names));
        for backend in &backends {
            backend.watch_calls(Arc::new(CallMeter { metrics: Arc::clone(&metrics) }));
        }
        let certifier = Certifier::new(ground.store.clone(), settings.ssh_ca.clone());
        let targets = if purpose == Purpose::Look { Vec::new() } else { hook_targets(settings)? };
        // Before anything is recorded: whatever ends from now on is told.
        ground.store.tell(targets.iter().map(|target| target.name()).collect());
        let intake = Intake::new(ground.store.clone()).certifying(Arc::new(certifier.clone()));
        let reports = Reports {
            tls: ground.identity.server_config(),
            intake,
            metrics: Arc::clone(&metrics),
            connections_per_address: settings.reports.connections_per_address,
        };
        let service = Bringups::new(Parts {
            store: ground.store.clone(),
            endpoints: Endpoints::new(reports.on_sockets_of_backends()),
            pin: ground.identity.pin(),
            backends,
            limits: limits(settings),
            secrets: secret_rules(settings, purpose),
            certifier,
        });
        service.set_budgets(settings.budget.clone());
        service.set_hooks(settings.webhooks.iter().map(hook_view).collect());
        let runner = (purpose != Purpose::Look).then(|| {
            let metered = Metered::new(Arc::new(ground.store.clone()), Arc::clone(&metrics));
            let sagas = Arc::clone(&service) as Arc<dyn Sagas>;
            Runner::new(Arc::new(metered), sagas, runner_config(settings))
        });
        if runner.is_some() {
            service.open().await;
        }

        let mut companion = Self {
            metrics,
            runner,
            policy: watch::Sender::new(Arc::new(ground.policy)),
            retention: watch::Sender::new(settings.retention.clone()),
            stopping: watch::Sender::new(false),
            condition: watch::Sender::new(Condition::default()),
            closing: watch::Sender::new(false),
            listeners: Vec::new(),
            tasks: Vec::new(),
            socket: settings.api.socket.clone(),
            store: ground.store,
            service,
            _lock: ground.lock,
        };
        companion.work(purpose);
        companion.post(targets);
        companion.tasks.extend(ground.reports.map(|listener| tokio::spawn(reports.serve(listener))));
        companion.listen(settings, ground.api)?;
        Ok(companion)
    }

    /// Starts what goes on in the background.
    fn work(&mut self, purpose: Purpose) {
        if let Some(runner) = &self.runner {
            self.tasks.push(tokio::spawn(Arc::clone(&self.service).run()));
            self.tasks.push(tokio::spawn(Arc::clone(runner).run()));
        }
        if purpose != Purpose::Serve {
            return;
        }
        let heart = Heart {
            store: self.store.clone(),
            runner: self.runner.clone(),
            metrics: Arc::clone(&self.metrics),
            condition: self.condition.clone(),
            stopping: self.stopping.subscribe(),
        };
        self.tasks.push(tokio::spawn(heart.beat()));
        self.tasks.push(tokio::spawn(goldens::look(Arc::clone(&self.service))));
        self.tasks.push(tokio::spawn(prune::prune(self.store.clone(), self.retention.subscribe())));
    }

    /// Takes messages to where they are wanted.
    fn post(&mut self, targets: Vec<Arc<dyn Target>>) {
        if targets.is_empty() {
            return;
        }
        let outbox = Outbox {
            store: self.store.clone(),
            service: Arc::clone(&self.service),
            metrics: Arc::clone(&self.metrics),
            targets,
        };
        self.tasks.push(tokio::spawn(outbox.run()));
    }

    /// Opens the control socket, and serves the API on it and over TLS.
    fn listen(&mut self, settings: &Settings, api: Option<TcpListener>) -> Result<(), StartError> {
        let health = Health { condition: self.condition.subscribe(), metrics: Arc::clone(&self.metrics) };
        let sessions = Arc::new(Sessions::default());
        let pages = web_router(Arc::clone(&self.service), self.policy.subscribe(), Arc::clone(&sessions));
        let router = api_router(Arc::clone(&self.service)).merge(health_router(health)).merge(pages);
        let (policy, closing) = (self.policy.subscribe(), self.closing.subscribe());
        let gate = Gate::new(router, policy, closing, sessions, Arc::clone(&self.metrics));
        let path = self.socket.clone();
        let control = socket::bind(&settings.api).map_err(|source| StartError::Socket { path, source })?;
        self.listeners.push(tokio::spawn(serve_socket(control, gate.clone())));
        self.listeners.extend(api.map(|listener| tokio::spawn(serve_tls(listener, gate))));
        Ok(())
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
        self.service.set_budgets(settings.budget.clone());
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
        for task in self.tasks {
            task.abort();
            // Its socket is closed when it has ended, and not before.
            let _ = task.await;
        }
        self.store.close().await;
        if let Err(error) = std::fs::remove_file(&self.socket) {
            tracing::debug!(%error, "the socket was gone already");
        }
    }
}

/// Within somebody's own command the sources are their own.
fn secret_rules(settings: &Settings, purpose: Purpose) -> SecretRules {
    let sources = settings.secrets.clone();
    match purpose {
        Purpose::Work | Purpose::Look => SecretRules::Anything,
        Purpose::Serve => SecretRules::Only { folders: sources.files, programs: sources.commands },
    }
}

fn hook_targets(settings: &Settings) -> Result<Vec<Arc<dyn Target>>, StartError> {
    Ok(hooks::targets(settings, credentials().as_deref())?)
}

fn hook_view(hook: &WebhookSettings) -> HookView {
    HookView {
        name: hook.name.clone(),
        url: hook.address.to_string(),
        events: hook.events.iter().map(|event| event.as_str().to_owned()).collect(),
        waiting: 0,
        sent: 0,
        given_up: 0,
    }
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

/// Those that the configuration names, beside `others`. One of a name: each is watched over, and makes what its guests share.
fn composed(
    settings: &Settings,
    purpose: Purpose,
    others: Vec<Arc<dyn Backend>>,
) -> Result<Vec<Arc<dyn Backend>>, StartError> {
    let config =
        LocalConfig { folder: settings.local.folder.clone(), report_port: settings.reports.listen.port() };
    let mut own: Vec<Arc<dyn Backend>> = vec![Arc::new(Local::new(config))];
    // A credential that only the service gets, for one: what is stored can be looked at all the same.
    match proxmox(settings) {
        Ok(backend) => own.extend(backend),
        Err(error) if purpose == Purpose::Look => {
            tracing::error!(error = %Chain(&error), "going on without the backend `proxmox`");
        }
        Err(error) => return Err(error.into()),
    }
    match incus(settings) {
        Ok(backend) => own.extend(backend),
        Err(error) if purpose == Purpose::Look => {
            tracing::error!(error = %Chain(&error), "going on without the backend `incus`");
        }
        Err(error) => return Err(error.into()),
    }
    own.retain(|backend| others.iter().all(|other| other.name() != backend.name()));
    Ok(others.into_iter().chain(own).collect())
}

fn proxmox(settings: &Settings) -> Result<Option<Arc<dyn Backend>>, ProxmoxError> {
    let Some(config) = proxmox_config(settings, credentials().as_deref())? else { return Ok(None) };
    Ok(Some(Arc::new(Proxmox::new(config).map_err(ProxmoxError::Client)?)))
}

fn incus(settings: &Settings) -> Result<Option<Arc<dyn Backend>>, IncusError> {
    let Some(config) = incus_config(settings, credentials().as_deref())? else { return Ok(None) };
    Ok(Some(Arc::new(Incus::new(config).map_err(IncusError::Client)?)))
}

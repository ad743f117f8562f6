//! The client of Proxmox VE's API: typed calls, pinned servers, classed errors, tasks.
//!
//! ```text
//! endpoint::X -> Call -> link (address, TLS, token) -> Reply -> verdict (class) -> endpoint::X::Answer
//!                 ^------------- retry, only what surely did nothing -------------'
//! ```
//!
//! Here are no steps and no decisions of a bring-up. An HTTP 200 to a change is never its success: a task's name is, once
//! the task has ended well ([`Client::follow`]).

pub mod call;
pub mod endpoint;
mod health;
mod lenient;
pub mod link;
mod pace;
pub mod properties;
pub mod task;
pub mod upid;
pub mod verdict;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, warn};

use call::{Call, Limits};
use endpoint::cluster::NextId;
use endpoint::{Endpoint, Unreadable};
use link::{Address, ApiToken, Nodes, Pin};
use verdict::{ApiError, Class, Code, Patience};

use crate::backend::link::tls::connector;
use crate::backend::link::{CallWatch, Calls};
use crate::backend::{Trouble, is_silence};

/// How to reach a cluster (or a single node).
#[derive(Debug, Clone)]
pub struct Settings {
    /// Asked in this order, apart from those that do not answer.
    pub addresses: Vec<Address>,
    pub pin: Pin,
    pub token: ApiToken,
    pub limits: Limits,
    pub patience: Patience,
}

/// The settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("no address of a Proxmox node is given")]
    NoAddress,
    #[error("an address cannot be used")]
    Address(#[source] rustls::pki_types::InvalidDnsNameError),
    #[error("the pinned authority cannot be used")]
    Authority(#[source] rustls::Error),
}

/// A cheap handle; its clones share connections.
#[derive(Debug, Clone)]
pub struct Client {
    nodes: Arc<Nodes>,
    patience: Patience,
    calls: Calls,
    /// For TCP and TLS to an address.
    connect: Duration,
    pace: pace::Pace,
    health: Arc<health::Health>,
}

/// What a person waits for: TCP and TLS to an address take no longer, and a server that does not answer is given time for
/// a restart of its daemon.
pub const HASTY_CONNECT: Duration = Duration::from_secs(3);
const HASTY: Duration = Duration::from_secs(2);

impl Client {
    /// Connects to nothing yet. Warns, once, of a pin that will not last.
    ///
    /// # Errors
    /// No address, or a pin that is no certificate.
    pub fn new(settings: Settings) -> Result<Self, SettingsError> {
        if settings.addresses.is_empty() {
            return Err(SettingsError::NoAddress);
        }
        if let Some(warning) = settings.pin.warning() {
            warn!(pin = %settings.pin, "{warning}");
        }
        let connect = settings.limits.connect;
        let connector = connector(&settings.pin, None).map_err(SettingsError::Authority)?;
        let nodes = Nodes::new(&settings.addresses, connector, settings.token, settings.limits)
            .map_err(SettingsError::Address)?;
        Ok(Self {
            nodes: Arc::new(nodes),
            patience: settings.patience,
            calls: Calls::default(),
            connect,
            pace: pace::Pace::default(),
            health: Arc::default(),
        })
    }

    /// The nodes' addresses, as they were given.
    pub fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.nodes.addresses()
    }

    /// The same client, more or less patient: none at all for what a person waits for.
    #[must_use]
    pub fn with_patience(&self, patience: Patience) -> Self {
        Self { patience, ..self.clone() }
    }

    /// The same client, for what a person waits for: an error is as good now as in a minute.
    #[must_use]
    pub fn hasty(&self) -> Self {
        let patience = Patience { connection: self.patience.connection.min(HASTY), ..self.patience };
        Self { patience, connect: self.connect.min(HASTY_CONNECT), ..self.clone() }
    }

    /// What keeps the servers from answering, for a while now. None: the last question was answered.
    pub fn trouble(&self) -> Option<Trouble> {
        self.health.trouble()
    }

    pub fn is_hasty(&self) -> bool {
        self.patience.connection <= HASTY
    }

    /// Whom the server knows us as, and whose our tasks are: `USER@REALM!NAME`.
    pub fn token_id(&self) -> &str {
        self.nodes.token_id()
    }

    /// Has every attempt told, of this client and its clones.
    pub fn watch_calls(&self, watch: Arc<dyn CallWatch>) {
        self.calls.watch(watch);
    }

    /// Sends a call until it ends otherwise than by what may be tried again, or patience does.
    ///
    /// # Errors
    /// With the class of the last attempt.
    pub async fn send<E: Endpoint>(&self, endpoint: &E) -> Result<E::Answer, ApiError> {
        let call = endpoint.call();
        let began = Instant::now();
        let mut attempt = 1;
        loop {
            let error = match self.attempt::<E>(&call).await {
                Ok(answer) => {
                    self.health.answered();
                    return Ok(answer);
                }
                Err(error) => error,
            };
            let wait = self.wait(&error, attempt, began.elapsed());
            match is_silence(error.code()) {
                true => self.health.silent(&error, wait),
                false => self.health.answered(),
            }
            let Some(wait) = wait else { return Err(error) };
            if attempt == 1 {
                warn!(endpoint = %call.path, code = error.code(), error = %error, "a call to proxmox is tried again");
            } else {
                debug!(endpoint = %call.path, attempt, error = %error, "a call to proxmox is tried again");
            }
            tokio::time::sleep(wait).await;
            attempt += 1;
        }
    }

    fn wait(&self, error: &ApiError, attempt: u32, elapsed: Duration) -> Option<Duration> {
        let retry = verdict::retry(error.method, &error.class);
        self.patience.wait(retry, attempt, elapsed, rand::random())
    }

    async fn attempt<E: Endpoint>(&self, call: &Call) -> Result<E::Answer, ApiError> {
        let began = Instant::now();
        let reply = self.nodes.attempt(call, self.connect).await;
        let answer = verdict::classify(call.method, &call.path, &reply)
            .and_then(|data| E::read(data).map_err(|error| unreadable(call, &error)));
        let code = answer.as_ref().err().map(ApiError::code);
        self.calls.called("proxmox", call.method.as_str(), began.elapsed(), code);
        answer
    }

    /// Whether no guest has this VMID, for any token (a config may be hidden from one that has rights on a pool alone).
    ///
    /// # Errors
    /// There is no answer.
    pub async fn is_free(&self, vmid: u32) -> Result<bool, ApiError> {
        match self.send(&NextId { vmid: Some(vmid) }).await {
            Ok(_) => Ok(true),
            Err(ApiError { class: Class::Rejected { code: Code::Exists, .. }, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn unreadable(call: &Call, error: &Unreadable) -> ApiError {
    ApiError {
        method: call.method,
        path: call.path.as_str().into(),
        class: verdict::unreadable(call.method),
        status: Some(200),
        text: error.to_string().into(),
        parameters: std::collections::BTreeMap::new(),
    }
}

//! The client of Incus' API: typed calls, pinned servers, classed errors, operations and events.
//!
//! ```text
//! endpoint::X -> Call -> link (socket | proxy, TLS) -> Reply -> verdict (class) -> endpoint::X::Answer
//!                 ^------------ retry, only what surely did nothing ------------'
//! ```
//!
//! Here are no steps and no decisions of a bring-up. Most changes answer with an operation's name: that is journaled, and
//! only then waited for ([`Client::follow`]). What the server tells unasked comes through [`Client::events`].

pub mod call;
pub mod endpoint;
pub mod events;
pub mod exec;
pub mod link;
pub mod operation;
pub mod verdict;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, warn};

use call::{Call, Limits};
use endpoint::{Endpoint, Unreadable};
use events::{Events, Hubs};
use link::{Place, Remote};
use verdict::{ApiError, Patience};

use crate::backend::link::{CallWatch, Calls};

/// How to reach one server (or cluster).
#[derive(Debug, Clone)]
pub struct Settings {
    /// What the operator calls it, for messages.
    pub name: String,
    pub place: Place,
    /// Of calls that name none.
    pub project: String,
    pub limits: Limits,
    pub patience: Patience,
}

/// The settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("the server's certificate or our own cannot be used")]
    Certificate(#[source] rustls::Error),
    #[error("the address cannot be used")]
    Address(#[source] rustls::pki_types::InvalidDnsNameError),
}

/// A cheap handle on one project of one remote; its clones share connections and the event socket.
#[derive(Debug, Clone)]
pub struct Client {
    remote: Arc<Remote>,
    hubs: Arc<Hubs>,
    project: Arc<str>,
    member: Option<Arc<str>>,
    patience: Patience,
    calls: Calls,
}

impl Client {
    /// Connects to nothing yet. Warns, once, of a pin that will not last.
    ///
    /// # Errors
    /// A certificate, key or proxy that is none.
    pub fn new(settings: Settings) -> Result<Self, SettingsError> {
        let remote = Arc::new(Remote::new(settings.name, settings.place, settings.limits)?);
        Ok(Self {
            hubs: Arc::new(Hubs::new(Arc::clone(&remote))),
            remote,
            project: settings.project.into(),
            member: None,
            patience: settings.patience,
            calls: Calls::default(),
        })
    }

    /// What the operator calls the remote.
    pub fn remote(&self) -> &str {
        self.remote.name()
    }

    /// The socket's path or the server's address, for messages.
    pub fn address(&self) -> String {
        self.remote.to_string()
    }

    pub fn project(&self) -> &str {
        &self.project
    }

    /// The same client, at work in another project.
    #[must_use]
    pub fn in_project(&self, project: &str) -> Self {
        Self { project: project.into(), ..self.clone() }
    }

    /// The same client, whose new instances and volumes are made on this member of the cluster. None: the server's choice.
    #[must_use]
    pub fn on_member(&self, member: Option<&str>) -> Self {
        Self { member: member.map(Into::into), ..self.clone() }
    }

    /// The same client, more or less patient: none at all for what a person waits for.
    #[must_use]
    pub fn with_patience(&self, patience: Patience) -> Self {
        Self { patience, ..self.clone() }
    }

    /// What the server tells of this project from now on. The first call opens the event socket, which stays as long as any
    /// handle of the client. Within tokio's runtime only, as [`Client::follow`].
    pub fn events(&self) -> Events {
        self.hubs.of(&self.project).subscribe()
    }

    /// Opens the event socket once, and closes it again. Why it does not open, in words for people.
    ///
    /// # Errors
    /// The server, or whatever stands in between, does not take it.
    pub async fn try_events(&self) -> Result<(), String> {
        events::open(&self.remote, &self.project).await.map(drop)
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
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let Some(wait) = self.wait(&error, attempt, began.elapsed()) else { return Err(error) };
            if attempt == 1 {
                warn!(remote = self.remote(), endpoint = %call.path, code = error.code(), error = %error, "a call to incus is tried again");
            } else {
                debug!(remote = self.remote(), endpoint = %call.path, attempt, error = %error, "a call to incus is tried again");
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
        let target = call.target(&self.project, self.member.as_deref());
        let reply = self.remote.ask(call, &target).await;
        let answer = verdict::classify(call, &reply)
            .and_then(|answered| E::read(answered).map_err(|error| unreadable(call, &error)));
        let code = answer.as_ref().err().map(ApiError::code);
        self.calls.called("incus", call.method.as_str(), began.elapsed(), code);
        answer
    }
}

fn unreadable(call: &Call, error: &Unreadable) -> ApiError {
    ApiError {
        method: call.method,
        path: call.path.as_str().into(),
        class: verdict::unreadable(call.method),
        status: Some(200),
        text: error.to_string().into(),
    }
}

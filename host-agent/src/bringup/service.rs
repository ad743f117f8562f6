//! What all bring-ups of this companion share. Their state is in the store; nothing of it is remembered here.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use firstlight_shared::pin::SpkiPin;
use firstlight_shared::text::escape;
use tokio::sync::{broadcast, watch};
use tokio::time::Instant;

use super::api::HookView;
use super::certify::Certifier;
use super::endpoints::Endpoints;
use super::lookout::Lookout;
use super::secrets::SecretRules;
use super::waiters::Waiters;
use crate::backend::{Backend, Taken};
use crate::intake::Intake;
use crate::job::{Change, JobStore, Limits, State, fold};
use crate::outcome::Fault;
use crate::store::{JobRow, Store, StoreError};

/// Everything that bring-ups share.
pub struct Bringups {
    pub store: Store,
    pub endpoints: Endpoints,
    pub pin: SpkiPin,
    pub backends: Vec<Arc<dyn Backend>>,
    pub certifier: Certifier,
    pub(super) limits: std::sync::Mutex<Limits>,
    pub(super) secrets: SecretRules,
    /// Bytes of memory by resource.
    pub(super) budgets: std::sync::Mutex<std::collections::BTreeMap<String, u64>>,
    /// Who counts memory and records a job counts alone.
    pub(super) counting: tokio::sync::Mutex<()>,
    pub(super) waiters: Waiters,
    pub(super) lookout: Lookout,
    /// MACs and addresses are chosen one at a time, apart from those that are known to be taken, by backend.
    pub(super) choosing: tokio::sync::Mutex<HashMap<&'static str, Known>>,
    /// For steps, which must not keep it alive.
    pub(super) me: Weak<Self>,
    /// This companion does more than look.
    pub(super) works: AtomicBool,
    stopping: watch::Sender<bool>,
    /// Webhooks of the configuration, for people.
    pub(super) hooks: std::sync::OnceLock<Vec<HookView>>,
}

/// What was taken in a backend's network when the store was read, and what was chosen here since.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) read: Instant,
    pub(super) taken: Taken,
}

/// What bring-ups are made of.
#[derive(Debug)]
pub struct Parts {
    pub store: Store,
    pub endpoints: Endpoints,
    /// Of the key of the report listener, for guests to pin.
    pub pin: SpkiPin,
    pub backends: Vec<Arc<dyn Backend>>,
    /// As the runner has them: for `plan` to tell of.
    pub limits: Limits,
    /// What may be a source of guests' secrets.
    pub secrets: SecretRules,
    /// The host CA, if there is one.
    pub certifier: Certifier,
}

impl std::fmt::Debug for Bringups {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bringups").field("backends", &self.backends).finish_non_exhaustive()
    }
}

impl Bringups {
    /// Touches nothing. A [`crate::job::Runner`] drives the jobs (with this as its sagas), [`Bringups::run`] watches over
    /// them; a companion that only looks needs neither.
    pub fn new(parts: Parts) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            store: parts.store,
            endpoints: parts.endpoints,
            pin: parts.pin,
            backends: parts.backends,
            certifier: parts.certifier,
            limits: std::sync::Mutex::new(parts.limits),
            secrets: parts.secrets,
            budgets: std::sync::Mutex::default(),
            counting: tokio::sync::Mutex::default(),
            waiters: Waiters::default(),
            lookout: Lookout::default(),
            choosing: tokio::sync::Mutex::default(),
            me: Weak::clone(me),
            works: AtomicBool::new(false),
            stopping: watch::Sender::new(false),
            hooks: std::sync::OnceLock::new(),
        })
    }

    /// Takes what reports there are, as the report listener does.
    pub(super) fn intake(&self) -> Intake {
        Intake::new(self.store.clone()).certifying(Arc::new(self.certifier.clone()))
    }

    /// What is committed from now on, by whichever companion.
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.store.changes()
    }

    /// Turns true when the companion stops: whoever shows something shall end.
    pub fn stopping(&self) -> watch::Receiver<bool> {
        self.stopping.subscribe()
    }

    /// [`Bringups::run`] and whoever watches [`Bringups::stopping`] end. What guests shared goes, if the last one has just
    /// gone and nobody had the time to tidy up. To be called when the runner has stopped.
    pub async fn stop(&self) {
        self.stopping.send_replace(true);
        if !self.works.load(Ordering::Relaxed) {
            return;
        }
        for backend in &self.backends {
            self.tidy(&**backend).await;
        }
    }

    /// For `plan`; the runner has its own.
    pub fn set_limits(&self, limits: Limits) {
        *self.limits.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = limits;
    }

    /// The job of this id, or the newest of the guest of this name (one that is not gone, if there is any).
    pub async fn resolve(&self, job_or_guest: &str) -> Result<Option<String>, StoreError> {
        Ok(self.find(job_or_guest).await?.map(|row| row.id))
    }

    pub(super) async fn find(&self, job_or_guest: &str) -> Result<Option<JobRow>, StoreError> {
        match self.store.job(job_or_guest).await? {
            Some(row) => Ok(Some(row)),
            None => self.store.job_of_guest(job_or_guest).await,
        }
    }

    /// The job as its journal says; none if there is no such job, or its journal cannot be read.
    pub(super) async fn state(&self, job: &str) -> Result<Option<State>, StoreError> {
        let events = self.store.events(job).await?;
        Ok(if events.is_empty() { None } else { fold(&events).ok() })
    }

    /// As [`Self::backend`], for what a person waits for.
    pub(super) fn hasty_backend(&self, name: &str) -> Result<Arc<dyn Backend>, Fault> {
        let backend = self.backend(name)?;
        Ok(backend.hasty().unwrap_or(backend))
    }

    pub(super) fn backend(&self, name: &str) -> Result<Arc<dyn Backend>, Fault> {
        let found = self.backends.iter().find(|backend| backend.name() == name).cloned();
        found.ok_or_else(|| {
            let known: Vec<String> =
                self.backends.iter().map(|backend| format!("`{}`", backend.name())).collect();
            let said =
                format!("there is no backend `{}` here: it has {}", escape(name, 40), known.join(" and "));
            let fault = Fault::new("no-such-backend", said);
            match name {
                "proxmox" => fault
                    .with_hint("[proxmox] of the companion's configuration makes it: see docs/proxmox.md"),
                "incus" => {
                    fault.with_hint("[incus] of the companion's configuration makes it: see docs/incus.md")
                }
                _ => fault,
            }
        })
    }

    /// Takes reports again for guests that are there: one that is ready may still ask for an answer that was lost. To be
    /// called before the companion answers anybody; [`Bringups::run`] looks after it from then on.
    pub async fn open(&self) {
        for backend in &self.backends {
            let opened = match self.store.has_live_jobs(backend.name()).await {
                Ok(true) => self.endpoints.ensure(&**backend).await.map(drop),
                Ok(false) => Ok(()),
                Err(error) => Err(store_fault(error)),
            };
            if let Err(fault) = opened {
                tracing::warn!(backend = backend.name(), error = %fault, "no place for reports yet");
            }
        }
    }

    /// Removes what guests of this backend shared, if no companion has such a guest any more.
    pub(super) async fn tidy(&self, backend: &dyn Backend) {
        let is_needed = async { self.store.has_live_jobs(backend.name()).await.map_err(store_fault) };
        if let Err(fault) = self.endpoints.release(backend, is_needed).await {
            tracing::warn!(backend = backend.name(), error = %fault, "what guests shared could not be removed");
        }
    }
}

pub(super) fn store_fault(error: StoreError) -> Fault {
    let fault = Fault::new("store", firstlight_shared::error::Chain(&error).to_string());
    match error.hint() {
        Some(hint) => fault.with_hint(hint),
        None => fault,
    }
}

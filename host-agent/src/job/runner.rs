//! Drives the jobs of one companion: claims them, runs an engine for each, holds the leases, and gives them back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::fold::State;
use super::journal::{JobStore, Lease};
use super::queue::Limits;
use super::step::Sagas;

/// How a companion works on jobs.
#[derive(Debug, Clone)]
pub struct RunnerConfig {
    /// Of this life of this companion; see [`super::journal::Claimant`].
    pub companion: String,
    /// Jobs at once, waiting ones included.
    pub room: usize,
    pub limits: Limits,
    pub lease: Duration,
    pub grace: Duration,
    /// How often to look for work that nobody told of (a dead companion's jobs).
    pub look: Duration,
}

/// See the module.
#[derive(Debug)]
pub struct Runner {
    // helper A
}

impl Runner {
    pub fn new(store: Arc<dyn JobStore>, sagas: Arc<dyn Sagas>, config: RunnerConfig) -> Arc<Self> {
        let _ = (store, sagas, config);
        unimplemented!("helper A")
    }

    /// Works until [`Runner::drain`] or [`Runner::stop`] has ended everything.
    pub async fn run(self: Arc<Self>) {
        unimplemented!("helper A")
    }

    /// New limits count from the next claim on.
    pub fn set_limits(&self, _limits: Limits) {}

    /// The jobs that are driven here now.
    pub fn driven(&self) -> BTreeMap<String, (Lease, State)> {
        unimplemented!("helper A")
    }

    /// Claims nothing more, lets every job reach the end of its step (waiting steps are left at once), at most for
    /// `patience`, then gives the leases back.
    pub async fn drain(&self, _patience: Duration) {}

    /// Stops every job where it is, and gives the leases back.
    pub async fn stop(&self) {}

    /// How long ago the loop last turned: for the watchdog.
    pub fn idle(&self) -> Duration {
        unimplemented!("helper A")
    }
}

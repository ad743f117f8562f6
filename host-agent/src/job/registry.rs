//! Every job's present state, in memory, and a way to hear of changes.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

use tokio::sync::watch;

use super::fold::State;

/// Folded states by job id; ids sort by age.
#[derive(Debug)]
pub struct Registry {
    states: RwLock<BTreeMap<String, State>>,
    version: watch::Sender<u64>,
}

impl Default for Registry {
    fn default() -> Self {
        Self { states: RwLock::default(), version: watch::Sender::new(0) }
    }
}

impl Registry {
    pub fn set(&self, job: &str, state: State) {
        self.states.write().unwrap_or_else(PoisonError::into_inner).insert(job.to_owned(), state);
        self.version.send_modify(|version| *version += 1);
    }

    pub fn get(&self, job: &str) -> Option<State> {
        self.states.read().unwrap_or_else(PoisonError::into_inner).get(job).cloned()
    }

    /// All jobs, oldest first.
    pub fn all(&self) -> Vec<(String, State)> {
        let states = self.states.read().unwrap_or_else(PoisonError::into_inner);
        states.iter().map(|(job, state)| (job.clone(), state.clone())).collect()
    }

    /// The newest job of a guest that is not gone; a guest's last gone job if there is no other.
    pub fn job_of_guest(&self, guest: &str) -> Option<(String, State)> {
        let of_guest =
            self.all().into_iter().filter(|(_, state)| state.spec.guest == guest).collect::<Vec<_>>();
        let live = of_guest.iter().rfind(|(_, state)| !state.phase.is_gone()).cloned();
        live.or_else(|| of_guest.into_iter().next_back())
    }

    /// Changes whenever any job does.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }
}

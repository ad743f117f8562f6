//! Whether the servers answer at all: what whoever looks at a job at work is told meanwhile.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::verdict::ApiError;
use crate::backend::Trouble;
use crate::clock::now_ms;
use crate::outcome::Fault;

/// What passes sooner is nobody's business, in milliseconds.
const SHORT: u64 = 1_000;

/// The last question: answered, or not since when.
#[derive(Debug, Default)]
pub(super) struct Health(Mutex<Option<Trouble>>);

impl Health {
    pub(super) fn answered(&self) {
        *self.lock() = None;
    }

    /// `wait`: until it is asked again; None: whoever asked decides.
    pub(super) fn silent(&self, error: &ApiError, wait: Option<Duration>) {
        let mut known = self.lock();
        let now = now_ms();
        *known = Some(Trouble {
            fault: Fault::from(error),
            since_ms: known.as_ref().map_or(now, |known| known.since_ms),
            next_try_ms: wait.map(|wait| now + u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
        });
    }

    pub(super) fn trouble(&self) -> Option<Trouble> {
        self.lock().clone().filter(|trouble| now_ms().saturating_sub(trouble.since_ms) >= SHORT)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Trouble>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

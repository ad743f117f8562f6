//! Who waits for which report.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::outcome::Fault;

/// Wakes the job whose claim was answered, or whose guest was refused for good. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Inbox {
    slots: Arc<Mutex<HashMap<String, Slot>>>,
}

#[derive(Debug, Default)]
struct Slot {
    notify: Arc<Notify>,
    failure: Option<Fault>,
}

impl Inbox {
    /// Resolves after the next wake-up for this claim, or one that came since the last wait.
    pub async fn wait(&self, claim_id: &str) {
        let notify = Arc::clone(&self.slots().entry(claim_id.to_owned()).or_default().notify);
        notify.notified().await;
    }

    /// The reason why this claim's guest can never be taken, if there is one.
    pub fn failure(&self, claim_id: &str) -> Option<Fault> {
        self.slots().get(claim_id).and_then(|slot| slot.failure.clone())
    }

    pub fn wake(&self, claim_id: &str) {
        self.slots().entry(claim_id.to_owned()).or_default().notify.notify_one();
    }

    pub fn fail(&self, claim_id: &str, code: &str, message: &str) {
        self.slots().entry(claim_id.to_owned()).or_default().failure = Some(Fault::new(code, message));
        self.wake(claim_id);
    }

    /// Nobody waits for this claim any more.
    pub fn forget(&self, claim_id: &str) {
        self.slots().remove(claim_id);
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<String, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! The jobs that wait here for a report, and how they are woken: by changes of the store, whichever companion made them,
//! by surveys that see a guest stopped, and by hypervisors that tell something. A waiter costs a small entry; nobody asks the store in between.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::job::Change;
use crate::outcome::Fault;

/// Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Waiters {
    by_claim: Arc<Mutex<HashMap<String, Slot>>>,
}

#[derive(Debug)]
struct Slot {
    job: String,
    guest: String,
    backend: &'static str,
    /// What the guest is to its hypervisor, where ids are chosen.
    id: Option<String>,
    /// The hypervisor told something of the guest, or may have.
    told: bool,
    notify: Arc<Notify>,
    /// Why this guest can never be ready.
    failure: Option<Fault>,
    /// Surveys in a row that did not see the guest run.
    unseen: u32,
}

/// A place among the waiters; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    waiters: Waiters,
    claim: String,
    notify: Arc<Notify>,
}

/// Seen twice: a guest that reboots may be gone for a moment.
const SURVEYS_UNSEEN: u32 = 2;

impl Waiters {
    pub(super) fn enter(&self, claim: &str, job: &str, guest: &str, backend: &'static str) -> Place {
        let notify = Arc::new(Notify::new());
        let slot = Slot {
            job: job.to_owned(),
            guest: guest.to_owned(),
            backend,
            id: None,
            told: false,
            notify: Arc::clone(&notify),
            failure: None,
            unseen: 0,
        };
        self.lock().insert(claim.to_owned(), slot);
        Place { waiters: self.clone(), claim: claim.to_owned(), notify }
    }

    /// Wakes whom the change concerns; everybody, if changes were missed.
    pub(super) fn heard(&self, change: &Change) {
        let mut slots = self.lock();
        match change {
            Change::Job(_) => {}
            Change::Report { claim } => {
                if let Some(slot) = slots.get(claim) {
                    slot.notify.notify_one();
                }
            }
            Change::Refused { claim, code, message } => {
                if let Some(slot) = slots.get_mut(claim) {
                    slot.failure = Some(Fault::new(code, message.clone()));
                    slot.notify.notify_one();
                }
            }
            Change::Unknown => slots.values().for_each(|slot| slot.notify.notify_one()),
        }
    }

    /// Takes in what a hypervisor told of a guest; None: of any of them.
    pub(super) fn told(&self, backend: &str, guest: Option<&str>) {
        let concerns =
            |slot: &&mut Slot| slot.backend == backend && guest.is_none_or(|guest| slot.guest == guest);
        for slot in self.lock().values_mut().filter(concerns) {
            slot.told = true;
            slot.notify.notify_one();
        }
    }

    /// Takes in a survey of one backend: `runs` says whether a job's guest, of this id, was seen to run.
    pub(super) fn surveyed(&self, backend: &str, runs: impl Fn(&str, Option<&str>) -> bool) {
        for slot in self.lock().values_mut().filter(|slot| slot.backend == backend) {
            slot.unseen = if runs(&slot.job, slot.id.as_deref()) { 0 } else { slot.unseen + 1 };
            if slot.unseen >= SURVEYS_UNSEEN && slot.failure.is_none() {
                slot.failure = Some(Fault::new("guest-stopped", "the guest stopped before it reported"));
                slot.notify.notify_one();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Slot>> {
        self.by_claim.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Of a guest with this id: a copy of it does not count for it.
    pub(super) fn known_as(self, id: Option<String>) -> Self {
        if let Some(slot) = self.waiters.lock().get_mut(&self.claim) {
            slot.id = id;
        }
        self
    }

    /// Resolves after the next wake-up, or one that came since the last wait.
    pub(super) async fn woken(&self) {
        self.notify.notified().await;
    }

    /// Whether the hypervisor has told something since this was asked last.
    pub(super) fn take_told(&self) -> bool {
        self.waiters.lock().get_mut(&self.claim).is_some_and(|slot| std::mem::take(&mut slot.told))
    }

    pub(super) fn failure(&self) -> Option<Fault> {
        self.waiters.lock().get(&self.claim).and_then(|slot| slot.failure.clone())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut slots = self.waiters.lock();
        // The same job may have come back, and wait again already.
        if slots.get(&self.claim).is_some_and(|slot| Arc::ptr_eq(&slot.notify, &self.notify)) {
            slots.remove(&self.claim);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn is_woken(place: &Place) -> bool {
        let woken = tokio::time::timeout(std::time::Duration::ZERO, place.woken());
        woken.await.is_ok()
    }

    #[tokio::test]
    async fn only_whom_it_concerns_is_woken() {
        let waiters = Waiters::default();
        let (one, other) =
            (waiters.enter("c1", "j1", "gj1", "local"), waiters.enter("c2", "j2", "gj2", "local"));
        waiters.heard(&Change::Report { claim: "c1".into() });
        assert!(is_woken(&one).await && !is_woken(&other).await);
        waiters.heard(&Change::Refused { claim: "c2".into(), code: "x".into(), message: "y".into() });
        assert!(!is_woken(&one).await && is_woken(&other).await);
        assert_eq!((one.failure(), other.failure()), (None, Some(Fault::new("x", "y"))));
        waiters.heard(&Change::Unknown);
        assert!(is_woken(&one).await && is_woken(&other).await);
        waiters.heard(&Change::Job("j1".into()));
        assert!(!is_woken(&one).await);
    }

    #[tokio::test]
    async fn a_guest_must_be_missing_twice_in_a_row() {
        let waiters = Waiters::default();
        let place = waiters.enter("c1", "j1", "gj1", "local");
        for (seen, failed) in [(false, false), (true, false), (false, false), (false, true)] {
            waiters.surveyed("other", |_, _| false);
            waiters.surveyed("local", |_, _| seen);
            assert_eq!(place.failure().is_some(), failed);
        }
        assert!(is_woken(&place).await);
    }

    #[tokio::test]
    async fn what_a_hypervisor_tells_wakes_its_guests_once() {
        let waiters = Waiters::default();
        let (one, other) = (waiters.enter("c1", "j1", "a", "local"), waiters.enter("c2", "j2", "b", "local"));
        waiters.told("local", Some("a"));
        assert!(is_woken(&one).await && !is_woken(&other).await);
        assert_eq!([one.take_told(), one.take_told(), other.take_told()], [true, false, false]);
        waiters.told("other", None);
        assert!(!one.take_told());
        waiters.told("local", None);
        assert!(one.take_told() && other.take_told() && is_woken(&other).await);
    }

    #[test]
    fn a_place_that_was_taken_again_is_not_given_back() {
        let waiters = Waiters::default();
        let first = waiters.enter("c1", "j1", "gj1", "local");
        let second = waiters.enter("c1", "j1", "gj1", "local");
        drop(first);
        assert_eq!(waiters.lock().len(), 1);
        drop(second);
        assert!(waiters.lock().is_empty());
    }
}

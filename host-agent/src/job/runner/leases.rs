//! Leases: held by one call for all, given back in batches.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use firstlight_shared::error::Chain;
use tokio::time::{Instant, timeout};

use super::lock;
use super::work::{Done, Work};
use crate::job::journal::{JournalError, Lease};

/// Before leases are given back again to a store that did not take them.
const AGAIN: Duration = Duration::from_secs(1);

impl Work {
    pub(super) fn start_renewal(&mut self, now: Instant) {
        if self.renewing || now < self.renew_at {
            return;
        }
        let lease = self.runner.config.lease;
        self.renew_at = now + lease / 3;
        let mut leases: Vec<Lease> =
            lock(&self.runner.driven).values().map(|cell| cell.lease.clone()).collect();
        leases.extend(self.aside.values().map(|aside| aside.lease.clone()));
        if leases.is_empty() {
            return;
        }
        self.renewing = true;
        let store = Arc::clone(&self.runner.hands.store);
        self.tasks.spawn(async move {
            // What is held counts from before the call.
            let asked = Instant::now();
            let lost = match timeout(lease / 4, store.renew(&leases, lease)).await {
                Ok(Ok(lost)) => Ok(lost),
                Ok(Err(error)) => Err(Chain(&error).to_string()),
                Err(_) => Err("the store does not answer".to_owned()),
            };
            Done::Renewed { asked, leases, lost }
        });
    }

    pub(super) fn renewed(&mut self, asked: Instant, leases: &[Lease], lost: Result<Vec<String>, String>) {
        self.renewing = false;
        let lease = self.runner.config.lease;
        let driven = lock(&self.runner.driven);
        match lost {
            Ok(lost) => {
                self.expires_at = None;
                let lost: HashSet<&str> = lost.iter().map(String::as_str).collect();
                for held in leases {
                    let Some(cell) = driven.get(&held.job).filter(|cell| cell.lease == *held) else {
                        continue;
                    };
                    if lost.contains(held.job.as_str()) {
                        cell.lose();
                    } else {
                        cell.hold_until(asked + lease);
                    }
                }
                self.aside.retain(|job, _| !lost.contains(job.as_str()));
            }
            Err(error) => {
                tracing::warn!(error, jobs = leases.len(), "the leases could not be renewed");
                self.renew_at = Instant::now() + lease / 12;
                self.expires_at = driven.values().map(|cell| cell.until()).min();
            }
        }
    }

    /// A lease that could not be renewed in time: the job may be in other hands soon, so nothing of it goes on.
    pub(super) fn expire(&mut self, now: Instant) {
        if self.expires_at.is_none_or(|expires| now < expires) {
            return;
        }
        let driven = lock(&self.runner.driven);
        driven.values().filter(|cell| cell.until() <= now).for_each(|cell| cell.lose());
        self.expires_at = driven.values().map(|cell| cell.until()).filter(|until| *until > now).min();
    }

    pub(super) fn start_release(&mut self, now: Instant) {
        if self.releasing || self.ended.is_empty() || now < self.release_at {
            return;
        }
        self.releasing = true;
        let leases = std::mem::take(&mut self.ended);
        let store = Arc::clone(&self.runner.hands.store);
        self.tasks.spawn(async move {
            let released = store.release(&leases).await;
            Done::Released { leases, released }
        });
    }

    pub(super) fn released(&mut self, leases: Vec<Lease>, released: Result<(), JournalError>) {
        self.releasing = false;
        self.wanted = true;
        if let Err(error) = released {
            tracing::warn!(error = %Chain(&error), jobs = leases.len(), "leases could not be given back yet");
            self.release_at = Instant::now() + AGAIN;
            self.ended.extend(leases);
        }
    }
}

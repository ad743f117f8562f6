//! Guests as they were seen a moment ago: the stages after a restore look at one and the same configuration.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The stages between a restore and a start take less where nothing is left to do.
const MOMENT: Duration = Duration::from_millis(500);

/// By VMID: when it was seen, for which job, and how.
#[derive(Debug)]
pub(in crate::backend::proxmox) struct Recent<T>(Mutex<HashMap<u32, (Instant, String, T)>>);

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> Recent<T> {
    pub(in crate::backend::proxmox) fn put(&self, vmid: u32, job: &str, seen: T) {
        let mut all = self.lock();
        all.retain(|_, (at, ..)| at.elapsed() < MOMENT);
        all.insert(vmid, (Instant::now(), job.to_owned(), seen));
    }

    pub(in crate::backend::proxmox) fn get(&self, vmid: u32, job: &str) -> Option<T> {
        let seen = self.lock();
        let (at, whose, seen) = seen.get(&vmid)?;
        (at.elapsed() < MOMENT && whose == job).then(|| seen.clone())
    }

    /// It is about to be changed.
    pub(in crate::backend::proxmox) fn forget(&self, vmid: u32) {
        self.lock().remove(&vmid);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u32, (Instant, String, T)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_look_counts_for_a_moment_for_its_job_until_something_changes() {
        let recent = Recent::default();
        recent.put(101, "j1", "ours");
        assert_eq!(recent.get(101, "j1"), Some("ours"));
        assert_eq!((recent.get(101, "j2"), recent.get(102, "j1")), (None, None));
        tokio::time::advance(MOMENT).await;
        assert_eq!(recent.get(101, "j1"), None);
        recent.put(101, "j1", "ours");
        recent.forget(101);
        assert_eq!(recent.get(101, "j1"), None);
    }
}

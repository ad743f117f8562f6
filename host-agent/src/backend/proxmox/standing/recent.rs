//! Guests as they were seen a moment ago: the stages after a restore look at one and the same configuration.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Ours;

/// The stages between a restore and a start take less where nothing is left to do.
const MOMENT: Duration = Duration::from_millis(500);

/// By VMID: when it was seen, for which job, and how.
#[derive(Debug, Default)]
pub(in crate::backend::proxmox) struct Recent(Mutex<HashMap<u32, (Instant, String, Ours)>>);

impl Recent {
    pub(in crate::backend::proxmox) fn put(&self, job: &str, ours: &Ours) {
        let mut seen = self.lock();
        seen.retain(|_, (at, ..)| at.elapsed() < MOMENT);
        seen.insert(ours.guest.vmid, (Instant::now(), job.to_owned(), ours.clone()));
    }

    pub(in crate::backend::proxmox) fn get(&self, vmid: u32, job: &str) -> Option<Ours> {
        let seen = self.lock();
        let (at, whose, ours) = seen.get(&vmid)?;
        (at.elapsed() < MOMENT && whose == job).then(|| ours.clone())
    }

    /// It is about to be changed.
    pub(in crate::backend::proxmox) fn forget(&self, vmid: u32) {
        self.lock().remove(&vmid);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u32, (Instant, String, Ours)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::proxmox::client::endpoint::config::GuestConfig;
    use crate::backend::proxmox::client::endpoint::guest::{Guest, Kind};

    #[tokio::test(start_paused = true)]
    async fn a_look_counts_for_a_moment_for_its_job_until_something_changes() {
        let recent = Recent::default();
        let guest = Guest { node: "pve1".to_owned(), kind: Kind::Lxc, vmid: 101 };
        let ours = Ours { guest, config: GuestConfig::default() };
        recent.put("j1", &ours);
        assert_eq!(recent.get(101, "j1"), Some(ours.clone()));
        assert_eq!((recent.get(101, "j2"), recent.get(102, "j1")), (None, None));
        tokio::time::advance(MOMENT).await;
        assert_eq!(recent.get(101, "j1"), None);
        recent.put("j1", &ours);
        recent.forget(101);
        assert_eq!(recent.get(101, "j1"), None);
    }
}

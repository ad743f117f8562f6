//! The VMID: the operator's, or the lowest free one of our range.

use std::collections::{BTreeSet, HashMap};
use std::ops::RangeInclusive;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::super::client::endpoint::cluster::NextId;
use crate::backend::{GuestPlan, Taken};
use crate::outcome::Fault;

/// How long a VMID counts as taken that the cluster said to be.
const HOLD: Duration = Duration::from_secs(60);
/// After this many that turned out to be taken, the cluster is asked for one.
const PROBES: usize = 8;
/// How many are asked about before we give up for now.
const MOST: usize = 400;

/// VMIDs of guests that the token does not see, and when we learned of them.
#[derive(Debug, Default)]
pub(in super::super) struct Occupied(Mutex<HashMap<u32, Instant>>);

impl Occupied {
    async fn known(&self) -> Vec<u32> {
        let mut held = self.0.lock().await;
        held.retain(|_, since| since.elapsed() < HOLD);
        held.keys().copied().collect()
    }

    async fn add(&self, vmid: u32) {
        self.0.lock().await.insert(vmid, Instant::now());
    }
}

/// The lowest of the range, from `start` on, that nobody is known to have.
fn lowest(range: &RangeInclusive<u32>, start: u32, used: &BTreeSet<u32>) -> Option<u32> {
    (start.max(*range.start())..=*range.end()).find(|vmid| !used.contains(vmid))
}

impl super::super::Proxmox {
    pub(super) async fn choose_vmid(&self, plan: &GuestPlan, taken: &Taken) -> Result<u32, Fault> {
        let reserved: BTreeSet<u32> = taken.ids.iter().filter_map(|id| id.parse().ok()).collect();
        if let Some(vmid) = plan.place.vmid {
            return match reserved.contains(&vmid) || !self.is_free(vmid).await? {
                true => Err(taken_vmid(vmid)),
                false => Ok(vmid),
            };
        }
        let range = &self.defaults.vmids;
        let mut used = reserved.clone();
        used.extend(self.listed_guests().await?.iter().map(|guest| guest.vmid));
        used.extend(self.cluster.occupied.known().await);
        let mut start = *range.start();
        for probe in 1..=MOST {
            let Some(vmid) = lowest(range, start, &used) else { break };
            if self.is_free(vmid).await? {
                return Ok(vmid);
            }
            self.cluster.occupied.add(vmid).await;
            used.insert(vmid);
            if probe % PROBES == 0 {
                // All below it are taken. Without an answer (its own range may be full) it goes on one by one.
                let free = self.client.send(&NextId { vmid: None }).await;
                start = free.ok().filter(|free| range.contains(free)).unwrap_or(start).max(start);
            }
        }
        Err(none_free(range))
    }
}

pub(in super::super) fn taken_vmid(vmid: u32) -> Fault {
    Fault::new("vmid-taken", format!("vmid: another guest has {vmid} already"))
        .with_hint("choose another one, or none: then the next free one is taken")
}

fn none_free(range: &RangeInclusive<u32>) -> Fault {
    Fault::new("no-free-vmid", format!("no VMID from {} to {} was found free", range.start(), range.end()))
        .with_hint("destroy guests that are not needed, or widen the backend's range of VMIDs")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_that_nobody_has() {
        let used = BTreeSet::from([100, 101, 103, 105]);
        for (range, start, expected) in [
            (100..=199, 0, Some(102)),
            (100..=199, 103, Some(104)),
            (100..=199, 105, Some(106)),
            (103..=103, 0, None),
            (100..=101, 0, None),
            (104..=104, 0, Some(104)),
            (100..=102, 103, None),
        ] {
            assert_eq!(lowest(&range, start, &used), expected, "{range:?} from {start}");
        }
    }
}

//! Slows those down who fail to say who they are: the longer, the oftener an address fails.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

const FIRST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(5);
/// An address that behaved for so long starts anew.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);
/// Addresses remembered at once; beyond it the one that failed longest ago is forgotten.
const REMEMBERED: usize = 4096;

/// Failures by address.
#[derive(Debug, Default)]
pub(super) struct Failures(Mutex<HashMap<IpAddr, (u32, Instant)>>);

impl Failures {
    /// Counts a failure; answers how long the answer shall wait.
    pub(super) fn failed(&self, address: IpAddr, now: Instant) -> Duration {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED && !known.contains_key(&address) {
            let oldest = known.iter().min_by_key(|(_, (_, last))| *last).map(|(address, _)| *address);
            oldest.and_then(|oldest| known.remove(&oldest));
        }
        let (count, last) = known.entry(address).or_insert((0, now));
        *count = if now.duration_since(*last) > FORGOTTEN_AFTER { 1 } else { count.saturating_add(1) };
        *last = now;
        FIRST.saturating_mul(1 << (*count - 1).min(10)).min(LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_failure_doubles_the_wait_until_the_address_behaved_for_a_while() {
        let (failures, one, other) =
            (Failures::default(), IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let waits = |address| {
            let wait = failures.failed(address, Instant::now());
            wait.as_millis()
        };
        assert_eq!([waits(one), waits(one), waits(one), waits(other)], [200, 400, 800, 200]);
        assert_eq!((0..40).map(|_| waits(one)).max(), Some(5000));
        tokio::time::advance(FORGOTTEN_AFTER + Duration::from_secs(1)).await;
        assert_eq!(waits(one), 200);
    }

    #[tokio::test(start_paused = true)]
    async fn a_whole_network_that_fails_takes_little_memory() {
        let failures = Failures::default();
        for number in 0..20_000_u32 {
            failures.failed(IpAddr::from(number.to_be_bytes()), Instant::now());
        }
        assert_eq!(failures.0.lock().unwrap().len(), REMEMBERED);
    }
}

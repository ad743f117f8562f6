//! Shares of connections: nobody takes the places of the others. And the log of those who are turned away.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How many connections each source has: an address, a network, or a user.
#[derive(Debug, Clone)]
pub(super) struct Sources<K: Eq + Hash> {
    of_one: usize,
    counts: Arc<Mutex<HashMap<K, usize>>>,
}

impl<K: Eq + Hash + Copy> Sources<K> {
    /// Each may have so many.
    pub(super) fn new(of_one: usize) -> Self {
        Self { of_one, counts: Arc::default() }
    }

    /// None: the source has its share, and the new connection is closed at once.
    pub(super) fn take(&self, source: K) -> Option<Seat<K>> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(source).or_default();
        if *count >= self.of_one {
            return None;
        }
        *count += 1;
        Some(Seat { counts: Arc::clone(&self.counts), source })
    }
}

/// One connection's place in its source's share, given back when it ends.
#[derive(Debug)]
pub(super) struct Seat<K: Eq + Hash> {
    counts: Arc<Mutex<HashMap<K, usize>>>,
    source: K,
}

impl<K: Eq + Hash> Drop for Seat<K> {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.source) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.source);
            }
        }
    }
}

/// What one host can have of addresses: the address, or the /64 of IPv6.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        old => old,
    }
}

/// How often the log may repeat itself.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// Keeps whoever is turned away again and again from filling the log.
#[derive(Debug, Default)]
pub(super) struct Seldom(Mutex<(Option<Instant>, u64)>);

impl Seldom {
    /// Counts; answers how often it happened since it was told last, if it shall be told now.
    pub(super) fn tell(&self, now: Instant) -> Option<u64> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.1 += 1;
        if known.0.is_some_and(|last| now.duration_since(last) < TELL_EVERY) {
            return None;
        }
        known.0 = Some(now);
        Some(std::mem::take(&mut known.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_share_and_no_more() {
        let (sources, one, other) =
            (Sources::new(8), IpAddr::from([10, 77, 0, 10]), IpAddr::from([10, 77, 0, 11]));
        let mut seats: Vec<Seat<IpAddr>> = (0..8).filter_map(|_| sources.take(one)).collect();
        assert_eq!(seats.len(), 8);
        assert!(sources.take(one).is_none() && sources.take(other).is_some());
        seats.pop();
        assert!(sources.take(one).is_some());
        drop(seats);
        assert!(sources.counts.lock().unwrap().is_empty());
    }

    #[test]
    fn a_host_has_one_network() {
        for (address, expected) in [
            ("192.0.2.7", "192.0.2.7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ] {
            assert_eq!(network(address.parse().unwrap()), expected.parse::<IpAddr>().unwrap(), "{address}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_repeats_itself_is_told_seldom_and_counted() {
        let seldom = Seldom::default();
        assert_eq!(seldom.tell(Instant::now()), Some(1));
        assert_eq!((0..5).filter_map(|_| seldom.tell(Instant::now())).count(), 0);
        tokio::time::advance(TELL_EVERY).await;
        assert_eq!(seldom.tell(Instant::now()), Some(6));
    }
}

//! Shares of connections: no address takes the places of the others.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// How many connections each address has.
#[derive(Debug, Clone)]
pub(super) struct Sources {
    of_one: usize,
    counts: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Sources {
    /// Each address may have so many.
    pub(super) fn new(of_one: usize) -> Self {
        Self { of_one, counts: Arc::default() }
    }

    /// None: the address has its share, and the new connection is closed at once.
    pub(super) fn take(&self, address: IpAddr) -> Option<Seat> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_default();
        if *count >= self.of_one {
            return None;
        }
        *count += 1;
        Some(Seat { sources: self.clone(), address })
    }
}

/// One connection's place in its address's share, given back when it ends.
pub(super) struct Seat {
    sources: Sources,
    address: IpAddr,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut counts = self.sources.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_share_and_no_more() {
        let (sources, one, other) =
            (Sources::new(8), IpAddr::from([10, 77, 0, 10]), IpAddr::from([10, 77, 0, 11]));
        let mut seats: Vec<Seat> = (0..8).filter_map(|_| sources.take(one)).collect();
        assert_eq!(seats.len(), 8);
        assert!(sources.take(one).is_none() && sources.take(other).is_some());
        seats.pop();
        assert!(sources.take(one).is_some());
        drop(seats);
        assert!(sources.counts.lock().unwrap().is_empty());
    }
}

//! Who may stay at the report listener when more come than it has places. Anybody may connect, with many addresses if the
//! network lets it, and say nothing: whoever comes first must not keep out whoever comes later.
//!
//! While places are free each address has its share, and each /64 of IPv6 half of all places, or that share. When all are taken, a newcomer
//! takes the place of the oldest connection of whoever has most, if that one still has as much as the newcomer then. Else it
//! is the place of whoever has had one for so long that an honest guest would be gone, or the newcomer waits.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::share::network;

/// Connections at once.
const PLACES: usize = 256;
/// A guest has shaken hands and sent its report by then, over a slow line too.
const GRACE: Duration = Duration::from_secs(2);

/// The connections of one listener. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct Crowd {
    of_address: usize,
    table: Arc<Mutex<Table>>,
    /// A place was given back, or somebody turned to go.
    moved: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    /// By number: older ones have lower ones.
    held: HashMap<u64, Held>,
}

#[derive(Debug)]
struct Held {
    address: IpAddr,
    since: Instant,
    /// Its report is being stored: that ends soon, and is not broken off.
    at_work: bool,
    /// Told to go, and not gone yet.
    leaves: bool,
    leave: Arc<Notify>,
}

/// Why a newcomer is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Closed {
    /// It has its share already.
    Share,
    /// All places are taken, and nobody has more than it has.
    Full,
}

/// What becomes of a newcomer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    Free,
    /// In the place of this one.
    Instead(u64),
    Closed(Closed),
    /// Until a place is given back, and no longer than until then.
    Wait(Option<Instant>),
}

impl Crowd {
    /// Each address may have so many connections.
    pub(super) fn new(of_address: usize) -> Self {
        Self { of_address, table: Arc::default(), moved: Arc::default() }
    }

    /// A place for a connection from there; whoever has to go for it is told so.
    ///
    /// # Errors
    /// It is to be closed.
    pub(super) async fn enter(&self, address: IpAddr) -> Result<Place, Closed> {
        let address = address.to_canonical();
        loop {
            let moved = self.moved.notified();
            let wait_until = {
                let mut table = self.lock();
                match table.judge(address, self.of_address, Instant::now()) {
                    Entry::Free => return Ok(self.give(&mut table, address)),
                    Entry::Instead(number) => {
                        if let Some(held) = table.held.get_mut(&number) {
                            held.leaves = true;
                            held.leave.notify_one();
                        }
                        return Ok(self.give(&mut table, address));
                    }
                    Entry::Closed(why) => return Err(why),
                    Entry::Wait(until) => until,
                }
            };
            match wait_until {
                Some(until) => {
                    tokio::select! { () = moved => {}, () = tokio::time::sleep_until(until) => {} }
                }
                None => moved.await,
            }
        }
    }

    fn give(&self, table: &mut Table, address: IpAddr) -> Place {
        let number = table.next;
        table.next += 1;
        let leave = Arc::new(Notify::new());
        let held =
            Held { address, since: Instant::now(), at_work: false, leaves: false, leave: Arc::clone(&leave) };
        table.held.insert(number, held);
        Place(Arc::new(Seat { crowd: self.clone(), number, leave }))
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn judge(&self, address: IpAddr, of_address: usize, now: Instant) -> Entry {
        let (mut by_address, mut by_network) = (HashMap::new(), HashMap::new());
        let staying = || self.held.iter().filter(|(_, held)| !held.leaves);
        for (_, held) in staying() {
            *by_address.entry(held.address).or_insert(0_usize) += 1;
            *by_network.entry(network(held.address)).or_insert(0_usize) += 1;
        }
        let of = |address: &IpAddr| {
            let of_network = by_network.get(&network(*address)).copied().unwrap_or(0);
            (of_network, by_address.get(address).copied().unwrap_or(0))
        };
        let mine = of(&address);
        // One address may have all places where all guests are behind a balancer: then they wait for each other.
        let is_everybody = of_address >= PLACES;
        let of_network = of_address.max(PLACES / 2);
        let has_share = mine.1 >= of_address || (address.is_ipv6() && mine.0 >= of_network);
        if has_share && !is_everybody {
            return Entry::Closed(Closed::Share);
        }
        // Those who were told to go are not gone yet.
        if self.held.len() >= 2 * PLACES {
            return Entry::Wait(None);
        }
        if staying().count() < PLACES {
            return Entry::Free;
        }
        let idle = || staying().filter(|(_, held)| !held.at_work);
        let greedy = idle().max_by_key(|(number, held)| (of(&held.address), std::cmp::Reverse(**number)));
        if let Some((number, held)) = greedy {
            // Afterwards it has no less than the newcomer.
            let theirs = of(&held.address);
            let is_neighbour = network(held.address) == network(address);
            if theirs.0 > mine.0 + 1 || (is_neighbour && theirs.1 > mine.1 + 1) {
                return Entry::Instead(*number);
            }
        }
        if mine.1 > 0 && !is_everybody {
            return Entry::Closed(Closed::Full);
        }
        match idle().min_by_key(|(number, _)| **number) {
            Some((number, held)) if held.since + GRACE <= now => Entry::Instead(*number),
            Some((_, held)) => Entry::Wait(Some(held.since + GRACE)),
            None => Entry::Wait(None),
        }
    }
}

/// One connection's place, given back when the last of its clones is dropped.
#[derive(Debug, Clone)]
pub(super) struct Place(Arc<Seat>);

#[derive(Debug)]
struct Seat {
    crowd: Crowd,
    number: u64,
    leave: Arc<Notify>,
}

impl Place {
    /// Somebody else has its place: the connection shall end.
    pub(super) async fn told_to_leave(&self) {
        self.0.leave.notified().await;
    }

    /// Whether a report of this connection is being stored now.
    pub(super) fn work(&self, at_work: bool) {
        if let Some(held) = self.0.crowd.lock().held.get_mut(&self.0.number) {
            held.at_work = at_work;
        }
        if !at_work {
            self.0.crowd.moved.notify_one();
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.crowd.lock().held.remove(&self.number);
        self.crowd.moved.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(number: u32) -> IpAddr {
        IpAddr::from((0x0a4d_0000 + number).to_be_bytes())
    }

    fn in_network(network: u16, number: u16) -> IpAddr {
        IpAddr::from([0x2001, 0xdb8, 0, network, 0, 0, 0, number])
    }

    /// None: it waits.
    async fn come(crowd: &Crowd, address: IpAddr) -> Option<Result<Place, Closed>> {
        tokio::time::timeout(Duration::from_millis(1), crowd.enter(address)).await.ok()
    }

    async fn is_told(place: &Place) -> bool {
        tokio::time::timeout(Duration::from_millis(1), place.told_to_leave()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_has_its_share_and_gives_it_back() {
        let crowd = Crowd::new(8);
        let mut eight = Vec::new();
        for _ in 0..8 {
            eight.push(come(&crowd, at(1)).await.unwrap().unwrap());
        }
        assert_eq!(come(&crowd, at(1)).await.unwrap().unwrap_err(), Closed::Share);
        let mapped = "::ffff:10.77.0.1".parse().unwrap();
        assert_eq!(
            come(&crowd, mapped).await.unwrap().unwrap_err(),
            Closed::Share,
            "the same in another form"
        );
        assert!(come(&crowd, at(2)).await.unwrap().is_ok());
        eight.pop();
        assert!(come(&crowd, at(1)).await.unwrap().is_ok());
        drop(eight);
        assert!(crowd.lock().held.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_more_makes_room_for_who_has_less() {
        let crowd = Crowd::new(8);
        let mut held = Vec::new();
        for number in 0..32 {
            for _ in 0..8 {
                held.push(come(&crowd, at(number)).await.unwrap().unwrap());
            }
        }
        let guest = come(&crowd, at(1000)).await.unwrap().expect("a guest comes in at once");
        assert!(is_told(&held[0]).await && !is_told(&held[1]).await, "the oldest goes");
        // Another one of the same that fill it takes nobody's place but its own kind's, and never the guest's.
        for number in 32..200 {
            let more = come(&crowd, at(number)).await.unwrap();
            held.extend(more);
        }
        assert!(!is_told(&guest).await);
        assert_eq!(crowd.lock().held.values().filter(|held| !held.leaves).count(), PLACES);
    }

    #[tokio::test(start_paused = true)]
    async fn many_honest_guests_at_once_wait_and_break_nobody_off() {
        let crowd = Crowd::new(8);
        let mut held = Vec::new();
        for number in 0..256 {
            held.push(come(&crowd, at(number)).await.unwrap().unwrap());
        }
        assert!(come(&crowd, at(1000)).await.is_none(), "nobody has more than one");
        assert_eq!(
            come(&crowd, at(7)).await.unwrap().unwrap_err(),
            Closed::Full,
            "a second one does not wait"
        );
        held.pop();
        held.push(come(&crowd, at(1000)).await.unwrap().unwrap());
        for place in &held {
            assert!(!is_told(place).await);
        }
        // Who came to stay loses its place after a while, the oldest first; who is at work does not.
        held[0].work(true);
        tokio::time::advance(GRACE).await;
        assert!(come(&crowd, at(1001)).await.unwrap().is_ok());
        assert!(!is_told(&held[0]).await && is_told(&held[1]).await);
    }

    #[tokio::test(start_paused = true)]
    async fn who_may_have_all_places_waits_for_one() {
        let crowd = Crowd::new(PLACES);
        for balancer in [at(1), in_network(1, 1)] {
            let mut held = Vec::new();
            for _ in 0..PLACES {
                held.push(come(&crowd, balancer).await.unwrap().unwrap());
            }
            assert!(come(&crowd, balancer).await.is_none());
            held.pop();
            held.push(come(&crowd, balancer).await.unwrap().unwrap());
            assert!(!is_told(&held[0]).await);
            // Somebody else does not.
            assert!(come(&crowd, at(2)).await.unwrap().is_ok() && is_told(&held[0]).await);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_network_of_ipv6_has_half_and_makes_room_for_others() {
        let crowd = Crowd::new(8);
        let mut held = Vec::new();
        for number in 0..200 {
            if let Ok(place) = come(&crowd, in_network(1, number)).await.unwrap() {
                held.push(place);
            }
        }
        assert_eq!(held.len(), PLACES / 2);
        for number in 0..128 {
            held.push(come(&crowd, in_network(2, number)).await.unwrap().unwrap());
        }
        let other = come(&crowd, in_network(3, 1)).await.unwrap();
        assert!(other.is_ok() && is_told(&held[0]).await);
    }
}

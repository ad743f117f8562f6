//! The places of the API's listeners: who has proved nothing takes none of those who have.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::share::{Seat, Seldom, Sources, network};

/// Of obeyed users on the control socket; of one of them.
const USERS: (usize, usize) = (192, 64);
/// Kept for root and the companion's own user, who may have the others' too.
const OWN: usize = 64;
/// Of users who are not obeyed, for one answer each; of one of them.
const STRANGERS: (usize, usize) = (16, 2);
/// Users whose groups are being looked up; nobody can make it last.
const LOOK_UPS: usize = 128;
/// Over TLS, of those who proved nothing yet; of one network.
const UNPROVEN: (usize, usize) = (128, 16);
/// Over TLS, of those with a token or certificate that is known; of one network.
const PROVEN: (usize, usize) = (128, 32);
/// Over TLS, of pages that are kept up to date; of one network. Apart from the others: they last, and do nothing else.
const STREAMS: (usize, usize) = (256, 224);
/// How long an obeyed user waits for a place.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a connection holds as long as it lasts.
#[derive(Debug)]
pub(super) struct Place {
    _place: OwnedSemaphorePermit,
    _user: Option<Seat<u32>>,
    _network: Option<Seat<IpAddr>>,
}

impl Place {
    fn of_user(place: OwnedSemaphorePermit, user: Option<Seat<u32>>) -> Self {
        Self { _place: place, _user: user, _network: None }
    }
}

/// How a user of this machine stands with the companion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Root, and the companion's own.
    Own,
    Obeyed,
    Stranger,
}

/// The places of the control socket. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct LocalPlaces {
    own: Arc<Semaphore>,
    users: Arc<Semaphore>,
    of_user: Sources<u32>,
    strangers: Arc<Semaphore>,
    of_stranger: Sources<u32>,
    look_ups: Arc<Semaphore>,
    of_look_up: Sources<u32>,
    closed: Arc<Seldom>,
}

impl LocalPlaces {
    pub(super) fn new() -> Self {
        let places = |count| Arc::new(Semaphore::new(count));
        Self {
            own: places(OWN),
            users: places(USERS.0),
            of_user: Sources::new(USERS.1),
            strangers: places(STRANGERS.0),
            of_stranger: Sources::new(STRANGERS.1),
            look_ups: places(LOOK_UPS),
            of_look_up: Sources::new(USERS.1),
            closed: Arc::default(),
        }
    }

    /// To find out how a user stands. None: too many are being looked up.
    pub(super) fn look_up(&self, uid: u32) -> Option<Place> {
        let place = Arc::clone(&self.look_ups).try_acquire_owned().ok()?;
        Some(Place::of_user(place, Some(self.of_look_up.take(uid)?)))
    }

    /// None: the connection is to be closed.
    pub(super) async fn take(&self, uid: u32, standing: Standing) -> Option<Place> {
        let wait =
            |places: &Arc<Semaphore>| tokio::time::timeout(PATIENCE, Arc::clone(places).acquire_owned());
        match standing {
            Standing::Own => {
                let place = match Arc::clone(&self.users).try_acquire_owned() {
                    Ok(place) => place,
                    Err(_) => wait(&self.own).await.ok()?.ok()?,
                };
                Some(Place::of_user(place, None))
            }
            Standing::Obeyed => {
                let user = self.of_user.take(uid)?;
                Some(Place::of_user(wait(&self.users).await.ok()?.ok()?, Some(user)))
            }
            Standing::Stranger => {
                let user = self.of_stranger.take(uid)?;
                let place = Arc::clone(&self.strangers).try_acquire_owned().ok()?;
                Some(Place::of_user(place, Some(user)))
            }
        }
    }

    pub(super) fn tell_closed(&self, uid: u32) {
        if let Some(times) = self.closed.tell(Instant::now()) {
            tracing::warn!(uid, times, "connections to the control socket closed: this user has its share");
        }
    }
}

/// The places of the API over TLS. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct RemotePlaces {
    unproven: Arc<Semaphore>,
    of_unproven: Sources<IpAddr>,
    proven: Arc<Semaphore>,
    of_proven: Sources<IpAddr>,
    streams: Arc<Semaphore>,
    of_streams: Sources<IpAddr>,
    closed: Arc<Seldom>,
}

impl RemotePlaces {
    pub(super) fn new() -> Self {
        Self {
            unproven: Arc::new(Semaphore::new(UNPROVEN.0)),
            of_unproven: Sources::new(UNPROVEN.1),
            proven: Arc::new(Semaphore::new(PROVEN.0)),
            of_proven: Sources::new(PROVEN.1),
            streams: Arc::new(Semaphore::new(STREAMS.0)),
            of_streams: Sources::new(STREAMS.1),
            closed: Arc::default(),
        }
    }

    /// Waits for one for whoever comes next; those who hold one cannot hold it long.
    pub(super) async fn next(&self) -> std::io::Result<OwnedSemaphorePermit> {
        Arc::clone(&self.unproven).acquire_owned().await.map_err(std::io::Error::other)
    }

    /// None: its network has its share, and the connection is to be closed.
    pub(super) fn enter(&self, address: IpAddr, place: OwnedSemaphorePermit) -> Option<Standpoint> {
        let network = network(address);
        let Some(seat) = self.of_unproven.take(network) else {
            self.tell_closed(address);
            return None;
        };
        let place = Place { _place: place, _user: None, _network: Some(seat) };
        Some(Standpoint {
            places: self.clone(),
            address,
            held: Arc::new(Mutex::new(Held { _place: place, is_proven: false })),
        })
    }

    /// One of these, within the share of its network.
    fn place(&self, places: &Arc<Semaphore>, of_one: &Sources<IpAddr>, address: IpAddr) -> Option<Place> {
        let place = Arc::clone(places).try_acquire_owned().ok();
        let seat = of_one.take(network(address));
        let (Some(place), Some(seat)) = (place, seat) else {
            self.tell_closed(address);
            return None;
        };
        Some(Place { _place: place, _user: None, _network: Some(seat) })
    }

    fn tell_closed(&self, address: IpAddr) {
        if let Some(times) = self.closed.tell(Instant::now()) {
            tracing::warn!(%address, times, "API connections closed: this network has its share");
        }
    }
}

#[derive(Debug)]
struct Held {
    _place: Place,
    is_proven: bool,
}

/// Where one TLS connection stands. Clones are of the same connection.
#[derive(Debug, Clone)]
pub(super) struct Standpoint {
    places: RemotePlaces,
    address: IpAddr,
    held: Arc<Mutex<Held>>,
}

impl Standpoint {
    /// Who it is has been proved: from now on it has one of the places of those. False: none is free, and the
    /// connection shall end with this answer.
    pub(super) fn prove(&self) -> bool {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.is_proven {
            return true;
        }
        let place = self.places.place(&self.places.proven, &self.places.of_proven, self.address);
        let Some(place) = place else { return false };
        *held = Held { _place: place, is_proven: true };
        true
    }

    /// From now on it is one of those that only listen, and takes none of the others' places. False: none is free.
    pub(super) fn stream(&self) -> bool {
        let place = self.places.place(&self.places.streams, &self.places.of_streams, self.address);
        let Some(place) = place else { return false };
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        *held = Held { _place: place, is_proven: true };
        true
    }

    pub(super) fn is_proven(&self) -> bool {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).is_proven
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn strangers_take_no_place_of_those_who_are_obeyed() {
        let places = LocalPlaces::new();
        let mut held = Vec::new();
        for uid in 1000..2000 {
            for _ in 0..5 {
                held.extend(places.take(uid, Standing::Stranger).await);
            }
        }
        assert_eq!(held.len(), STRANGERS.0);
        for _ in 0..100 {
            held.extend(places.take(7, Standing::Obeyed).await);
        }
        assert_eq!(held.len(), STRANGERS.0 + USERS.1, "one user has its share and no more");
        for uid in 8..12 {
            for _ in 0..USERS.1 {
                held.extend(places.take(uid, Standing::Obeyed).await);
            }
        }
        assert_eq!(held.len(), STRANGERS.0 + USERS.0);
        for _ in 0..OWN {
            held.push(places.take(0, Standing::Own).await.unwrap());
        }
        assert!(places.take(0, Standing::Own).await.is_none());
        drop(held);
        assert!(places.take(7, Standing::Obeyed).await.is_some(), "places are given back");
    }

    #[tokio::test]
    async fn who_proved_nothing_takes_no_place_of_those_who_did() {
        let places = RemotePlaces::new();
        let in_one_network = |last: u16| IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, last]);
        let mut held = Vec::new();
        for last in 0..40 {
            let place = places.next().await.unwrap();
            held.extend(places.enter(in_one_network(last), place));
        }
        assert_eq!(held.len(), UNPROVEN.1, "a /64 counts as one");
        let other = IpAddr::from([192, 0, 2, 1]);
        let known = places.enter(other, places.next().await.unwrap()).unwrap();
        let left = places.unproven.available_permits();
        assert!(!known.is_proven() && known.prove() && known.is_proven() && known.prove());
        assert_eq!(places.unproven.available_permits(), left + 1, "its first place is free again");
        for _ in 1..PROVEN.1 {
            let one = places.enter(other, places.next().await.unwrap()).unwrap();
            assert!(one.prove());
            held.push(one);
        }
        assert!(!places.enter(other, places.next().await.unwrap()).unwrap().prove());
    }

    #[tokio::test]
    async fn two_hundred_pages_of_one_network_may_listen_and_take_nobody_elses_place() {
        let places = RemotePlaces::new();
        let one = IpAddr::from([192, 0, 2, 1]);
        let mut held = Vec::new();
        for _ in 0..STREAMS.1 {
            let page = places.enter(one, places.next().await.unwrap()).unwrap();
            assert!(page.prove() && page.stream());
            held.push(page);
        }
        let more = places.enter(one, places.next().await.unwrap()).unwrap();
        assert!(!more.stream() && more.prove(), "it may still ask");
        assert_eq!(places.proven.available_permits(), PROVEN.0 - 1);
        assert!(places.enter([192, 0, 2, 2].into(), places.next().await.unwrap()).unwrap().stream());
        drop(held);
        assert!(more.stream());
    }
}

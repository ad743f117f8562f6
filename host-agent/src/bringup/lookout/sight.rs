//! What looks have shown of one guest.

use std::net::IpAddr;

use firstlight_shared::beacon::{BeaconError, Seen, State, decode, is_piece};
use tokio::time::Instant;

use super::schedule::Stage;
use crate::backend::Look;
use crate::outcome::Fault;

/// The newest state of it; changes with every look.
#[derive(Debug, Clone, Default)]
pub(in crate::bringup) struct Sight {
    /// When the last look that was answered was begun.
    pub(in crate::bringup) looked: Option<Instant>,
    /// The beacon that stands.
    pub(in crate::bringup) seen: Option<Seen>,
    /// Its addresses.
    pub(in crate::bringup) pieces: Vec<IpAddr>,
    /// Since when it has been seen in this state and with this report.
    pub(in crate::bringup) since: Option<Instant>,
    /// Why what stands cannot be read.
    pub(in crate::bringup) unreadable: Option<BeaconError>,
    /// The guest's other addresses.
    pub(in crate::bringup) addresses: Vec<IpAddr>,
    /// The last look failed.
    pub(in crate::bringup) fault: Option<Fault>,
}

impl Sight {
    /// Takes in a look that was begun at `began` and answered at `now`; answers how far the guest has come.
    pub(super) fn take(&mut self, look: Result<Look, Fault>, began: Instant, now: Instant) -> Stage {
        let look = match look {
            Ok(look) => look,
            Err(fault) => {
                self.fault = Some(fault);
                return self.stage();
            }
        };
        (self.looked, self.fault) = (Some(began), None);
        let (pieces, others) = look.addresses.into_iter().partition(|address| is_piece(*address));
        self.addresses = others;
        let read = if look.running { decode(&pieces) } else { Ok(None) };
        match read {
            Ok(seen) => {
                let same = |old: &Seen, new: &Seen| {
                    old.state() == new.state() && old.report_sha256() == new.report_sha256()
                };
                let stays = self.seen.as_ref().zip(seen.as_ref()).is_some_and(|(old, new)| same(old, new));
                self.since = if stays { self.since } else { seen.is_some().then_some(now) };
                (self.seen, self.pieces, self.unreadable) = (seen, pieces, None);
            }
            // What stood before counts until a whole one stands again.
            Err(error) => self.unreadable = Some(error),
        }
        self.stage()
    }

    fn stage(&self) -> Stage {
        match &self.seen {
            _ if self.is_torn() => Stage::Torn,
            None => Stage::Unseen,
            Some(seen) if seen.state() == State::IdentityDone => Stage::Alive,
            Some(_) => Stage::Told,
        }
    }

    fn is_torn(&self) -> bool {
        let lasts = [&BeaconError::Version { found: 0 }, &BeaconError::Content { generation: 0 }];
        let kind = std::mem::discriminant::<BeaconError>;
        self.unreadable.as_ref().is_some_and(|error| !lasts.map(kind).contains(&kind(error)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use firstlight_shared::beacon::{Beacon, Form, Reason, encode};

    use super::*;

    fn look(states: &[(State, u8)], more: &[&str]) -> Result<Look, Fault> {
        let beacon = |state| Beacon { state, reason: Reason::None, report: None, key: None };
        let pieces = states.iter().flat_map(|(state, number)| encode(&beacon(*state), Form::Ipv6, *number));
        let others = more.iter().map(|address| address.parse().unwrap());
        Ok(Look { running: true, addresses: pieces.chain(others).collect() })
    }

    #[tokio::test(start_paused = true)]
    async fn a_state_counts_from_when_it_was_first_seen() {
        let mut sight = Sight::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let table = [
            (look(&[], &["10.0.0.9"]), Stage::Unseen, None),
            (look(&[(State::IdentityDone, 1)], &[]), Stage::Alive, Some(2)),
            (look(&[(State::IdentityDone, 1), (State::Ready, 2)], &[]), Stage::Told, Some(3)),
            (look(&[(State::Ready, 3)], &[]), Stage::Told, Some(3)),
            (Err(Fault::new("x", "y")), Stage::Told, Some(3)),
            (look(&[(State::Degraded, 4)], &[]), Stage::Told, Some(6)),
            (Ok(Look { running: false, addresses: vec![] }), Stage::Unseen, None),
        ];
        for (now, (look, stage, since)) in (1..).zip(table) {
            assert_eq!((sight.take(look, at(now), at(now)), sight.since), (stage, since.map(at)), "{now}");
        }
        assert_eq!(sight.looked, Some(at(7)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_torn_beacon_changes_nothing() {
        let mut sight = Sight::default();
        let now = Instant::now();
        sight.take(look(&[(State::IdentityDone, 1)], &[]), now, now);
        let mut torn = look(&[(State::Ready, 2)], &["fd00::1"]).unwrap();
        torn.addresses.remove(0);
        assert_eq!(sight.take(Ok(torn), now, now), Stage::Torn);
        assert_eq!(sight.seen.as_ref().map(Seen::state), Some(State::IdentityDone));
        assert_eq!(sight.addresses, ["fd00::1".parse::<IpAddr>().unwrap()]);
    }
}

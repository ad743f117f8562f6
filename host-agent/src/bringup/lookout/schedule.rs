//! Which guest of one node is looked at next, and when. Pure: it knows no clock and no hypervisor.
//!
//! | what is known of the guest | looks |
//! |---|---|
//! | it cannot have a beacon yet | none |
//! | earlier guests of its golden took longer | every 2 s, until shortly before they had theirs |
//! | it may have one any moment | every 300 ms |
//! | alive, and not ready yet | every 400 ms, 1.2 s among several; every 2 s while earlier ones took longer |
//! | not ready yet, and its hypervisor tells when it is | not twice within the budget's `calm` |
//! | ready or degraded: its report is waited for | every second |
//! | its report came, and waits for the beacon that names it | at once, not twice within 150 ms |
//! | a look failed | after 0.5 s, doubling up to 5 s |
//!
//! A node takes so many looks per second and no more, whatever the number of guests: then the one goes first that has
//! waited longest, measured by how often it is to be looked at. A guest never has two looks at once.

use std::time::Duration;

use tokio::time::Instant;

const BRISK: Duration = Duration::from_millis(300);
const ALIVE: Duration = Duration::from_millis(400);
const ALIVE_AMONG_OTHERS: Duration = Duration::from_millis(1200);
const TOLD: Duration = Duration::from_secs(1);
const TORN: Duration = Duration::from_millis(150);
const RARE: Duration = Duration::from_secs(2);
const FIRST_FAILURE: Duration = Duration::from_millis(500);
const LAST_FAILURE: Duration = Duration::from_secs(5);
/// More guests than this on one node are several: each of them cannot have all the looks that it would.
const ALONE: usize = 2;
/// Looks under way at once on one node: a node that is slow to answer is not asked more and more.
const AT_ONCE: usize = 2;

/// How far a guest has come, as far as looks have shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Stage {
    /// No beacon was seen.
    #[default]
    Unseen,
    /// Pieces of one: it is just being raised.
    Torn,
    /// It has its identity.
    Alive,
    /// It is ready or degraded, or failed.
    Told,
}

/// One guest that waits.
#[derive(Debug, Clone)]
pub(super) struct Guest {
    /// Not before that.
    pub(super) from: Instant,
    /// When its beacon may first appear, if earlier guests have shown that.
    pub(super) alive_from: Option<Instant>,
    /// When it may be ready.
    pub(super) told_from: Option<Instant>,
    pub(super) stage: Stage,
    /// At least so long between two looks at one that is not ready yet.
    pub(super) calm: Duration,
    /// Begin of the last look.
    pub(super) last: Option<Instant>,
    /// Looks in a row that failed.
    pub(super) failures: u32,
    pub(super) in_flight: bool,
    /// Somebody waits for this very look.
    pub(super) urgent: bool,
}

impl Guest {
    pub(super) fn new(from: Instant) -> Self {
        Self {
            from,
            alive_from: None,
            told_from: None,
            calm: Duration::ZERO,
            stage: Stage::Unseen,
            last: None,
            failures: 0,
            in_flight: false,
            urgent: false,
        }
    }

    /// When it is to be looked at next, and how often it is just now.
    fn due(&self, several: bool) -> (Instant, Duration) {
        let Some(last) = self.last else {
            let calm = if self.urgent { Duration::ZERO } else { self.calm };
            return (self.from + calm, BRISK);
        };
        if self.failures > 0 {
            let doubled = FIRST_FAILURE.saturating_mul(1 << self.failures.saturating_sub(1).min(8));
            let pause = doubled.min(LAST_FAILURE);
            return (last + pause, pause);
        }
        if self.urgent {
            return (last + TORN, TORN);
        }
        let (often, expected) = match self.stage {
            Stage::Unseen => (BRISK.max(self.calm), self.alive_from),
            Stage::Torn => (TORN, None),
            Stage::Alive if several => (ALIVE_AMONG_OTHERS.max(self.calm), self.told_from),
            Stage::Alive => (ALIVE.max(self.calm), self.told_from),
            Stage::Told => (TOLD, None),
        };
        let soon = last + often;
        // Rarely before it is expected, and never later than that.
        let due = expected.map_or(soon, |expected| soon.max(expected.min(last + RARE)));
        (due, often)
    }
}

/// What to do on one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    Look(u64),
    /// Nothing before that.
    At(Instant),
    /// Nothing before something changes.
    Nothing,
}

/// `gate`: the node takes no look before that. `guests` are those of the node, by a number of theirs.
pub(super) fn next<'a>(
    now: Instant,
    gate: Instant,
    guests: impl Iterator<Item = (u64, &'a Guest)> + Clone,
) -> Next {
    let several = guests.clone().count() > ALONE;
    if guests.clone().filter(|(_, guest)| guest.in_flight).count() >= AT_ONCE {
        return Next::Nothing;
    }
    // Whether it is urgent, how late it is, and its number.
    let mut first: Option<(bool, f64, u64)> = None;
    let mut earliest: Option<Instant> = None;
    for (number, guest) in guests.filter(|(_, guest)| !guest.in_flight) {
        let (due, often) = guest.due(several);
        if due > now {
            earliest = Some(earliest.map_or(due, |earliest| earliest.min(due)));
            continue;
        }
        let waited = guest.last.unwrap_or_else(|| guest.from.checked_sub(often).unwrap_or(guest.from));
        let lateness = now.duration_since(waited).as_secs_f64() / often.as_secs_f64();
        if first.is_none_or(|best| (guest.urgent, lateness) > (best.0, best.1)) {
            first = Some((guest.urgent, lateness, number));
        }
    }
    match (first, earliest) {
        (Some(_), _) if gate > now => Next::At(gate),
        (Some((.., number)), _) => Next::Look(number),
        (None, Some(earliest)) => Next::At(earliest.max(gate)),
        (None, None) => Next::Nothing,
    }
}

#[cfg(test)]
mod tests;

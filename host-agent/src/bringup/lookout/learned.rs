//! How long guests of one golden took until their beacon could be seen. Pure.

use std::time::Duration;

/// Later guests may be a little faster.
const MARGIN: f64 = 0.85;

/// The shortest times of late, from the start: down at once, up slowly.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Learned {
    alive: Option<Duration>,
    told: Option<Duration>,
}

impl Learned {
    /// It surely had no beacon so long after its start.
    pub(super) fn not_alive_at(&mut self, after: Duration) {
        blend(&mut self.alive, after);
    }

    /// It surely was not ready.
    pub(super) fn not_told_at(&mut self, after: Duration) {
        blend(&mut self.told, after);
    }

    /// So long after its start a guest may have a beacon.
    pub(super) fn alive_from(&self) -> Option<Duration> {
        self.alive.map(|alive| alive.mul_f64(MARGIN))
    }

    pub(super) fn told_from(&self) -> Option<Duration> {
        self.told.map(|told| told.mul_f64(MARGIN))
    }
}

fn blend(known: &mut Option<Duration>, new: Duration) {
    *known = Some(match *known {
        Some(known) if known < new => known + (new - known) / 8,
        _ => new,
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_faster_guest_counts_at_once_and_a_slower_one_slowly() {
        let seconds = Duration::from_secs;
        let mut learned = Learned::default();
        assert_eq!((learned.alive_from(), learned.told_from()), (None, None));
        for (took, expected) in [(8, 8.0), (16, 9.0), (4, 4.0), (4, 4.0), (12, 5.0)] {
            learned.not_alive_at(seconds(took));
            assert_eq!(learned.alive_from(), Some(Duration::from_secs_f64(expected).mul_f64(MARGIN)));
        }
        assert_eq!(learned.told_from(), None);
    }
}

//! How patiently a call is tried again. Nobody sleeps here.

use std::time::Duration;

use firstlight_shared::backoff::Backoff;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    Never,
    /// Nothing arrived, or it only looked.
    Connection,
    /// Somebody holds a lock; nothing was done.
    Lock,
}

/// How long a call is tried again before its error is given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    pub connection: Duration,
    /// A resize holds its guest's lock for 23 s, and restores queue for their storage's.
    pub lock: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { connection: Duration::from_secs(20), lock: Duration::from_secs(90) }
    }
}

impl Patience {
    /// Every error comes back at once.
    pub const NONE: Self = Self { connection: Duration::ZERO, lock: Duration::ZERO };

    /// How long to wait before the next attempt (attempts count from 1), `elapsed` after the first began. None: no more.
    pub fn wait(&self, retry: Retry, attempt: u32, elapsed: Duration, random: u32) -> Option<Duration> {
        let (first, max, budget) = match retry {
            Retry::Never => return None,
            Retry::Connection => (250, 4_000, self.connection),
            // The server has waited for up to 10 s itself, with one of its three workers.
            Retry::Lock => (1_000, 8_000, self.lock),
        };
        let backoff = Backoff { first: Duration::from_millis(first), max: Duration::from_millis(max) };
        let wait = backoff.delay(attempt, random);
        (elapsed + wait <= budget).then_some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_ends() {
        let patience = Patience::default();
        let wait =
            |retry, attempt, elapsed| patience.wait(retry, attempt, Duration::from_secs(elapsed), u32::MAX);
        assert_eq!(wait(Retry::Never, 1, 0), None);
        assert_eq!(wait(Retry::Connection, 1, 0), Some(Duration::from_millis(250)));
        assert_eq!(wait(Retry::Connection, 9, 10), Some(Duration::from_secs(4)));
        assert_eq!(wait(Retry::Connection, 9, 17), None);
        assert_eq!(wait(Retry::Lock, 4, 80), Some(Duration::from_secs(8)));
        assert_eq!(wait(Retry::Lock, 4, 83), None);
        assert_eq!(Patience::NONE.wait(Retry::Connection, 1, Duration::ZERO, 0), None);
    }
}

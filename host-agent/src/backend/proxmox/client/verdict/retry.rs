//! What may be tried again, and how patiently. Nobody sleeps here.

use std::time::Duration;

use firstlight_shared::backoff::Backoff;

use super::{Class, Lock, Unsent};
use crate::backend::proxmox::client::call::Method;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    Never,
    /// Nothing arrived, or it only looked.
    Connection,
    /// Somebody holds a lock; nothing was done.
    Lock,
}

/// Whether a call that ended so may be sent again as it is.
///
/// A change of unknown outcome never: a PUT of a network device without a MAC makes a new one each time, a DELETE may
/// meet another's guest. A lock that stands in a configuration neither: whether its task lives is for others to see.
pub fn retry(method: Method, class: &Class) -> Retry {
    match class {
        Class::NeverSent(Unsent::Unreachable) => Retry::Connection,
        Class::MaybeApplied if !method.changes() => Retry::Connection,
        Class::Locked(Lock::Guest | Lock::Storage | Lock::Quorum) => Retry::Lock,
        Class::NeverSent(Unsent::WrongCertificate)
        | Class::MaybeApplied
        | Class::Locked(Lock::Written(_))
        | Class::Rejected { .. }
        | Class::Gone
        | Class::Denied { .. }
        | Class::AlreadySo => Retry::Never,
    }
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
    use crate::backend::proxmox::client::verdict::Code;

    #[test]
    fn only_what_surely_did_nothing_is_sent_again() {
        use Method::{Delete, Get, Post, Put};
        let table = [
            (Class::NeverSent(Unsent::Unreachable), [Retry::Connection; 4]),
            (Class::NeverSent(Unsent::WrongCertificate), [Retry::Never; 4]),
            (Class::MaybeApplied, [Retry::Connection, Retry::Never, Retry::Never, Retry::Never]),
            (Class::Locked(Lock::Guest), [Retry::Lock; 4]),
            (Class::Locked(Lock::Storage), [Retry::Lock; 4]),
            (Class::Locked(Lock::Quorum), [Retry::Lock; 4]),
            (Class::Locked(Lock::Written("create".to_owned())), [Retry::Never; 4]),
            (Class::Rejected { code: Code::ServerError, kept: true }, [Retry::Never; 4]),
            (Class::Gone, [Retry::Never; 4]),
            (Class::Denied { path: None, privileges: Vec::new() }, [Retry::Never; 4]),
            (Class::AlreadySo, [Retry::Never; 4]),
        ];
        for (class, expected) in table {
            assert_eq!([Get, Post, Put, Delete].map(|method| retry(method, &class)), expected, "{class}");
        }
    }

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

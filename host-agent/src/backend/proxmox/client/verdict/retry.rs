//! What may be tried again. Nobody sleeps here.

use super::{Class, Lock, Unsent};
use crate::backend::link::Retry;
use crate::backend::proxmox::client::call::Method;

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
}

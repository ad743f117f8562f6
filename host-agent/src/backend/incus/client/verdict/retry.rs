//! What may be tried again. Nobody sleeps here.

use super::{Class, Retry, Unsent};
use crate::backend::incus::client::call::Method;

/// Whether a call that ended so may be sent again as it is. A change of unknown outcome never.
pub fn retry(method: Method, class: &Class) -> Retry {
    match class {
        Class::NeverSent(Unsent::Unreachable | Unsent::NotReady) => Retry::Connection,
        Class::MaybeApplied if !method.changes() => Retry::Connection,
        Class::Busy => Retry::Lock,
        Class::NeverSent(Unsent::WrongCertificate)
        | Class::MaybeApplied
        | Class::Rejected(_)
        | Class::Gone
        | Class::Denied
        | Class::AlreadySo => Retry::Never,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::incus::client::verdict::Code;

    #[test]
    fn only_what_surely_did_nothing_is_sent_again() {
        use Method::{Delete, Get, Head, Patch, Post, Put};
        let table = [
            (Class::NeverSent(Unsent::Unreachable), Retry::Connection, Retry::Connection),
            (Class::NeverSent(Unsent::NotReady), Retry::Connection, Retry::Connection),
            (Class::NeverSent(Unsent::WrongCertificate), Retry::Never, Retry::Never),
            (Class::MaybeApplied, Retry::Connection, Retry::Never),
            (Class::Busy, Retry::Lock, Retry::Lock),
            (Class::Rejected(Code::ServerError), Retry::Never, Retry::Never),
            (Class::Gone, Retry::Never, Retry::Never),
            (Class::Denied, Retry::Never, Retry::Never),
            (Class::AlreadySo, Retry::Never, Retry::Never),
        ];
        for (class, read, change) in table {
            for method in [Get, Head] {
                assert_eq!(retry(method, &class), read, "{method}: {class}");
            }
            for method in [Post, Put, Patch, Delete] {
                assert_eq!(retry(method, &class), change, "{method}: {class}");
            }
        }
    }
}

//! What a call's class means for the engine.

use super::client::verdict::{ApiError, Class, Code, Unsent};
use crate::outcome::{Act, Fault};

/// For a change whose call did not end well. Unknown: it may have been done, and the next probe tells.
pub(super) fn act_of(error: &ApiError) -> Act {
    let fault = Fault::from(error);
    if decides_nothing(error.class) { Act::Unknown(fault) } else { Act::Refused(fault) }
}

/// Whether the next look decides: it may have been done, others were faster, or the server is away, or has not all of its
/// networks and pools yet: it answers before it has begun them, and tries those that failed again each minute.
pub(super) fn decides_nothing(class: Class) -> bool {
    match class {
        Class::MaybeApplied
        | Class::Busy
        | Class::AlreadySo
        | Class::NeverSent(Unsent::Unreachable | Unsent::NotReady)
        | Class::Rejected(
            Code::ChangedMeanwhile | Code::Exists | Code::Cancelled | Code::TooSlow | Code::Unavailable,
        ) => true,
        Class::NeverSent(Unsent::WrongCertificate) | Class::Rejected(_) | Class::Gone | Class::Denied => {
            false
        }
    }
}

/// For what could not be read before anything was done: what may pass is tried again.
pub(super) fn act_of_look(fault: Fault) -> Act {
    match fault.code.as_str() {
        "incus-unreachable" | "incus-no-answer" | "incus-not-ready" | "incus-busy" | "incus-unavailable"
        | "in-flight" => Act::Unknown(fault),
        _ => Act::Refused(fault),
    }
}

#[cfg(test)]
mod tests {
    use super::super::client::call::Method;
    use super::*;

    #[test]
    fn only_what_surely_did_nothing_and_will_not_is_a_refusal() {
        for (class, refused) in [
            (Class::MaybeApplied, false),
            (Class::Busy, false),
            (Class::AlreadySo, false),
            (Class::NeverSent(Unsent::Unreachable), false),
            (Class::NeverSent(Unsent::NotReady), false),
            (Class::NeverSent(Unsent::WrongCertificate), true),
            (Class::Rejected(Code::ChangedMeanwhile), false),
            (Class::Rejected(Code::Exists), false),
            (Class::Rejected(Code::Unavailable), false),
            (Class::Rejected(Code::PoolFull), true),
            (Class::Rejected(Code::Restricted), true),
            (Class::Gone, true),
            (Class::Denied, true),
        ] {
            let error = ApiError {
                method: Method::Post,
                path: "/1.0/x".into(),
                class,
                status: None,
                text: "x".into(),
            };
            assert_eq!(matches!(act_of(&error), Act::Refused(_)), refused, "{class}");
            let read = matches!(act_of_look(Fault::from(&error)), Act::Refused(_));
            assert!(!refused || read, "{class}");
        }
    }
}

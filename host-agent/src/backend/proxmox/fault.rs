//! What a call's class means for the engine.

use super::client::verdict::{ApiError, Class, Unsent};
use crate::outcome::{Act, Fault};

/// For a change whose call did not end well. Unknown: it may have been done, and the next probe tells.
pub(super) fn act_of(error: &ApiError) -> Act {
    let fault = Fault::from(error);
    match &error.class {
        Class::MaybeApplied | Class::Locked(_) | Class::NeverSent(Unsent::Unreachable) => Act::Unknown(fault),
        Class::Rejected { kept: true, .. } => Act::Unknown(fault),
        Class::NeverSent(Unsent::WrongCertificate)
        | Class::Rejected { .. }
        | Class::Gone
        | Class::Denied { .. }
        | Class::AlreadySo => Act::Refused(fault),
    }
}

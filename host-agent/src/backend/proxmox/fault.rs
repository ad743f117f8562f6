//! What a call's class means for the engine.

use super::client::verdict::{ApiError, Class, Code, Unsent};
use crate::outcome::{Act, Fault};

/// For a change whose call did not end well. Unknown: it may have been done, and the next probe tells.
pub(super) fn act_of(error: &ApiError) -> Act {
    let fault = Fault::from(error);
    match &error.class {
        Class::MaybeApplied | Class::Locked(_) | Class::NeverSent(Unsent::Unreachable) | Class::AlreadySo => {
            Act::Unknown(fault)
        }
        // Somebody else was faster: what is there now is read again.
        Class::Rejected { code: Code::ChangedMeanwhile, .. } | Class::Rejected { kept: true, .. } => {
            Act::Unknown(fault)
        }
        Class::NeverSent(Unsent::WrongCertificate)
        | Class::Rejected { .. }
        | Class::Gone
        | Class::Denied { .. } => Act::Refused(fault),
    }
}

/// For what could not be read before anything was done: what may pass is tried again.
pub(super) fn act_of_look(fault: Fault) -> Act {
    match fault.code.as_str() {
        "proxmox-unreachable" | "proxmox-no-answer" | "proxmox-locked" | "in-flight" => Act::Unknown(fault),
        _ => Act::Refused(fault),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::proxmox::client::call::Method;
    use crate::backend::proxmox::client::verdict::Lock;

    #[test]
    fn only_what_surely_did_nothing_and_will_not_is_a_refusal() {
        let denied = Class::Denied { path: None, privileges: Vec::new() };
        let rejected = |code, kept| Class::Rejected { code, kept };
        for (class, refused) in [
            (Class::MaybeApplied, false),
            (Class::Locked(Lock::Guest), false),
            (Class::Locked(Lock::Written("backup".to_owned())), false),
            (Class::NeverSent(Unsent::Unreachable), false),
            (Class::NeverSent(Unsent::WrongCertificate), true),
            (Class::AlreadySo, false),
            (rejected(Code::ChangedMeanwhile, false), false),
            (rejected(Code::ServerError, true), false),
            (rejected(Code::InvalidParameter, false), true),
            (Class::Gone, true),
            (denied, true),
        ] {
            let error = ApiError {
                method: Method::Put,
                path: "/nodes/pve1/lxc/104/config".into(),
                class,
                status: None,
                text: "x".into(),
                parameters: std::collections::BTreeMap::new(),
            };
            assert_eq!(matches!(act_of(&error), Act::Refused(_)), refused, "{}", error.class);
        }
    }
}

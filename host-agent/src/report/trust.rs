//! What a trust level means, and what made it so. docs/report.md says the same at length.

use firstlight_shared::wire::Trust;

use super::page::TrustView;
use crate::bringup::GuestView;

/// Of any guest.
pub(super) fn means(trust: Trust) -> &'static str {
    match trust {
        Trust::Attested => {
            "the hypervisor itself shows this report, or a beacon that names it: no other guest can have sent it"
        }
        Trust::Claimed => {
            "whoever made the report knew the secret that only this guest was given; the hypervisor did not confirm it"
        }
        Trust::Observed => {
            "it came from the address and with the MAC that the hypervisor lists for the guest: a neighbour in its network could forge that"
        }
        Trust::Unverified => "anybody could have sent it: nothing binds it to the guest",
    }
}

/// None: nothing has come from the guest. `has_report`: its report is on record.
pub(super) fn trust(view: &GuestView, has_report: bool) -> Option<TrustView> {
    let trust = view.trust?;
    let why = match trust {
        Trust::Attested if view.by_beacon_alone || !has_report => {
            "the hypervisor lists the guest's beacon, which says that it is ready; the report itself has not come"
        }
        Trust::Attested if view.beacon.is_some() => {
            "the guest's beacon, read through the hypervisor, names this report by its digest"
        }
        Trust::Attested => {
            "what was read out of the guest through the hypervisor is this report, byte for byte"
        }
        Trust::Claimed => {
            "the report carries a valid HMAC of the guest's claim, and its claim was not used before"
        }
        Trust::Observed => "the sender's address and the MAC are those that the hypervisor lists",
        Trust::Unverified => "neither claim nor hypervisor vouches for it",
    };
    Some(TrustView {
        level: trust.as_str().to_owned(),
        means: means(trust).to_owned(),
        why: why.to_owned(),
        suffices: trust <= Trust::Claimed,
    })
}

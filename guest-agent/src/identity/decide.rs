//! Is this still the machine of the stamp? A pure table over stamp, evidence and intent.

use firstlight_shared::wire::{Decision, Intent};

use super::stamp::{Evidence, StampState};
use crate::config::SuspectPolicy;

/// What the hypervisor said of this guest; none of it from the network or the root disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Word<'a> {
    pub intent: Option<Intent>,
    pub claim_id: Option<&'a str>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Judgement {
    pub decision: Decision,
    /// One line for people.
    pub reason: String,
    /// The virtual machine's generation is another one: its random numbers may be those of its past.
    pub other_generation: bool,
}

/// How the present evidence compares with the stamp's.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Difference {
    None,
    Macs,
    Machine(Vec<&'static str>),
}

pub(crate) fn decide(
    stamp: &StampState,
    evidence: &Evidence,
    word: Word<'_>,
    policy: SuspectPolicy,
) -> Judgement {
    let stamped = stamp.valid().and_then(|stamp| stamp.evidence.vm_generation);
    let other_generation = stamped.zip(evidence.vm_generation).is_some_and(|(old, new)| old != new);
    let (decision, mut reason) = judge(stamp, evidence, word, policy);
    if other_generation && decision != Decision::Renew {
        reason.push_str("; another VM generation: rolled back to a snapshot, or restored in place");
    }
    Judgement { decision, reason, other_generation }
}

fn judge(
    stamp: &StampState,
    evidence: &Evidence,
    word: Word<'_>,
    policy: SuspectPolicy,
) -> (Decision, String) {
    let stamp = match stamp {
        StampState::None if word.intent == Some(Intent::Restore) => {
            return say(
                Decision::RestoreFirst,
                "first run, and the claim says restore: what is here is kept",
            );
        }
        StampState::None => return say(Decision::Renew, "first run: a clone of the golden"),
        StampState::Unknown(reason) => return (Decision::UnknownHistory, reason.clone()),
        StampState::Valid(stamp) => stamp,
    };
    let other_claim = word.claim_id.is_some() && word.claim_id != stamp.claim_id.as_deref();
    match (difference(&stamp.evidence, evidence), word.intent) {
        (Difference::None, Some(Intent::Provision)) => {
            say(Decision::AlreadyProvisioned, "this is the machine of the stamp: provisioned already")
        }
        (Difference::None, _) => say(Decision::Keep, "this is the machine of the stamp"),
        // The claim of an earlier restore lives on in the guest's configuration, which a clone copies.
        (Difference::Machine(what), Some(Intent::Restore)) if other_claim => {
            (Decision::Restamp, format!("another {}, but the claim says restore: kept", what.join(" and ")))
        }
        (Difference::Machine(what), _) => {
            (Decision::Renew, format!("another {} than the stamp's: a clone", what.join(" and ")))
        }
        (Difference::Macs, Some(Intent::Restore)) if other_claim => {
            say(Decision::Restamp, "other MAC addresses, but the claim says restore: kept")
        }
        (Difference::Macs, Some(Intent::Provision)) if other_claim => {
            say(Decision::Renew, "other MAC addresses and a new claim that says provision: a clone")
        }
        (Difference::Macs, Some(Intent::Provision)) => say(
            Decision::AlreadyProvisioned,
            "other MAC addresses, but the claim is the stamped one: a retry",
        ),
        (Difference::Macs, _) if policy == SuspectPolicy::Renew => {
            say(Decision::Renew, "other MAC addresses, and guest.toml says that this is a clone")
        }
        (Difference::Macs, _) => {
            say(Decision::SuspectClone, "other MAC addresses and nobody said provision: kept, maybe a clone")
        }
    }
}

fn say(decision: Decision, reason: &str) -> (Decision, String) {
    (decision, reason.to_owned())
}

fn difference(stamped: &Evidence, present: &Evidence) -> Difference {
    let differ = |a: Option<_>, b: Option<_>| a.zip(b).is_some_and(|(a, b)| a != b);
    let signals = [
        ("machine-id", differ(stamped.machine_id, present.machine_id)),
        ("container uuid", differ(stamped.container_uuid, present.container_uuid)),
        ("product uuid", differ(stamped.product_uuid, present.product_uuid)),
    ];
    let what: Vec<_> = signals.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect();
    // A card added or taken out is no other machine: all must be others.
    let no_mac_in_common = !stamped.macs.is_empty()
        && !present.macs.is_empty()
        && !present.macs.iter().any(|mac| stamped.macs.contains(mac));
    match (what.is_empty(), no_mac_in_common) {
        (false, _) => Difference::Machine(what),
        (true, true) => Difference::Macs,
        (true, false) => Difference::None,
    }
}

#[cfg(test)]
mod tests;

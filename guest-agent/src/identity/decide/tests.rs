use firstlight_shared::ids::{MacAddress, MachineId};

use super::super::stamp::Stamp;
use super::*;

const PROVISION: Option<Intent> = Some(Intent::Provision);
const RESTORE: Option<Intent> = Some(Intent::Restore);

fn evidence(machine_id: u8, container: u8, product: u8, macs: &[u8]) -> Evidence {
    let derived = |byte: u8| (byte != 0).then(|| MachineId::from_random([byte; 16]).derived());
    Evidence {
        machine_id: derived(machine_id),
        container_uuid: derived(container),
        product_uuid: derived(product),
        macs: macs.iter().map(|last| MacAddress([2, 0, 0, 0, 0, *last])).collect(),
    }
}

fn stamped(evidence: Evidence) -> StampState {
    StampState::Valid(Box::new(Stamp {
        version: 1,
        agent: "test".into(),
        made_at_ms: 0,
        decision: Decision::Renew,
        evidence,
        claim_id: Some("first".into()),
        host_keys: Vec::new(),
        pending: Vec::new(),
    }))
}

fn decision(stamp: &StampState, now: &Evidence, intent: Option<Intent>, claim_id: Option<&str>) -> Decision {
    decide(stamp, now, Word { intent, claim_id }).0
}

#[test]
fn without_a_stamp_only_restore_keeps() {
    for now in [evidence(1, 0, 0, &[1]), evidence(0, 0, 0, &[])] {
        assert_eq!(decision(&StampState::None, &now, None, None), Decision::Renew);
        assert_eq!(decision(&StampState::None, &now, PROVISION, Some("a")), Decision::Renew);
        assert_eq!(decision(&StampState::None, &now, RESTORE, Some("a")), Decision::RestoreFirst);
    }
}

#[test]
fn an_unreadable_stamp_never_renews_everything() {
    let unknown = StampState::Unknown("torn".into());
    for intent in [None, PROVISION, RESTORE] {
        assert_eq!(decision(&unknown, &evidence(1, 2, 3, &[1]), intent, Some("a")), Decision::UnknownHistory);
    }
}

/// Rows: stamped evidence, present evidence, then the decision without intent, with provision (a new claim and the
/// stamped one), and with restore.
#[test]
fn a_valid_stamp_is_judged_by_the_table() {
    use Decision::{AlreadyProvisioned as Already, Keep, Renew, Restamp, SuspectClone as Suspect};
    let same = evidence(1, 2, 3, &[1, 2]);
    let rows = [
        ("nothing differs", same.clone(), [Keep, Already, Already, Keep]),
        ("machine-id differs", evidence(9, 2, 3, &[1, 2]), [Renew, Renew, Renew, Restamp]),
        ("container uuid differs", evidence(1, 9, 3, &[1, 2]), [Renew, Renew, Renew, Restamp]),
        ("product uuid differs", evidence(1, 2, 9, &[1, 2]), [Renew, Renew, Renew, Restamp]),
        ("everything differs", evidence(7, 8, 9, &[8]), [Renew, Renew, Renew, Restamp]),
        ("only MACs differ", evidence(1, 2, 3, &[8, 9]), [Suspect, Renew, Already, Restamp]),
        ("one MAC is new", evidence(1, 2, 3, &[1, 9]), [Keep, Already, Already, Keep]),
        ("one MAC is gone", evidence(1, 2, 3, &[2]), [Keep, Already, Already, Keep]),
        ("machine-id absent", evidence(0, 2, 3, &[1]), [Keep, Already, Already, Keep]),
        ("container uuid absent", evidence(1, 0, 3, &[1]), [Keep, Already, Already, Keep]),
        ("product uuid absent", evidence(1, 2, 0, &[1]), [Keep, Already, Already, Keep]),
        ("MACs absent", evidence(1, 2, 3, &[]), [Keep, Already, Already, Keep]),
        ("everything absent", evidence(0, 0, 0, &[]), [Keep, Already, Already, Keep]),
    ];
    for (name, now, expected) in rows {
        let stamp = stamped(same.clone());
        let found = [
            decision(&stamp, &now, None, None),
            decision(&stamp, &now, PROVISION, Some("second")),
            decision(&stamp, &now, PROVISION, Some("first")),
            decision(&stamp, &now, RESTORE, Some("second")),
        ];
        assert_eq!(found, expected, "{name}");
        // A new claim id alone, without an intent, renews nothing that no claim would not.
        assert_eq!(decision(&stamp, &now, None, Some("second")), expected[0], "{name}");
    }
}

#[test]
fn signals_that_the_stamp_lacks_are_no_evidence() {
    let bare = stamped(evidence(0, 0, 0, &[]));
    assert_eq!(decision(&bare, &evidence(1, 2, 3, &[1]), None, None), Decision::Keep);
}

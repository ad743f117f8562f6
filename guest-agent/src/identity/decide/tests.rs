use firstlight_shared::ids::{DerivedMachineId, MacAddress, MachineId};

use super::super::stamp::Stamp;
use super::*;

const PROVISION: Option<Intent> = Some(Intent::Provision);
const RESTORE: Option<Intent> = Some(Intent::Restore);

fn derived(byte: u8) -> Option<DerivedMachineId> {
    (byte != 0).then(|| MachineId::from_random([byte; 16]).derived())
}

fn evidence(machine_id: u8, container: u8, product: u8, generation: u8, macs: &[u8]) -> Evidence {
    Evidence {
        machine_id: derived(machine_id),
        container_uuid: derived(container),
        product_uuid: derived(product),
        vm_generation: derived(generation),
        macs: macs.iter().map(|last| MacAddress([2, 0, 0, 0, 0, *last])).collect(),
    }
}

fn stamped(evidence: Evidence) -> StampState {
    StampState::Valid(Box::new(Stamp { claim_id: Some("first".into()), ..Stamp::of(evidence) }))
}

fn decision(stamp: &StampState, now: &Evidence, intent: Option<Intent>, claim_id: Option<&str>) -> Decision {
    decide(stamp, now, Word { intent, claim_id }, SuspectPolicy::Report).decision
}

#[test]
fn without_a_stamp_only_restore_keeps() {
    for now in [evidence(1, 0, 0, 0, &[1]), evidence(0, 0, 0, 4, &[])] {
        assert_eq!(decision(&StampState::None, &now, None, None), Decision::Renew);
        assert_eq!(decision(&StampState::None, &now, PROVISION, Some("a")), Decision::Renew);
        assert_eq!(decision(&StampState::None, &now, RESTORE, Some("a")), Decision::RestoreFirst);
    }
}

#[test]
fn an_unreadable_stamp_never_renews_everything() {
    let unknown = StampState::Unknown("torn".into());
    for intent in [None, PROVISION, RESTORE] {
        assert_eq!(
            decision(&unknown, &evidence(1, 2, 3, 4, &[1]), intent, Some("a")),
            Decision::UnknownHistory
        );
    }
}

/// Rows: stamped evidence, present evidence, then the decision without intent, with provision (a new claim and the
/// stamped one), and with restore.
#[test]
fn a_valid_stamp_is_judged_by_the_table() {
    use Decision::{AlreadyProvisioned as Already, Keep, Renew, Restamp, SuspectClone as Suspect};
    let same = evidence(1, 2, 3, 4, &[1, 2]);
    let rows = [
        ("nothing differs", same.clone(), [Keep, Already, Already, Keep]),
        ("machine-id differs", evidence(9, 2, 3, 4, &[1, 2]), [Renew, Renew, Renew, Restamp]),
        ("container uuid differs", evidence(1, 9, 3, 4, &[1, 2]), [Renew, Renew, Renew, Restamp]),
        ("product uuid differs", evidence(1, 2, 9, 4, &[1, 2]), [Renew, Renew, Renew, Restamp]),
        ("the generation differs", evidence(1, 2, 3, 9, &[1, 2]), [Keep, Already, Already, Keep]),
        ("everything differs", evidence(7, 8, 9, 9, &[8]), [Renew, Renew, Renew, Restamp]),
        ("only MACs differ", evidence(1, 2, 3, 4, &[8, 9]), [Suspect, Renew, Already, Restamp]),
        ("MACs and the generation differ", evidence(1, 2, 3, 9, &[8]), [Suspect, Renew, Already, Restamp]),
        ("one MAC is new", evidence(1, 2, 3, 4, &[1, 9]), [Keep, Already, Already, Keep]),
        ("one MAC is gone", evidence(1, 2, 3, 4, &[2]), [Keep, Already, Already, Keep]),
        ("machine-id absent", evidence(0, 2, 3, 4, &[1]), [Keep, Already, Already, Keep]),
        ("container uuid absent", evidence(1, 0, 3, 4, &[1]), [Keep, Already, Already, Keep]),
        ("product uuid absent", evidence(1, 2, 0, 4, &[1]), [Keep, Already, Already, Keep]),
        ("the generation absent", evidence(1, 2, 3, 0, &[1]), [Keep, Already, Already, Keep]),
        ("MACs absent", evidence(1, 2, 3, 4, &[]), [Keep, Already, Already, Keep]),
        ("everything absent", evidence(0, 0, 0, 0, &[]), [Keep, Already, Already, Keep]),
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
    let bare = stamped(evidence(0, 0, 0, 0, &[]));
    assert_eq!(decision(&bare, &evidence(1, 2, 3, 4, &[1]), None, None), Decision::Keep);
}

/// Every combination of the five signals (absent or present in the stamp, then absent, same or different now) and of
/// the hypervisor's words: 5^5 x 2 x 6 decisions, against the rule in words.
#[test]
fn every_pair_of_absent_and_present_signals_is_judged_alike() {
    #[derive(Clone, Copy, PartialEq)]
    enum Signal {
        Nowhere,
        New,
        Gone,
        Same,
        Other,
    }
    use Signal::*;
    const ALL: [Signal; 5] = [Nowhere, New, Gone, Same, Other];
    let then = |signal, byte| if matches!(signal, Gone | Same | Other) { byte } else { 0 };
    let now = |signal, byte| match signal {
        New | Same => byte,
        Other => byte + 100,
        Nowhere | Gone => 0,
    };
    let macs = |byte: u8| if byte == 0 { vec![] } else { vec![byte] };
    let mut judged = 0;
    for number in 0..5usize.pow(5) {
        let [id, container, product, generation, mac] =
            [0, 1, 2, 3, 4].map(|place| ALL[number / 5usize.pow(place) % 5]);
        let old = evidence(
            then(id, 1),
            then(container, 2),
            then(product, 3),
            then(generation, 4),
            &macs(then(mac, 5)),
        );
        let new =
            evidence(now(id, 1), now(container, 2), now(product, 3), now(generation, 4), &macs(now(mac, 5)));
        let stamp = stamped(old);
        let other_machine = [id, container, product].contains(&Other);
        for policy in [SuspectPolicy::Report, SuspectPolicy::Renew] {
            for (intent, claim_id) in [
                (None, None),
                (None, Some("second")),
                (PROVISION, Some("second")),
                (PROVISION, Some("first")),
                (RESTORE, Some("second")),
                (RESTORE, Some("first")),
            ] {
                let expected = match (other_machine, mac == Other, intent) {
                    (true, _, RESTORE) | (false, true, RESTORE) if claim_id == Some("second") => {
                        Decision::Restamp
                    }
                    (true, _, _) => Decision::Renew,
                    (false, true, PROVISION) if claim_id == Some("second") => Decision::Renew,
                    (false, _, PROVISION) => Decision::AlreadyProvisioned,
                    (false, true, _) if policy == SuspectPolicy::Renew => Decision::Renew,
                    (false, true, _) => Decision::SuspectClone,
                    (false, false, _) => Decision::Keep,
                };
                let judgement = decide(&stamp, &new, Word { intent, claim_id }, policy);
                assert_eq!(judgement.decision, expected, "{old:?} {new:?} {intent:?}", old = stamp.valid());
                assert_eq!(judgement.other_generation, generation == Other);
                let told = judgement.reason.contains("another VM generation");
                assert_eq!(told, generation == Other && expected != Decision::Renew);
                judged += 1;
            }
        }
    }
    assert_eq!(judged, 3125 * 12);
}

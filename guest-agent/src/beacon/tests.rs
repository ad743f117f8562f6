use std::collections::BTreeMap;

use firstlight_shared::wire::{Decision, HostKey, Hostname, MachineIdOutcome, MachineIdState};

use super::*;

fn standing(address: IpAddr) -> LoopbackAddress {
    let prefix = if address.is_ipv6() { 128 } else { 32 };
    LoopbackAddress { address, prefix, deprecated: true, valid_for: Some(Duration::from_secs(60)) }
}

fn all_standing(beacon: &Beacon, form: Form, generation: u8) -> Vec<LoopbackAddress> {
    encode(beacon, form, generation).into_iter().map(standing).collect()
}

fn done() -> Beacon {
    Beacon { state: State::IdentityDone, reason: Reason::None, report: None, key: None }
}

pub(super) fn identity() -> Identity {
    let line = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDFc0HVJqQQC1rSTTpmvP6CFpT4gwHgoJ4rMyyVbQfAV";
    Identity {
        decision: Decision::Renew,
        reason: String::new(),
        machine_id: MachineIdOutcome {
            derived: None,
            state: MachineIdState::Fresh,
            reboot_required: false,
            prediction: None,
        },
        hostname: Hostname { current: "web-01".into(), expected: None, ok: true },
        ssh_host_keys: vec![HostKey::of(&PublicKey::from_openssh(line).unwrap()).unwrap()],
        removed_host_keys: vec![],
        pending: vec![],
        problems: vec![],
        items: vec![],
        age_recipient: None,
    }
}

fn memory(subject: &str) -> Memory {
    let text = format!("{{\"version\":1,\"subject\":\"{subject}\",\"acknowledged_at_ms\":1}}");
    serde_json::from_str(&text).unwrap()
}

#[test]
fn what_the_host_knows_is_not_told_again() {
    let known = memory("SHA256:own");
    for (memory, subject, state, expected) in [
        (None, Some("SHA256:own"), State::IdentityDone, true),
        (Some(&known), Some("SHA256:own"), State::IdentityDone, false),
        (Some(&known), Some("SHA256:own"), State::Ready, false),
        (Some(&known), Some("SHA256:own"), State::Degraded, false),
        (Some(&known), Some("SHA256:own"), State::Failed, true),
        // A clone of an acknowledged guest, with the file that it was copied with.
        (Some(&known), Some("SHA256:clone"), State::Ready, true),
        (Some(&known), None, State::Ready, true),
    ] {
        assert_eq!(is_wanted(memory, subject, state), expected, "{memory:?} {subject:?} {state:?}");
    }
}

#[test]
fn an_identity_is_known_by_its_ed25519_key() {
    let mut identity = identity();
    assert_eq!(subject(&identity), Some(identity.ssh_host_keys[0].fingerprint.clone()));
    assert!(matches!(host_key(&identity), Some(Key::Host(_))));
    identity.ssh_host_keys.clear();
    assert_eq!((subject(&identity), host_key(&identity)), (None, None));
    identity.machine_id.derived = Some("0123456789abcdef0123456789abcdef".parse().unwrap());
    assert!(subject(&identity).is_some());
}

#[test]
fn only_what_we_raised_is_ours() {
    let raised = all_standing(&done(), Form::Ipv6, 1);
    let piece = raised[0].clone();
    for (one, expected) in [
        (piece.clone(), true),
        (LoopbackAddress { deprecated: false, ..piece.clone() }, false),
        (LoopbackAddress { valid_for: None, ..piece.clone() }, false),
        (LoopbackAddress { prefix: 64, ..piece }, false),
        (standing("fe80::1".parse().unwrap()), false),
        (standing("127.200.0.1".parse().unwrap()), true),
        (standing("127.0.0.53".parse().unwrap()), false),
        (LoopbackAddress { prefix: 8, ..standing("127.200.0.1".parse().unwrap()) }, false),
    ] {
        assert_eq!(!ours(std::slice::from_ref(&one)).is_empty(), expected, "{one:?}");
    }
}

#[test]
fn a_new_generation_follows_what_stands_and_avoids_leftovers() {
    let mut lo = all_standing(&done(), Form::Ipv6, 4);
    assert_eq!(next_generation(&lo, Form::Ipv6), Some(5));
    assert_eq!(next_generation(&lo, Form::Ipv4), Some(0), "the other form has its own");
    // A crash while generation 5 was raised.
    lo.extend(all_standing(&done(), Form::Ipv6, 5).into_iter().take(3));
    assert_eq!(next_generation(&lo, Form::Ipv6), Some(6));
    let torn: Vec<_> = (0..8)
        .flat_map(|generation| all_standing(&done(), Form::Ipv4, generation).into_iter().take(1))
        .collect();
    assert_eq!(next_generation(&torn, Form::Ipv4), None);
}

#[test]
fn a_memory_that_cannot_be_read_is_no_acknowledgement() {
    let folder = tempfile::tempdir().unwrap();
    let machine = Machine::open(folder.path()).unwrap();
    assert_eq!(memory::load(&machine.root), Ok(None));
    memory::remember(&machine, subject(&identity())).unwrap();
    let remembered = memory::load(&machine.root).unwrap().unwrap();
    assert_eq!(Some(remembered.subject), subject(&identity()));
    for text in ["", "{", "{\"version\":2,\"subject\":\"x\",\"acknowledged_at_ms\":1}", "[]"] {
        machine.root.replace(crate::paths::BEACON, 0o600, text.as_bytes()).unwrap();
        assert!(memory::load(&machine.root).is_err(), "{text}");
    }
}

#[test]
fn a_second_identity_run_does_not_take_the_report_back() {
    let folder = tempfile::tempdir().unwrap();
    let machine = Machine::open(folder.path()).unwrap();
    let bytes = include_bytes!("../../../shared/tests/golden/envelope-v1.json");
    let envelope = Envelope::parse(bytes).unwrap();
    let own = envelope.open().unwrap().report.identity;
    assert_eq!(identity_done(&machine, &own).state, State::IdentityDone, "no report yet");
    machine.root.replace(crate::paths::REPORT, 0o600, bytes).unwrap();
    assert_eq!(Some(identity_done(&machine, &own)), Beacon::of_report(&envelope, Reason::Other));
    let other = identity_done(&machine, &identity());
    assert_eq!((other.state, other.report), (State::IdentityDone, None), "a report of another key");
}

#[test]
fn a_foreign_root_raises_nothing_and_has_no_problem() {
    let folder = tempfile::tempdir().unwrap();
    let machine = Machine::open(folder.path()).unwrap();
    let outcome = Outcome {
        version: 1,
        failure: None,
        identity: identity(),
        secrets: Vec::new(),
        claim_id: None,
        hostname_changed: false,
        reboot: false,
        finished_at_ms: 0,
        timings_ms: BTreeMap::new(),
    };
    assert_eq!(after_identity(&machine, &outcome), Ok(()));
    assert_eq!(shown(&machine).to_string(), "beacon: none");
}

#[test]
fn status_has_one_line_of_it() {
    let shown = Shown {
        state: Some("degraded"),
        reason: Some("check-failed"),
        addresses: 7,
        ends_in_s: Some(3 * 3600 + 125),
        ..Shown::default()
    };
    assert_eq!(shown.to_string(), "beacon: degraded (check-failed), 7 addresses on lo for 3 h 2 min more");
    let acknowledged = Shown { acknowledged: true, ..Shown::default() };
    assert_eq!(acknowledged.to_string(), "beacon: none, the host has acknowledged this machine");
}

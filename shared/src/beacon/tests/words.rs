//! What others rely on by name or number.

use super::*;
use crate::error::Code as _;

const ECDSA: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBOphsRWoxwDprui6Gb2YygKaFmJyD1xSJKUSfTZAdKz5Y+qLIvBpa5H2Gx0b+7d7ib3wcCVLj40+DCuulPqVFo4=";

#[test]
fn states_and_problems_have_their_names() {
    assert_eq!(State::ALL.map(State::as_str), ["identity-done", "ready", "degraded", "failed"]);
    for (problem, code) in [
        (BeaconError::Torn { generation: 1, found: 2, wanted: 7 }, "beacon-torn"),
        (BeaconError::Conflict { generation: 1, index: 2 }, "beacon-conflict"),
        (BeaconError::Checksum { generation: 1 }, "beacon-checksum"),
        (BeaconError::Version { found: 2 }, "beacon-version"),
        (BeaconError::Content { generation: 1 }, "beacon-content"),
        (BeaconError::Ambiguous, "beacon-ambiguous"),
    ] {
        assert_eq!(problem.code(), code);
    }
}

/// The agent sets addresses with this prefix, and knows by the number whether all stand.
#[test]
fn forms_have_the_sizes_of_the_specification() {
    assert_eq!(FORMS.map(Form::pieces), [7, 15]);
    assert_eq!(FORMS.map(Form::prefix), [128, 32]);
    for form in FORMS {
        assert_eq!(encode(&sample(), form, 0).len(), form.pieces());
    }
}

#[test]
fn a_beacon_has_room_for_ed25519_keys_only() {
    let other = PublicKey::from_openssh(ECDSA).unwrap();
    assert_eq!((Key::host(&other), Key::ephemeral(&other)), (None, None));
    assert_eq!(Key::host(&public([7; 32])), Some(Key::Host([7; 32])));
    assert_eq!(Key::ephemeral(&public([7; 32])), Some(Key::Ephemeral([7; 32])));
    for form in FORMS {
        let seen = decode(&encode(&sample(), form, 1)).unwrap().unwrap();
        assert!(!seen.matches_key(&other));
    }
}

#[test]
fn the_digest_of_the_report_is_told_as_far_as_it_is_there() {
    let digest = hex::encode(sample().report.unwrap());
    for (form, length) in [(Form::Ipv6, 64), (Form::Ipv4, 24)] {
        let seen = decode(&encode(&sample(), form, 1)).unwrap().unwrap();
        assert_eq!(seen.report_sha256().as_deref(), Some(&digest[..length]));
        assert!(seen.names_report() && seen.matches_report(&digest));
        let longer = format!("{digest}00");
        for no_digest in ["", "0102", "not hexadecimal", &digest[..24], &digest[..62], &longer] {
            assert!(!seen.matches_report(no_digest), "{form:?} {no_digest}");
        }
        let silent = Beacon { report: None, ..sample() };
        let seen = decode(&encode(&silent, form, 1)).unwrap().unwrap();
        assert!(!seen.names_report());
        assert_eq!(seen.report_sha256(), None);
    }
}

/// Half of it is not enough: the bytes of a report signed by somebody else, or another report of the same key.
#[test]
fn a_report_is_named_by_its_bytes_and_its_key() {
    let mut envelope = Envelope::parse(include_bytes!("../../../tests/golden/envelope-v1.json")).unwrap();
    let sha256 = envelope.open().unwrap().sha256;
    let beacon = Beacon::of_report(&envelope, Reason::None).unwrap();
    let seen = decode(&encode(&beacon, Form::Ipv6, 1)).unwrap().unwrap();
    assert!(seen.names(&envelope, &sha256));
    assert!(!seen.names(&envelope, &hex::encode([1; 32])), "another report");
    for (name, key) in [
        ("another key", public([1; 32]).to_openssh().unwrap()),
        ("of another kind", ECDSA.into()),
        ("none", "".into()),
    ] {
        envelope.signing_key = key;
        assert!(!seen.names(&envelope, &sha256), "{name}");
    }
}

/// A key that is among the report's host keys is the guest's; any other was made for this report.
#[test]
fn the_key_of_a_beacon_is_a_host_key_only_if_the_report_has_it() {
    let mut envelope = Envelope::parse(include_bytes!("../../../tests/golden/envelope-v1.json")).unwrap();
    let key = |envelope: &Envelope| Beacon::of_report(envelope, Reason::None).and_then(|beacon| beacon.key);
    assert!(matches!(key(&envelope), Some(Key::Host(_))));
    envelope.signing_key = public([1; 32]).to_openssh().unwrap();
    assert_eq!(key(&envelope), Some(Key::Ephemeral([1; 32])));
    envelope.signing_key = ECDSA.into();
    assert_eq!(key(&envelope), None);
}

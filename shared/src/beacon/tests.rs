mod frames;
mod words;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use ssh_key::public::Ed25519PublicKey;

use super::*;
use crate::wire::{Envelope, HostKey};

const FORMS: [Form; 2] = [Form::Ipv6, Form::Ipv4];

fn public(raw: [u8; 32]) -> PublicKey {
    PublicKey::from(KeyData::Ed25519(Ed25519PublicKey(raw)))
}

fn sample() -> Beacon {
    let report = std::array::from_fn(|index| u8::try_from(index).unwrap() + 1);
    let key = std::array::from_fn(|index| 0xff - u8::try_from(index).unwrap());
    Beacon {
        state: State::Degraded,
        reason: Reason::CheckFailed,
        report: Some(report),
        key: Some(Key::Host(key)),
    }
}

/// What `seen` says is what `beacon` says, as far as its form carries it.
fn says(seen: &Seen, beacon: &Beacon) -> bool {
    let other = |mut bytes: [u8; 32]| {
        bytes[0] ^= 1;
        bytes
    };
    let report = match beacon.report {
        None => !seen.names_report(),
        Some(digest) => {
            seen.matches_report(&hex::encode(digest)) && !seen.matches_report(&hex::encode(other(digest)))
        }
    };
    let host = |key: [u8; 32]| HostKey::of(&public(key)).unwrap();
    let key = match beacon.key {
        None => seen.host_key().is_none() && !seen.key_is_ephemeral() && !seen.matches_key(&public([0; 32])),
        Some(Key::Host(key)) => {
            seen.matches_key(&public(key))
                && !seen.matches_key(&public(other(key)))
                && !seen.key_is_ephemeral()
                && seen.host_key() == (seen.form == Form::Ipv6).then(|| host(key))
        }
        Some(Key::Ephemeral(key)) => {
            seen.matches_key(&public(key)) && seen.key_is_ephemeral() && seen.host_key().is_none()
        }
    };
    seen.state() == beacon.state && seen.reason() == beacon.reason && report && key
}

/// The format as it stands on the wire; these vectors were made by another program, from the specification. If this test fails, hosts and guests in the field no longer understand each other.
#[test]
fn the_format_never_changes_by_accident() {
    let text = |form| encode(&sample(), form, 0xa7).iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(
        text(Form::Ipv6),
        [
            "fe80:5e11:10a7:1345:102:304:506:708",
            "fe80:5e11:11a7:90a:b0c:d0e:f10:1112",
            "fe80:5e11:12a7:1314:1516:1718:191a:1b1c",
            "fe80:5e11:13a7:1d1e:1f20:fffe:fdfc:fbfa",
            "fe80:5e11:14a7:f9f8:f7f6:f5f4:f3f2:f1f0",
            "fe80:5e11:15a7:efee:edec:ebea:e9e8:e7e6",
            "fe80:5e11:16a7:e5e4:e3e2:e1e0:c244:2c74"
        ]
    );
    assert_eq!(
        text(Form::Ipv4),
        [
            "127.240.19.69",
            "127.241.1.2",
            "127.242.3.4",
            "127.243.5.6",
            "127.244.7.8",
            "127.245.9.10",
            "127.246.11.12",
            "127.247.24.101",
            "127.248.192.8",
            "127.249.49.231",
            "127.250.63.126",
            "127.251.226.63",
            "127.252.193.60",
            "127.253.49.144",
            "127.254.219.104"
        ]
    );
    let empty = Beacon { state: State::IdentityDone, reason: Reason::None, report: None, key: None };
    assert_eq!(encode(&empty, Form::Ipv6, 0)[0], "fe80:5e11:1000:1100::".parse::<IpAddr>().unwrap());
    assert_eq!(encode(&empty, Form::Ipv4, 0)[0], "127.128.17.0".parse::<IpAddr>().unwrap());
}

#[test]
fn numbers_of_states_and_reasons_are_never_given_away() {
    assert_eq!(State::ALL.map(State::number), [1, 2, 3, 4]);
    assert_eq!(Reason::ALL.map(Reason::number), [0, 1, 2, 3, 4, 5, 6, 63]);
    for reason in Reason::ALL {
        assert_eq!(Reason::of_code(reason.as_str()), reason);
    }
    assert_eq!(Reason::of_code("something new"), Reason::Other);
}

#[test]
fn a_set_is_read_in_any_order_and_among_other_addresses() {
    for form in FORMS {
        let mut addresses = encode(&sample(), form, 3);
        addresses.reverse();
        addresses.extend(addresses.clone());
        for other in ["::1", "127.0.0.1", "127.0.0.53", "fe80::1", "10.0.0.1", "fd5e:11::1", "fe80:5e12::1"] {
            addresses.insert(addresses.len() / 2, other.parse().unwrap());
        }
        let seen = decode(&addresses).unwrap().unwrap();
        assert!(says(&seen, &sample()) && seen.generation == 3, "{seen:?}");
    }
    assert_eq!(decode(&["::1".parse().unwrap(), "127.0.0.1".parse().unwrap()]), Ok(None));
    assert_eq!(decode(&[]), Ok(None));
}

#[test]
fn a_torn_set_is_an_error_that_counts_its_pieces() {
    for form in FORMS {
        let whole = encode(&sample(), form, 9);
        for missing in 0..whole.len() {
            let mut torn = whole.clone();
            torn.remove(missing);
            let expected = BeaconError::Torn {
                generation: if form == Form::Ipv6 { 9 } else { 1 },
                found: torn.len(),
                wanted: whole.len(),
            };
            assert_eq!(decode(&torn), Err(expected));
        }
    }
}

#[test]
fn two_pieces_in_one_place_are_never_chosen_between() {
    for form in FORMS {
        let mut addresses = encode(&sample(), form, 5);
        let other = encode(&Beacon { state: State::Ready, ..sample() }, form, 5);
        assert_ne!(addresses[0], other[0]);
        addresses.push(other[0]);
        assert_eq!(decode(&addresses), Err(BeaconError::Conflict { generation: 5, index: 0 }));
        addresses.remove(0);
        assert_eq!(decode(&addresses), Err(BeaconError::Checksum { generation: 5 }));
    }
}

#[test]
fn a_set_under_another_generation_does_not_count() {
    let moved = encode(&sample(), Form::Ipv6, 5).into_iter().map(|address| {
        let IpAddr::V6(v6) = address else { panic!("{address}") };
        let mut octets = v6.octets();
        octets[5] = 6;
        IpAddr::from(octets)
    });
    assert_eq!(decode(&moved.collect::<Vec<_>>()), Err(BeaconError::Checksum { generation: 6 }));
}

#[test]
fn the_newest_whole_generation_wins_across_the_wrap() {
    let newer = Beacon { state: State::Ready, reason: Reason::None, ..sample() };
    for (form, old, new) in [
        (Form::Ipv6, 0, 1),
        (Form::Ipv6, 255, 0),
        (Form::Ipv6, 200, 71),
        (Form::Ipv4, 7, 0),
        (Form::Ipv4, 6, 1),
    ] {
        let (older, mut both) = (encode(&sample(), form, old), encode(&newer, form, new));
        both.extend(older);
        assert!(says(&decode(&both).unwrap().unwrap(), &newer), "{form:?} {old} {new}");
        both.remove(1);
        let seen = decode(&both).unwrap().unwrap();
        assert!(
            says(&seen, &sample()) && seen.generation == old,
            "the newer one is torn: the older one counts"
        );
    }
}

#[test]
fn generations_that_cannot_be_ordered_are_an_error() {
    for (form, generations) in
        [(Form::Ipv6, &[0u8, 128][..]), (Form::Ipv6, &[0, 100, 200]), (Form::Ipv4, &[1, 5])]
    {
        let all: Vec<IpAddr> = generations.iter().flat_map(|one| encode(&sample(), form, *one)).collect();
        assert_eq!(decode(&all), Err(BeaconError::Ambiguous), "{form:?} {generations:?}");
    }
    let mut both = encode(&sample(), Form::Ipv6, 1);
    both.extend(encode(&sample(), Form::Ipv4, 2));
    assert_eq!(decode(&both), Err(BeaconError::Ambiguous), "forms have no common order");
}

#[test]
fn other_versions_are_told_from_garbage() {
    let newer: IpAddr = "fe80:5e11:2f00::1".parse().unwrap();
    assert_eq!(decode(&[newer]), Err(BeaconError::Version { found: 2 }));
    let mut beside = encode(&sample(), Form::Ipv6, 0);
    beside.push(newer);
    assert!(says(&decode(&beside).unwrap().unwrap(), &sample()));
    assert!(is_piece(newer), "the guest clears what a newer agent left");
}

#[test]
fn no_address_of_the_short_form_is_one_that_somebody_uses() {
    let worst = Beacon {
        state: State::Failed,
        reason: Reason::Other,
        report: Some([0xff; 32]),
        key: Some(Key::Ephemeral([0xff; 32])),
    };
    for generation in 0..=255 {
        for address in encode(&worst, Form::Ipv4, generation) {
            let IpAddr::V4(v4) = address else { panic!("{address}") };
            assert!(v4.octets()[1] >= 128 && v4 != Ipv4Addr::new(127, 255, 255, 255), "{v4}");
        }
    }
}

#[test]
fn a_report_s_beacon_names_its_bytes_and_its_key() {
    let mut envelope = Envelope::parse(include_bytes!("../../tests/golden/envelope-v1.json")).unwrap();
    let opened = envelope.open().unwrap();
    let beacon = Beacon::of_report(&envelope, Reason::NoHostKey).unwrap();
    let seen = decode(&encode(&beacon, Form::Ipv6, 1)).unwrap().unwrap();
    assert!(seen.matches_report(&opened.sha256) && seen.key_is_ephemeral() == opened.ephemeral_key);
    assert!(seen.matches_key(&PublicKey::from_openssh(&envelope.signing_key).unwrap()));
    for (state, expected) in [
        ("ready", (State::Ready, Reason::None)),
        ("degraded", (State::Degraded, Reason::CheckFailed)),
        ("failed", (State::Failed, Reason::NoHostKey)),
    ] {
        let mut report = serde_json::to_value(&opened.report).unwrap();
        report["state"] = state.into();
        envelope.report = report.to_string();
        let beacon = Beacon::of_report(&envelope, Reason::NoHostKey).unwrap();
        assert_eq!((beacon.state, beacon.reason), expected);
    }
    envelope.report = "{}".into();
    assert_eq!(Beacon::of_report(&envelope, Reason::None), None);
}

#[test]
fn the_next_generation_is_newer_and_free() {
    for form in FORMS {
        let mut standing = encode(&sample(), form, 0xff);
        let newest = decode(&standing).unwrap().unwrap().generation;
        assert_eq!(free_generation(&standing, form, Some(newest)), Some(0));
        standing.push(encode(&sample(), form, 0)[3]);
        assert_eq!(free_generation(&standing, form, Some(newest)), Some(1), "a leftover of 0 stands");
        assert_eq!(free_generation(&[], form, None), Some(0));
    }
    let full: Vec<IpAddr> = (0..8).map(|generation| encode(&sample(), Form::Ipv4, generation)[0]).collect();
    assert_eq!(free_generation(&full, Form::Ipv4, None), None);
    assert_eq!(free_generation(&full, Form::Ipv6, None), Some(0));
}

fn beacons() -> impl Strategy<Value = Beacon> {
    let digest =
        || any::<[u8; 32]>().prop_filter("zero says that there is none", |bytes| bytes[..12] != [0; 12]);
    let key = prop_oneof![
        Just(None),
        digest().prop_map(|raw| Some(Key::Host(raw))),
        digest().prop_map(|raw| Some(Key::Ephemeral(raw))),
    ];
    (
        prop::sample::select(&State::ALL[..]),
        prop::sample::select(&Reason::ALL[..]),
        prop::option::of(digest()),
        key,
    )
        .prop_map(|(state, reason, report, key)| Beacon { state, reason, report, key })
}

fn forms() -> impl Strategy<Value = Form> {
    prop::sample::select(&FORMS[..])
}

/// Any address, most of them close to ours.
fn addresses() -> impl Strategy<Value = IpAddr> {
    let near_v6 = any::<[u8; 12]>().prop_map(|rest| {
        let mut octets = [0; 16];
        octets[..4].copy_from_slice(&[0xfe, 0x80, 0x5e, 0x11]);
        octets[4..].copy_from_slice(&rest);
        octets[4] = 0x10 | octets[4] & 7;
        octets[5] &= 3;
        IpAddr::from(octets)
    });
    prop_oneof![
        any::<u128>().prop_map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits))),
        any::<[u8; 3]>().prop_map(|rest| IpAddr::from([127, rest[0], rest[1], rest[2]])),
        near_v6,
    ]
}

fn sets_of(generations: impl Strategy<Value = u8>) -> impl Strategy<Value = (Beacon, Form, u8)> {
    (beacons(), forms(), generations)
}

/// Up to three beacons, and a shuffled list of most of their pieces with others' addresses between them.
fn mixed() -> impl Strategy<Value = (Vec<(Beacon, Form, u8)>, Vec<IpAddr>)> {
    let sets = prop::collection::vec((sets_of(0u8..3), prop::option::of(0usize..15)), 1..4);
    (sets, prop::collection::vec(addresses(), 0..4)).prop_flat_map(|(sets, mut all)| {
        for ((beacon, form, generation), lost) in &sets {
            let pieces = encode(beacon, *form, *generation).into_iter().enumerate();
            all.extend(pieces.filter(|(at, _)| Some(*at) != *lost).map(|(_, piece)| piece));
        }
        (Just(sets.into_iter().map(|(set, _)| set).collect::<Vec<_>>()), Just(all).prop_shuffle())
    })
}

/// The property above is worth something only if such lists decode at all.
#[test]
fn mixed_lists_often_hold_a_whole_beacon() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let lists = (0..200).map(|_| mixed().new_tree(&mut runner).unwrap().current().1);
    let decoded = lists.filter(|all| matches!(decode(all), Ok(Some(_)))).count();
    assert!((20..180).contains(&decoded), "{decoded} of 200");
}

proptest! {
    #[test]
    fn what_was_encoded_is_what_is_decoded((beacon, pieces) in sets_of(any::<u8>()).prop_flat_map(|(beacon, form, generation)| {
        (Just(beacon), Just(encode(&beacon, form, generation)).prop_shuffle())
    })) {
        let seen = decode(&pieces).unwrap().unwrap();
        prop_assert!(says(&seen, &beacon), "{:?}", seen);
    }

    /// Several beacons, some under one generation, some pieces lost, others' addresses between them, all shuffled.
    #[test]
    fn torn_mixed_and_foreign_sets_decode_to_a_whole_beacon_or_to_none((sets, all) in mixed()) {
        if let Ok(Some(seen)) = decode(&all) {
            let source = sets.iter().find(|(beacon, form, generation)| {
                *form == seen.form
                    && *generation == seen.generation
                    && says(&seen, beacon)
                    && encode(beacon, *form, *generation).iter().all(|piece| all.contains(piece))
            });
            prop_assert!(source.is_some(), "{:?} was never encoded whole", seen);
        }
    }

    #[test]
    fn no_list_of_addresses_panics(list in prop::collection::vec(addresses(), 0..40)) {
        let _ = decode(&list);
        for form in FORMS {
            let _ = free_generation(&list, form, None);
        }
    }

    #[test]
    fn a_changed_bit_is_never_accepted(beacon in beacons(), form in forms(), at in any::<prop::sample::Index>(), bit in 0usize..16) {
        let mut all = encode(&beacon, form, 1);
        let at = at.index(all.len());
        all[at] = match all[at] {
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() ^ (1 << bit))),
            IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() ^ (1 << bit))),
        };
        prop_assert!(decode(&all).is_err());
    }
}

//! Frames that this code does not write, put together after the specification: their checksum holds.

use sha2::{Digest, Sha256};

use super::*;

/// Addresses of a frame: the first two bytes, the digest of the report, and the key as the form has it.
fn raised(form: Form, generation: u8, head: [u8; 2], report: u8, key: u8) -> Vec<IpAddr> {
    let length = if form == Form::Ipv6 { 32 } else { 12 };
    let mut frame = head.to_vec();
    frame.extend(vec![report; length]);
    frame.extend(vec![key; length]);
    let mut told = b"firstlight-beacon".to_vec();
    told.extend([if form == Form::Ipv6 { 6 } else { 4 }, generation]);
    told.extend(&frame);
    frame.extend(&Sha256::digest(told)[..4]);
    let piece = |(index, bytes): (u8, &[u8])| match form {
        Form::Ipv6 => {
            let mut octets = [0; 16];
            octets[..6].copy_from_slice(&[0xfe, 0x80, 0x5e, 0x11, 0x10 + index, generation]);
            octets[6..].copy_from_slice(bytes);
            IpAddr::from(octets)
        }
        Form::Ipv4 => IpAddr::from([127, 128 + 16 * generation + index, bytes[0], bytes[1]]),
    };
    (0..).zip(frame.chunks(if form == Form::Ipv6 { 10 } else { 2 })).map(piece).collect()
}

#[test]
fn fields_that_version_1_does_not_have_are_told_from_accidents() {
    for form in FORMS {
        for (name, head, report, key, expected) in [
            ("all there", [0x12, 0x40], 1, 2, Ok((State::Ready, Reason::None))),
            ("no report, no key", [0x11, 0x00], 0, 0, Ok((State::IdentityDone, Reason::None))),
            ("a reason of a newer agent", [0x14, 0x80 | 62], 1, 2, Ok((State::Failed, Reason::Other))),
            ("a newer version", [0x22, 0x40], 1, 2, Err(BeaconError::Version { found: 2 })),
            ("an older version", [0x02, 0x40], 1, 2, Err(BeaconError::Version { found: 0 })),
            ("no state", [0x10, 0x40], 1, 2, Err(BeaconError::Content { generation: 3 })),
            ("a state too many", [0x15, 0x40], 1, 2, Err(BeaconError::Content { generation: 3 })),
            ("a kind of key too many", [0x12, 0xc0], 1, 2, Err(BeaconError::Content { generation: 3 })),
            ("a key of no kind", [0x12, 0x00], 1, 2, Err(BeaconError::Content { generation: 3 })),
            ("a kind without key", [0x12, 0x40], 1, 0, Err(BeaconError::Content { generation: 3 })),
            (
                "an ephemeral kind without key",
                [0x12, 0x80],
                1,
                0,
                Err(BeaconError::Content { generation: 3 }),
            ),
        ] {
            let seen = decode(&raised(form, 3, head, report, key));
            let told = seen.map(|seen| seen.map(|seen| (seen.state(), seen.reason())));
            assert_eq!(told, expected.map(Some), "{name}, {form:?}");
        }
    }
}

#[test]
fn places_that_no_beacon_has_are_somebody_else_s() {
    for (address, ours) in [
        ("fe80:5e11:1600::", true),
        ("fe80:5e11:1700::", false),
        ("fe80:5e11:1f00::", false),
        ("fe80:5e11:2f00::", true), // what a newer version has there is not known
        ("fe80:5e12:1000::", false),
        ("127.128.0.0", true),
        ("127.142.0.0", true),
        ("127.143.0.0", false),
        ("127.255.255.255", false),
        ("127.127.0.0", false),
        ("126.128.0.0", false),
        ("10.0.0.1", false),
    ] {
        assert_eq!(is_piece(address.parse().unwrap()), ours, "{address}");
    }
}

/// Who looks is told of what is nearest to a beacon.
#[test]
fn of_several_torn_sets_the_fullest_is_told() {
    let torn = |generation, found: usize| encode(&sample(), Form::Ipv6, generation).into_iter().take(found);
    let error = |generation, found| Err(BeaconError::Torn { generation, found, wanted: 7 });
    let newer: IpAddr = "fe80:5e11:2f00::1".parse().unwrap();
    for (name, addresses, expected) in [
        ("the later one", torn(1, 2).chain(torn(2, 5)).collect::<Vec<_>>(), error(2, 5)),
        ("the earlier one", torn(1, 5).chain(torn(2, 2)).collect(), error(1, 5)),
        ("both alike", torn(1, 3).chain(torn(2, 3)).collect(), error(1, 3)),
        ("before another version", torn(1, 1).chain([newer]).collect(), error(1, 1)),
    ] {
        assert_eq!(decode(&addresses), expected, "{name}");
    }
}

#[test]
fn a_generation_is_newer_by_less_than_half_a_turn() {
    for (form, a, b, newer) in [
        (Form::Ipv6, 5, 5, false),
        (Form::Ipv6, 5, 6, true),
        (Form::Ipv6, 6, 5, false),
        (Form::Ipv6, 0, 127, true),
        (Form::Ipv6, 0, 128, false),
        (Form::Ipv6, 250, 3, true),
        (Form::Ipv4, 0, 0, false),
        (Form::Ipv4, 0, 3, true),
        (Form::Ipv4, 0, 4, false),
        (Form::Ipv4, 7, 2, true),
        (Form::Ipv4, 2, 7, false),
    ] {
        assert_eq!(pieces::is_newer(form, a, b), newer, "{form:?}: {b} after {a}");
    }
}

/// Raised beside what stands, a generation must count as the newer one.
#[test]
fn no_generation_is_free_that_would_not_be_newer() {
    for (form, newest, in_the_way, expected) in [
        (Form::Ipv4, 0, &[0u8, 1, 2][..], Some(3)),
        (Form::Ipv4, 0, &[0, 1, 2, 3], None),
        (Form::Ipv4, 6, &[6, 7], Some(0)),
        (Form::Ipv6, 0, &[0], Some(1)),
        (Form::Ipv6, 255, &[255, 0, 1], Some(2)),
    ] {
        let standing: Vec<_> = in_the_way.iter().map(|one| encode(&sample(), form, *one)[0]).collect();
        assert_eq!(free_generation(&standing, form, Some(newest)), expected, "{form:?} {in_the_way:?}");
    }
    let all: Vec<_> = (0..128).map(|one| encode(&sample(), Form::Ipv6, one)[0]).collect();
    assert_eq!(free_generation(&all[..127], Form::Ipv6, Some(0)), Some(127));
    assert_eq!(free_generation(&all, Form::Ipv6, Some(0)), None);
}

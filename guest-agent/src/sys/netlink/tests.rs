use super::*;

const DAY: Duration = Duration::from_secs(86400);

fn bytes(hexadecimal: &str) -> Vec<u8> {
    hex(&hexadecimal.replace([' ', '\n'], ""))
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn v6() -> IpAddr {
    "fe80:5e11:10a7:1345:102:304:506:708".parse().unwrap()
}

fn v4() -> IpAddr {
    "127.240.19.69".parse().unwrap()
}

/// What iproute2 6.1 sends (strace, sequence number aside) for `ip addr add ADDRESS dev lo valid_lft 86400
/// preferred_lft 0 noprefixroute` with `nodad scope link` or `scope host`, and for `ip addr del`.
#[test]
#[cfg(target_endian = "little")]
fn the_messages_are_those_of_ip() {
    let address = "fe80 5e11 10a7 1345 0102 0304 0506 0708";
    let local = format!("1400 0200 {address}");
    let other = format!("1400 0100 {address}");
    let lifetimes = "1400 0600 00000000 80510100 00000000 00000000";
    for (made, ips) in [
        (
            add(v6(), DAY, 7),
            format!(
                "5c000000 1400 0506 07000000 00000000 0a8000fd 01000000 {local} 0800 0800 02020000 {other} {lifetimes}"
            ),
        ),
        (remove(v6(), 7), format!("40000000 1500 0500 07000000 00000000 0a800000 01000000 {local} {other}")),
        (
            add(v4(), DAY, 7),
            format!(
                "44000000 1400 0506 07000000 00000000 022000fe 01000000 \
                 0800 0200 7ff01345 0800 0800 00020000 0800 0100 7ff01345 {lifetimes}"
            ),
        ),
        (
            remove(v4(), 7),
            "28000000 1500 0500 07000000 00000000 02200000 01000000 0800 0200 7ff01345 0800 0100 7ff01345"
                .to_owned(),
        ),
    ] {
        assert_eq!(made, bytes(&ips));
    }
}

#[test]
fn a_listed_address_is_read_back() {
    let request = add(v6(), DAY, 1);
    let mut body = request[16..].to_vec();
    let read = loopback_address(&body).unwrap();
    assert_eq!((read.address, read.prefix, read.valid_for), (v6(), 128, Some(DAY)));
    assert!(!read.deprecated);
    body.extend(attribute(IFA_FLAGS, &0x2a2u32.to_ne_bytes()));
    assert!(loopback_address(&body).unwrap().deprecated);
    body[4..8].copy_from_slice(&2u32.to_ne_bytes());
    assert_eq!(loopback_address(&body), None, "another interface");
    let plain = [own_header(v4(), 254), attribute(IFA_LOCAL, &octets(v4()))].concat();
    assert_eq!(loopback_address(&plain).unwrap().valid_for, None);
}

#[test]
fn lifetimes_are_never_zero_or_endless() {
    for (span, seconds) in
        [(Duration::ZERO, 1u32), (Duration::from_millis(1500), 1), (Duration::MAX, u32::MAX - 1)]
    {
        let made = add(v4(), span, 1);
        assert_eq!(made[made.len() - 12..made.len() - 8], seconds.to_ne_bytes(), "{span:?}");
    }
}

#[test]
fn answers_that_are_cut_off_end_the_reading() {
    let whole = [add(v6(), DAY, 1), remove(v4(), 2)].concat();
    assert_eq!(messages(&whole).count(), 2);
    for length in 0..whole.len() {
        assert!(messages(&whole[..length]).count() < 2);
        for (_, body) in messages(&whole[..length]) {
            let _ = (errno(body), loopback_address(body));
        }
        let _ = (errno(&whole[..length]), loopback_address(&whole[..length]));
    }
    let endless = message(0, 0, 0, &[]).into_iter().map(|_| 0).collect::<Vec<u8>>();
    assert_eq!(messages(&endless).count(), 0, "a length of zero");
    assert_eq!(errno(&[0; 4]), Some(Errno::UnknownErrno));
    assert_eq!(errno(&(-1i32).to_ne_bytes()), Some(Errno::EPERM));
    assert_eq!(errno(&i32::MIN.to_ne_bytes()), None);
}

/// The kernel's own list agrees with what is known of every `lo`.
#[test]
fn the_kernel_lists_localhost() {
    let found = Loopback::open().unwrap().addresses().unwrap();
    let localhost = found.iter().find(|one| one.address == IpAddr::from([127, 0, 0, 1]));
    let localhost = localhost.unwrap_or_else(|| panic!("{found:?}"));
    assert_eq!((localhost.prefix, localhost.deprecated, localhost.valid_for), (8, false, None));
}

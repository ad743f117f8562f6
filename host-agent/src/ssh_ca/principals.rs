//! For which names a certificate holds. ssh takes patterns in them, so nothing that could be one comes in. Pure.

use std::net::IpAddr;

/// In characters; DNS has no longer names.
const LONGEST: usize = 253;

/// The guest's name, the same in each of these domains, and its addresses.
///
/// Addresses that mean another machine elsewhere (loopback, link-local) are none of it. None: the name cannot be certified.
pub(crate) fn of_guest(name: &str, domains: &[String], addresses: &[IpAddr]) -> Vec<String> {
    if problem_of(name).is_some() {
        return Vec::new();
    }
    let name = name.to_lowercase();
    let domains = domains.iter().map(|domain| format!("{name}.{}", domain.to_lowercase()));
    let mut principals = vec![name.clone()];
    principals.extend(domains.filter(|name| problem_of(name).is_none()));
    principals.extend(addresses.iter().filter(|address| is_its_own(**address)).map(ToString::to_string));
    let mut seen = std::collections::BTreeSet::new();
    principals.retain(|principal| seen.insert(principal.clone()));
    principals
}

/// Why a certificate cannot hold for this name or address; none: it can.
pub(crate) fn problem_of(principal: &str) -> Option<&'static str> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':');
    if principal.is_empty() || principal.len() > LONGEST {
        Some("1 to 253 characters are wanted")
    } else if !principal.bytes().all(fits) {
        Some("only letters, digits, `-`, `_`, `.` and `:` may stand in it: no pattern, no list")
    } else {
        None
    }
}

fn is_its_own(address: IpAddr) -> bool {
    let elsewhere = match address {
        IpAddr::V4(address) => address.is_link_local() || address.is_broadcast(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    !elsewhere && !address.is_loopback() && !address.is_unspecified() && !address.is_multicast()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_is_certified_for_its_name_and_its_own_addresses() {
        for (name, domains, addresses, wanted) in [
            ("web-01", &[][..], &["10.0.0.5"][..], &["web-01", "10.0.0.5"][..]),
            ("Web-01", &["Lab.example"], &["fd00::5"], &["web-01", "web-01.lab.example", "fd00::5"]),
            ("web-01", &["lab.example", "lab.example"], &[], &["web-01", "web-01.lab.example"]),
            (
                "web-01",
                &["*"],
                &["127.0.0.1", "::1", "fe80::1", "169.254.1.1", "0.0.0.0", "ff02::1"],
                &["web-01"],
            ),
            ("*", &["lab.example"], &["10.0.0.5"], &[]),
            ("web-01,db-01", &[], &["10.0.0.5"], &[]),
            ("!web", &[], &["10.0.0.5"], &[]),
            ("", &[], &["10.0.0.5"], &[]),
        ] {
            let domains: Vec<String> = domains.iter().map(ToString::to_string).collect();
            let addresses: Vec<IpAddr> = addresses.iter().map(|address| address.parse().unwrap()).collect();
            assert_eq!(of_guest(name, &domains, &addresses), wanted, "{name}");
        }
    }

    #[test]
    fn no_principal_is_a_pattern() {
        for (principal, fits) in [
            ("web-01.lab.example", true),
            ("10.0.0.5", true),
            ("fd00::5", true),
            ("web?", false),
            ("*.lab.example", false),
            ("a b", false),
            ("a\nb", false),
            ("wéb", false),
        ] {
            assert_eq!(problem_of(principal).is_none(), fits, "{principal:?}");
        }
        assert!(problem_of(&"a".repeat(254)).is_some());
    }
}

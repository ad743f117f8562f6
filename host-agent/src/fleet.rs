//! Identities across the fleet: no two guests may share one.

use std::collections::BTreeMap;

use firstlight_shared::wire::Report;
use serde::Serialize;

/// The identities of one guest, as pairs of kind and value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identities {
    pub guest: String,
    pub values: Vec<(&'static str, String)>,
}

/// One identity that several guests share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Duplicate {
    /// `mac`, `address`, `machine-id`, `hostname` or `ssh-host-key`.
    pub kind: &'static str,
    pub value: String,
    pub guests: Vec<String>,
}

/// What a report says of its guest's identity. MACs of the loopback (all zero) are none.
pub fn identities(guest: &str, report: &Report) -> Identities {
    let identity = &report.identity;
    let mut values = vec![("hostname", identity.hostname.current.clone())];
    values.extend(identity.machine_id.derived.map(|id| ("machine-id", id.to_string())));
    values.extend(identity.ssh_host_keys.iter().map(|key| ("ssh-host-key", key.fingerprint.clone())));
    for interface in &report.network {
        values.extend(interface.mac.filter(|mac| mac.0 != [0; 6]).map(|mac| ("mac", mac.to_string())));
        let global = interface.addresses.iter().map(|address| address.address).filter(is_global);
        values.extend(global.map(|address| ("address", address.to_string())));
    }
    Identities { guest: guest.to_owned(), values }
}

/// Neither loopback nor link-local.
pub fn is_global(address: &std::net::IpAddr) -> bool {
    match address {
        std::net::IpAddr::V4(v4) => !v4.is_loopback() && !v4.is_link_local() && !v4.is_unspecified(),
        std::net::IpAddr::V6(v6) => {
            !v6.is_loopback() && (v6.segments()[0] & 0xffc0) != 0xfe80 && !v6.is_unspecified()
        }
    }
}

/// Every identity that more than one guest has.
pub fn duplicates(fleet: &[Identities]) -> Vec<Duplicate> {
    let mut holders: BTreeMap<(&'static str, &str), Vec<String>> = BTreeMap::new();
    for member in fleet {
        for (kind, value) in &member.values {
            let guests = holders.entry((kind, value)).or_default();
            if !guests.contains(&member.guest) {
                guests.push(member.guest.clone());
            }
        }
    }
    let shared = holders.into_iter().filter(|(_, guests)| guests.len() > 1);
    shared.map(|((kind, value), guests)| Duplicate { kind, value: value.to_owned(), guests }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_shared_value_is_one_duplicate_and_kinds_do_not_mix() {
        let member = |guest: &str, values: &[(&'static str, &str)]| Identities {
            guest: guest.to_owned(),
            values: values.iter().map(|(kind, value)| (*kind, (*value).to_owned())).collect(),
        };
        let fleet = [
            member("a", &[("mac", "1"), ("hostname", "x"), ("mac", "1")]),
            member("b", &[("mac", "1"), ("hostname", "y")]),
            member("c", &[("mac", "2"), ("hostname", "1")]),
        ];
        let found = duplicates(&fleet);
        assert_eq!(
            found,
            [Duplicate { kind: "mac", value: "1".into(), guests: vec!["a".into(), "b".into()] }]
        );
    }
}

//! Identities across the fleet: no two guests may share one.

use std::collections::{BTreeMap, BTreeSet};

use firstlight_shared::text::escape;
use firstlight_shared::wire::Report;
use serde::Serialize;

use crate::backend::leads_somewhere;
use crate::store::Shared;

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
    pub kind: String,
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
        let global = interface.addresses.iter().map(|address| address.address).filter(leads_somewhere);
        values.extend(global.map(|address| ("address", address.to_string())));
    }
    Identities { guest: guest.to_owned(), values }
}

/// What `guest` shares with others, as the store found it: one entry for each identity. Values are a guest's word, and escaped.
pub fn duplicates_with(guest: &str, shared: &[Shared]) -> Vec<Duplicate> {
    merged(shared.iter().map(|other| Duplicate {
        kind: other.kind.clone(),
        value: escape(&other.value, 100),
        guests: vec![guest.to_owned(), other.guest.clone()],
    }))
}

/// One entry for each identity, with all its guests, sorted.
pub fn merged(found: impl IntoIterator<Item = Duplicate>) -> Vec<Duplicate> {
    let mut holders: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    for one in found {
        holders.entry((one.kind, one.value)).or_default().extend(one.guests);
    }
    let one = |((kind, value), guests): ((String, String), BTreeSet<String>)| Duplicate {
        kind,
        value,
        guests: guests.into_iter().collect(),
    };
    holders.into_iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_shared_value_is_one_duplicate_and_kinds_do_not_mix() {
        let shared = |kind: &str, value: &str, guest: &str| Shared {
            kind: kind.into(),
            value: value.into(),
            guest: guest.into(),
            job: "j".into(),
        };
        let found = [
            shared("mac", "1", "b"),
            shared("mac", "1", "c"),
            shared("hostname", "1", "d"),
            shared("mac", "1", "b"),
        ];
        let one = |kind: &str, guests: &[&str]| Duplicate {
            kind: kind.into(),
            value: "1".into(),
            guests: guests.iter().map(|guest| (*guest).to_owned()).collect(),
        };
        assert_eq!(
            duplicates_with("a", &found),
            [one("hostname", &["a", "d"]), one("mac", &["a", "b", "c"])]
        );
        let both = duplicates_with("a", &found[..1])
            .into_iter()
            .chain(duplicates_with("b", &[shared("mac", "1", "a")]));
        assert_eq!(merged(both), [one("mac", &["a", "b"])]);
    }
}

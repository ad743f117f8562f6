//! Whether clones are themselves: the demo's own judgement, apart from the companion's.

use std::collections::BTreeMap;

use serde_json::Value;

/// Every identity that two guests share, or that the companion calls a duplicate, one line each.
pub fn shared_identities(document: &Value) -> Vec<String> {
    let mut owners: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for guest in document["guests"].as_array().into_iter().flatten() {
        let name = guest["name"].as_str().unwrap_or("?");
        for identity in identities(guest) {
            owners.entry(identity).or_default().push(name.to_owned());
        }
    }
    let shared = owners.into_iter().filter(|(_, names)| names.len() > 1);
    let mut lines: Vec<String> =
        shared.map(|(identity, names)| format!("{identity} is of {}", names.join(" and "))).collect();
    let named = document["duplicates"].as_array().into_iter().flatten();
    lines.extend(named.map(|duplicate| format!("the companion says: {duplicate}")));
    lines
}

fn identities(guest: &Value) -> Vec<String> {
    let mut all: Vec<String> = ["name", "mac", "machine_id", "hostname"]
        .iter()
        .filter_map(|field| Some(format!("{field} {}", guest[*field].as_str()?)))
        .collect();
    let strings = |value: &Value| value.as_str().map(str::to_owned);
    all.extend(
        guest["addresses"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(strings)
            .map(|text| format!("address {text}")),
    );
    let keys = guest["ssh_host_keys"].as_array().into_iter().flatten();
    all.extend(keys.filter_map(|key| strings(&key["fingerprint"])).map(|text| format!("host key {text}")));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn guest(name: &str, mac: &str, key: &str) -> Value {
        json!({"name": name, "mac": mac, "machine_id": mac, "hostname": name, "addresses": [mac],
            "ssh_host_keys": [{"type": "ssh-ed25519", "fingerprint": key}]})
    }

    #[test]
    fn one_shared_key_is_enough() {
        let apart = json!({"guests": [guest("a", "1", "x"), guest("b", "2", "y")], "duplicates": []});
        assert_eq!(shared_identities(&apart), Vec::<String>::new());
        let shared = json!({"guests": [guest("a", "1", "x"), guest("b", "2", "x")], "duplicates": []});
        assert_eq!(shared_identities(&shared), ["host key x is of a and b"]);
        let named = json!({"guests": [], "duplicates": [{"kind": "mac"}]});
        assert_eq!(shared_identities(&named).len(), 1);
    }
}

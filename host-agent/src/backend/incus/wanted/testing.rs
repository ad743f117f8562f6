//! Placements for the tables.

use firstlight_shared::wire::Claim;
use serde_json::{Value, json};

use super::{Base, Config, Devices};
use crate::backend::{Allocation, GuestPlan, Placement, Slot};

pub(in crate::backend::incus) const UUID: &str = "77250a18-41e2-4b60-9abe-b03dd3b3e545";

/// Of these keys over the least that a plan has.
pub(in crate::backend::incus) fn plan(keys: Value) -> GuestPlan {
    let mut plan = json!({ "name": "web-01", "golden": "golden", "size": {} });
    for (key, value) in keys.as_object().into_iter().flatten() {
        plan[key] = value.clone();
    }
    serde_json::from_value(plan).unwrap()
}

pub(in crate::backend::incus) fn placement(keys: Value) -> Placement {
    let slot = Slot { id: "web-01".into(), node: "local".into(), uuid: Some(UUID.into()), since_s: 0 };
    Placement::new(
        "j1",
        plan(keys),
        Allocation {
            mac: "10:66:6a:00:00:01".parse().unwrap(),
            more_macs: vec!["10:66:6a:00:00:02".parse().unwrap()],
            addresses: vec![],
            slot: Some(slot),
        },
        Claim::parse(br#"{"version":1,"id":"c1"}"#).unwrap(),
    )
}

/// `key=value` by words.
pub(in crate::backend::incus) fn config(text: &str) -> Config {
    let pairs = text.split_whitespace().map(|pair| pair.split_once('=').unwrap());
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// Of the usual default profile.
pub(in crate::backend::incus) fn base() -> Base {
    Base {
        config: Config::new(),
        devices: Devices::from([
            ("root".to_owned(), config("type=disk path=/ pool=default")),
            ("eth0".to_owned(), config("type=nic network=incusbr0 name=eth0")),
        ]),
        managed: vec!["incusbr0".to_owned(), "lab".to_owned()],
    }
}

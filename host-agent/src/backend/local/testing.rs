//! Values for this backend's unit tests.

use firstlight_shared::ids::MacAddress;
use firstlight_shared::wire::{Claim, Intent};

use crate::backend::{Allocation, GuestPlan, Place, Placement, Size};

pub(super) fn placement(name: &str, job: &str) -> Placement {
    let claim: Claim =
        serde_json::from_str(r#"{"version":1,"id":"c1","secret":"00112233445566778899aabbccddeeff"}"#)
            .unwrap();
    Placement {
        job: job.to_owned(),
        plan: GuestPlan {
            name: name.parse().unwrap(),
            golden: "/golden.tar".into(),
            intent: Intent::Provision,
            kind: None,
            place: Place::default(),
            nics: Vec::new(),
            mounts: Vec::new(),
            size: Size::default(),
            tags: Vec::new(),
            onboot: None,
            ephemeral: false,
            secrets: Vec::new(),
        },
        allocation: Allocation {
            mac: MacAddress::local([0x02, 0xf1, 0x57], [0, 0, 1]),
            addresses: vec!["10.77.0.10".parse().unwrap()],
            more_macs: Vec::new(),
            slot: None,
        },
        claim,
        made: false,
        adopted: false,
        tasks: std::collections::BTreeMap::new(),
        unsure: false,
    }
}

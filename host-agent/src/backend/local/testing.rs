//! Values for this backend's unit tests.

use firstlight_shared::ids::MacAddress;
use firstlight_shared::wire::Claim;

use crate::backend::{Allocation, GuestPlan, Placement, testing};

pub(super) fn placement(name: &str, job: &str) -> Placement {
    let claim: Claim =
        serde_json::from_str(r#"{"version":1,"id":"c1","secret":"00112233445566778899aabbccddeeff"}"#)
            .unwrap();
    Placement::new(
        job,
        GuestPlan { name: name.parse().unwrap(), golden: "/golden.tar".into(), ..testing::plan() },
        Allocation {
            mac: MacAddress::local([0x02, 0xf1, 0x57], [0, 0, 1]),
            addresses: vec!["10.77.0.10".parse().unwrap()],
            more_macs: Vec::new(),
            slot: None,
        },
        claim,
    )
}

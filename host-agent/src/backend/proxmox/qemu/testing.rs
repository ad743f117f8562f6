//! What tests of this folder work on.

use serde_json::{Value, json};

use crate::backend::proxmox::client::endpoint::Endpoint as _;
use crate::backend::proxmox::client::endpoint::config::{GuestConfig, ReadConfig};
use crate::backend::{Allocation, Placement, Slot};

/// As a server answers.
pub(super) fn config(values: Value) -> GuestConfig {
    ReadConfig::read(values).unwrap()
}

/// `web-01` at VMID 104, with these fields in its plan.
pub(super) fn placement(fields: Value) -> Placement {
    let mut plan = json!({
        "name": "web-01", "kind": "vm",
        "golden": "local:backup/vzdump-qemu-9200-2026_11_21-12_00_00.vma.zst",
    });
    plan.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let plan = serde_json::from_value(plan).unwrap();
    let slot = Slot {
        id: "104".to_owned(),
        node: "pve1".to_owned(),
        uuid: Some("11111111-2222-3333-4444-555555555555".to_owned()),
        since_s: 1000,
    };
    let allocation = Allocation {
        mac: "bc:24:11:00:00:01".parse().unwrap(),
        more_macs: vec!["bc:24:11:00:00:02".parse().unwrap()],
        addresses: Vec::new(),
        slot: Some(slot),
    };
    let claim = json!({
        "version": 1, "id": "0b6c4d1e9f0b6c4d", "intent": "provision", "hostname": "web-01",
        "url": "https://10.77.0.1:7443", "pin": "sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
    });
    let claim = serde_json::from_value(claim).unwrap();
    Placement::new("0123abcd", plan, allocation, claim)
}

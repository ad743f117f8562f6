//! Addresses that a plan gives to a machine: only cloud-init in the guest can take them.
//!
//! Parameters and drive are set after the restore; Proxmox writes the drive when the machine starts.

use firstlight_shared::wire::Intent;

use super::disks;
use crate::backend::proxmox::client::endpoint::config::GuestConfig;
use crate::backend::proxmox::client::properties::Properties;
use crate::backend::{GuestPlan, Nic};

/// Where a drive goes, the usual place first.
const PLACES: [&str; 5] = ["ide2", "ide0", "ide1", "ide3", "sata5"];
/// Stands for the storage that a new drive is made on.
const DRIVE: &str = ":cloudinit";

/// Keys and values that are missing. Empty if no interface of the plan has an address.
pub(super) fn missing(plan: &GuestPlan, config: &GuestConfig) -> Vec<(String, String)> {
    let mut set = Vec::new();
    let drives = disks::all(config);
    let has_one = drives.iter().any(|drive| drive.volume().contains("cloudinit"));
    // What has no cloud-init asks a DHCP server without being told.
    let needs_one = |nic: &Nic| nic.address.as_deref().is_some_and(|address| has_one || address != "dhcp");
    if plan.intent == Intent::Restore || !plan.nics.iter().any(needs_one) {
        return set;
    }
    for (number, nic) in plan.nics.iter().enumerate() {
        let key = format!("ipconfig{number}");
        if let Some(wanted) = address(nic)
            && !config.properties(&key).is_some_and(|written| same(&wanted, &written))
        {
            set.push((key, wanted.to_string()));
        }
    }
    // Upgrading all packages before the guest is ready is nobody's wish.
    if config.get("ciupgrade").is_none() {
        set.push(("ciupgrade".to_owned(), "0".to_owned()));
    }
    let free = PLACES.iter().find(|place| drives.iter().all(|drive| drive.key != **place));
    if let (false, Some(place)) = (has_one, free) {
        set.push(((*place).to_owned(), DRIVE.to_owned()));
    }
    set
}

pub(super) fn with_storage(set: Vec<(String, String)>, storage: &str) -> Vec<(String, String)> {
    let named = |value: String| if value == DRIVE { format!("{storage}{value}") } else { value };
    set.into_iter().map(|(key, value)| (key, named(value))).collect()
}

fn address(nic: &Nic) -> Option<Properties> {
    let properties = Properties::default().with("ip", nic.address.as_deref()?);
    Some(match nic.gateway {
        Some(gateway) => properties.with(if gateway.is_ipv4() { "gw" } else { "gw6" }, gateway),
        None => properties,
    })
}

fn same(wanted: &Properties, written: &Properties) -> bool {
    ["ip", "gw", "gw6"].iter().all(|name| wanted.get(name) == written.get(name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::backend::proxmox::qemu::testing::{config, placement};

    #[test]
    fn addresses_come_with_a_drive_and_nothing_comes_without_addresses() {
        let fixed = json!([{ "address": "10.0.0.5/24", "gateway": "10.0.0.1" }, {}]);
        let drive = "local:100/vm-100-cloudinit.qcow2,media=cdrom";
        for (plan, values, expected) in [
            (json!({}), json!({}), vec![]),
            (json!({ "nics": [{ "bridge": "vmbr0" }] }), json!({}), vec![]),
            (
                json!({ "nics": fixed.clone() }),
                json!({ "ide2": "none,media=cdrom" }),
                vec!["ipconfig0 ip=10.0.0.5/24,gw=10.0.0.1", "ciupgrade 0", "ide0 thin:cloudinit"],
            ),
            (
                json!({ "nics": fixed.clone() }),
                json!({ "ide2": drive, "ipconfig0": "gw=10.0.0.1,ip=10.0.0.5/24", "ciupgrade": 1 }),
                vec![],
            ),
            (
                json!({ "nics": [{ "address": "dhcp" }] }),
                json!({ "scsi9": drive, "ipconfig0": "ip=10.0.0.9/24", "ciupgrade": 0 }),
                vec!["ipconfig0 ip=dhcp"],
            ),
            (json!({ "nics": [{ "address": "dhcp" }] }), json!({}), vec![]),
            (json!({ "nics": fixed.clone(), "intent": "restore" }), json!({}), vec![]),
        ] {
            let shown = format!("{plan} {values}");
            let found = with_storage(missing(&placement(plan).plan, &config(values)), "thin");
            let found: Vec<_> = found.iter().map(|(key, value)| format!("{key} {value}")).collect();
            assert_eq!(found, expected, "{shown}");
        }
    }
}

//! MAC, UUID and name of a restored machine, as its configuration has them.

use firstlight_shared::ids::MacAddress;
use firstlight_shared::wire::Intent;
use serde_json::{Value, json};

use super::{disks, net, smbios};
use crate::backend::Placement;
use crate::backend::proxmox::Proxmox;
use crate::backend::proxmox::archive::{Archive, size_of};
use crate::backend::proxmox::client::endpoint::config::GuestConfig;
use crate::backend::proxmox::client::properties::Properties;
use crate::backend::proxmox::fault::act_of_look;
use crate::backend::proxmox::standing::Ours;
use crate::outcome::{Act, Fault, Probe};

/// What has to be set, and what has to go.
#[derive(Debug, Default, PartialEq)]
struct Change {
    set: Vec<(String, String)>,
    delete: Vec<String>,
}

impl Proxmox {
    pub(super) async fn probe_identity(&self, guest: &Placement, ours: &Ours) -> Result<Probe, Fault> {
        // Whoever acts on it says what is missing.
        let lost = self.losses(guest, ours).await?;
        Ok(if lost.is_empty() { seen(guest, &ours.config) } else { Probe::Absent })
    }

    pub(super) async fn set_identity(&self, guest: &Placement, ours: Ours) -> Result<Act, Act> {
        if guest.plan.intent == Intent::Restore {
            let lost = self.losses(guest, &ours).await.map_err(act_of_look)?;
            return if lost.is_empty() {
                Ok(Act::Applied(output(guest, &ours.config)))
            } else {
                Err(Act::Refused(not_as_archived(&ours, &lost)))
            };
        }
        let Change { set, delete } =
            change(guest, &ours.config, &self.defaults.bridge).map_err(Act::Refused)?;
        self.change_machine(&ours, set, delete).await?;
        let ours = self.ours(guest).await.map_err(Act::Unknown)?;
        match seen(guest, &ours.config) {
            Probe::Present(output) => Ok(Act::Applied(output)),
            _ => Ok(Act::Unknown(Fault::new("not-applied", "the machine's MACs are not yet those chosen"))),
        }
    }

    /// What a machine that comes back lacks of what its archive has; a new one is made to differ.
    async fn losses(&self, guest: &Placement, ours: &Ours) -> Result<Vec<String>, Fault> {
        if guest.plan.intent == Intent::Provision {
            return Ok(Vec::new());
        }
        Ok(losses(&self.archive(&guest.plan, &ours.guest.node).await?, &ours.config))
    }

    pub(super) async fn set_name(&self, guest: &Placement, ours: Ours) -> Result<Act, Act> {
        let name = guest.plan.name.to_string();
        self.change_machine(&ours, vec![("name".to_owned(), name)], Vec::new()).await?;
        Ok(Act::Applied(name_output(guest.plan.name.as_str())))
    }
}

/// Devices with another MAC, and disks that are missing or smaller.
fn losses(archive: &Archive, config: &GuestConfig) -> Vec<String> {
    let there = nets(config);
    let mac =
        |number: u32| there.iter().find(|(known, _)| *known == number).and_then(|(_, net)| net::mac(net));
    let other = |(number, archived): &(u32, Properties)| mac(*number) != net::mac(archived);
    let mut lost: Vec<String> =
        archive.nets().iter().filter(|net| other(net)).map(|(number, _)| format!("net{number}")).collect();
    let drives = disks::all(config);
    for archived in archive.disks() {
        let drive = drives.iter().find(|drive| drive.key == archived.key);
        let bytes = drive.map(|drive| size_of(&drive.properties));
        if bytes.is_none_or(|bytes| bytes < archived.bytes) {
            lost.push(archived.key);
        }
    }
    lost
}

fn not_as_archived(ours: &Ours, lost: &[String]) -> Fault {
    let message = format!("{} has not come out of the archive as it was: {}", ours.guest, lost.join(", "));
    Fault::new("not-as-archived", message)
        .with_hint("root may restore what a token may not: `qmrestore` on the node")
}

/// Whether MACs and UUID are those that were chosen. A restored machine keeps the archive's.
pub(super) fn seen(guest: &Placement, config: &GuestConfig) -> Probe {
    let right = guest.plan.intent == Intent::Restore
        || matches!(change(guest, config, ""), Ok(change) if change == Change::default());
    if right { Probe::Present(output(guest, config)) } else { Probe::Absent }
}

pub(super) fn name_seen(guest: &Placement, config: &GuestConfig) -> Probe {
    let name = config.get("name").unwrap_or_default();
    if guest.plan.intent == Intent::Restore || name == guest.plan.name.as_str() {
        Probe::Present(name_output(name))
    } else {
        Probe::Absent
    }
}

fn name_output(name: &str) -> Value {
    json!({ "name": name })
}

fn output(guest: &Placement, config: &GuestConfig) -> Value {
    let written = config.properties("smbios1").unwrap_or_default();
    let mut output = json!({
        "mac": nets(config).first().and_then(|(_, device)| net::mac(device)).map(|mac| mac.to_string()),
        "uuid": written.get("uuid"),
    });
    if let Some(remark) = smbios::handed(&written, written.get("uuid"), &guest.claim).remark {
        output["remarks"] = json!([remark]);
    }
    output
}

/// What differs from what was chosen.
fn change(guest: &Placement, config: &GuestConfig, bridge: &str) -> Result<Change, Fault> {
    let there = nets(config);
    let wanted = net::devices(&guest.plan.nics, &there, &guest.allocation, bridge)?;
    let mac =
        |number: u32| there.iter().find(|(known, _)| *known == number).and_then(|(_, net)| net::mac(net));
    let differs = |number: u32, wanted: Option<MacAddress>| mac(number) != wanted;
    let mut change = Change::default();
    for (number, device) in &wanted {
        if differs(*number, net::mac(device)) {
            change.set.push((format!("net{number}"), device.to_string()));
        }
    }
    change.delete = net::superfluous(&wanted, &there).iter().map(|number| format!("net{number}")).collect();
    let uuid = guest.allocation.slot.as_ref().and_then(|slot| slot.uuid.as_deref());
    let written = config.properties("smbios1").unwrap_or_default();
    if let Some(uuid) = uuid
        && !written.get("uuid").is_some_and(|found| found.eq_ignore_ascii_case(uuid))
    {
        let value = smbios::handed(&written, Some(uuid), &guest.claim).value;
        change.set.push(("smbios1".to_owned(), value.to_string()));
    }
    Ok(change)
}

fn nets(config: &GuestConfig) -> Vec<(u32, Properties)> {
    let mut nets: Vec<_> = config.family("net").collect();
    nets.sort_by_key(|(number, _)| *number);
    nets
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::proxmox::client::endpoint::node::ArchiveConfig;
    use crate::backend::proxmox::qemu::testing::{config, placement};

    const UUID: &str = "11111111-2222-3333-4444-555555555555";

    #[test]
    fn a_machine_has_the_macs_and_the_uuid_that_were_chosen_before_it_starts() {
        let smbios = format!("uuid={UUID}");
        let upper = format!("uuid={}", UUID.to_uppercase());
        let own = "virtio=BC:24:11:00:00:01,bridge=vmbr0";
        for (nics, net0, net1, smbios1, set, delete) in [
            (json!([]), own, None, &*smbios, vec![], vec![]),
            (json!([]), "virtio=bc:24:11:00:00:01,bridge=vmbr0", None, &*upper, vec![], vec![]),
            (json!([]), "virtio=BC:24:11:AA:BB:CC,bridge=vmbr0", None, &smbios, vec![("net0", own)], vec![]),
            (
                json!([]),
                own,
                Some("e1000=BC:24:11:AA:BB:CD,bridge=vmbr1"),
                &smbios,
                vec![("net1", "e1000=BC:24:11:00:00:02,bridge=vmbr1")],
                vec![],
            ),
            (json!([{}]), own, Some("virtio=BC:24:11:AA:BB:CD,bridge=vmbr1"), &smbios, vec![], vec!["net1"]),
        ] {
            let guest = placement(json!({ "nics": nics }));
            let mut values = json!({ "net0": net0, "smbios1": smbios1 });
            if let Some(net1) = net1 {
                values["net1"] = json!(net1);
            }
            let config = config(values);
            let found = change(&guest, &config, "vmbr0").unwrap();
            let expected = Change {
                set: set.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
                delete: delete.iter().map(|key| (*key).to_owned()).collect(),
            };
            assert_eq!(found, expected, "{net0} {net1:?}");
            assert_eq!(matches!(seen(&guest, &config), Probe::Present(_)), found == Change::default());
        }
    }

    #[test]
    fn a_uuid_that_was_lost_comes_back_with_the_claim() {
        let guest = placement(json!({}));
        let config = config(
            json!({ "net0": "virtio=BC:24:11:00:00:01,bridge=vmbr0", "smbios1": "serial=QQ==,base64=1" }),
        );
        let found = change(&guest, &config, "vmbr0").unwrap();
        let [(key, value)] = &found.set[..] else { panic!("{found:?}") };
        assert_eq!(key, "smbios1");
        assert!(value.contains(&format!("uuid={UUID}")) && value.contains("serial="), "{value}");
    }

    #[test]
    fn what_a_machine_that_comes_back_lacks_is_named() {
        let text = "net0: virtio=BC:24:11:AA:BB:CC,bridge=a\nscsi0: local:9200/a.raw,size=4G\n\
            scsi1: local:9200/b.raw,size=1G\nide2: none,media=cdrom\n";
        let archive = Archive::new("local:backup/x", ArchiveConfig(text.to_owned()));
        let whole = json!({
            "net0": "virtio=bc:24:11:aa:bb:cc,bridge=a", "scsi0": "thin:a,size=8G", "scsi1": "thin:b,size=1G",
        });
        for (key, value, expected) in [
            ("name", json!("x"), vec![]),
            ("net0", json!("virtio=BC:24:11:00:00:01,bridge=a"), vec!["net0"]),
            ("scsi0", json!("thin:a,size=2G"), vec!["scsi0"]),
            ("scsi1", json!("none,media=cdrom"), vec!["scsi1"]),
        ] {
            let mut values = whole.clone();
            values[key] = value;
            assert_eq!(losses(&archive, &config(values)), expected, "{key}");
        }
    }

    #[test]
    fn a_restored_machine_keeps_what_the_archive_has() {
        let guest = placement(json!({ "intent": "restore" }));
        let config =
            config(json!({ "net0": "virtio=BC:24:11:AA:BB:CC", "name": "old", "smbios1": "uuid=x" }));
        let Probe::Present(output) = seen(&guest, &config) else { panic!() };
        assert_eq!((output["mac"].as_str(), output["uuid"].as_str()), (Some("bc:24:11:aa:bb:cc"), Some("x")));
        assert_eq!(name_seen(&guest, &config), Probe::Present(json!({ "name": "old" })));
        assert_eq!(name_seen(&placement(json!({})), &config), Probe::Absent);
    }
}

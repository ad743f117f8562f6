//! Drives of machines: the one to boot from, those that mounts become, and the one of cloud-init.
//!
//! Nobody mounts a machine's disks from outside. A mount becomes an empty disk with the serial number `fl-N` (N counts the
//! plan's mounts from 0), by which the guest finds and formats it, for one by a line in the golden's fstab:
//! `/dev/disk/by-id/scsi-0QEMU_QEMU_HARDDISK_fl-0 /srv ext4 nofail,x-systemd.makefs,x-systemd.growfs 0 2`. That it is
//! mounted, and that the disk is this one, is asked of the machine's agent: a configuration alone proves neither.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::cloud;
use crate::backend::proxmox::Proxmox;
use crate::backend::proxmox::archive::size_of;
use crate::backend::proxmox::client::endpoint::agent::Filesystem;
use crate::backend::proxmox::client::endpoint::config::GuestConfig;
use crate::backend::proxmox::client::properties::Properties;
use crate::backend::proxmox::settings::Defaults;
use crate::backend::proxmox::standing::Ours;
use crate::backend::{GuestPlan, Mount, Placement};
use crate::outcome::{Act, Fault, Probe};

const MIB: u64 = 1 << 20;
/// With the number of their places. The order is the one in which Proxmox looks for a disk to boot from.
const BUSES: [(&str, u32); 4] = [("ide", 4), ("scsi", 31), ("virtio", 16), ("sata", 6)];

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Drive {
    /// `scsi0`
    pub(super) key: String,
    bus: &'static str,
    number: u32,
    pub(super) properties: Properties,
}

impl Drive {
    pub(super) fn volume(&self) -> &str {
        self.properties.unnamed().or_else(|| self.properties.get("file")).unwrap_or_default()
    }

    fn is_cd(&self) -> bool {
        self.properties.get("media") == Some("cdrom") || self.volume().ends_with("cloudinit")
    }
}

/// CD-ROMs, too.
pub(super) fn all(config: &GuestConfig) -> Vec<Drive> {
    let mut drives = Vec::new();
    for (bus, _) in BUSES {
        let mut of_bus: Vec<_> = config.family(bus).collect();
        of_bus.sort_by_key(|(number, _)| *number);
        drives.extend(of_bus.into_iter().map(|(number, properties)| Drive {
            key: format!("{bus}{number}"),
            bus,
            number,
            properties,
        }));
    }
    drives
}

/// The disk that the machine boots from.
pub(super) fn boot(config: &GuestConfig) -> Option<Drive> {
    let disks: Vec<Drive> = all(config).into_iter().filter(|drive| !drive.is_cd()).collect();
    let called = |key: &str| disks.iter().find(|disk| disk.key == key).cloned();
    let boot = config.properties("boot").unwrap_or_default();
    match boot.get("order") {
        Some(order) => order.split([';', ' ']).find_map(called),
        // Of before 6.2: letters in `boot`, the disk in `bootdisk`.
        None => config.get("bootdisk").and_then(called).or_else(|| disks.first().cloned()),
    }
}

fn serial(place: usize) -> String {
    format!("fl-{place}")
}

fn of_mount(place: usize, config: &GuestConfig) -> Option<Drive> {
    let serial = serial(place);
    all(config).into_iter().find(|drive| drive.properties.get("serial") == Some(&serial))
}

/// Mounts of the plan that are where they should be, from the disks that were made for them.
pub(super) fn mounted(plan: &GuestPlan, seen: &[Filesystem]) -> Vec<PathBuf> {
    let is_mounted = |(place, mount): &(usize, &Mount)| {
        let serial = serial(*place);
        // Behind the vendor's and the model's names, or alone.
        let is_it = |known: &String| *known == serial || known.ends_with(&format!("_{serial}"));
        let there = |known: &Filesystem| Path::new(&known.mountpoint) == mount.path;
        seen.iter().any(|known| there(known) && known.serials.iter().any(is_it))
    };
    plan.mounts.iter().enumerate().filter(is_mounted).map(|(_, mount)| mount.path.clone()).collect()
}

pub(super) fn seen(plan: &GuestPlan, config: &GuestConfig) -> Probe {
    let is_there = |(place, mount): (usize, &Mount)| {
        of_mount(place, config).is_some_and(|drive| check_size(place, mount, &drive).is_ok())
    };
    if plan.mounts.iter().enumerate().all(is_there) && cloud::missing(plan, config).is_empty() {
        Probe::Present(output(plan, config))
    } else {
        Probe::Absent
    }
}

fn output(plan: &GuestPlan, config: &GuestConfig) -> Value {
    let mut disks = json!({});
    for (place, mount) in plan.mounts.iter().enumerate() {
        if let Some(drive) = of_mount(place, config) {
            disks[mount.path.display().to_string()] = json!({ "disk": drive.key, "serial": serial(place) });
        }
    }
    if plan.mounts.is_empty() { json!({}) } else { json!({ "disks": disks }) }
}

impl Proxmox {
    /// One volume a call: what one call made stays if another part of it fails.
    pub(super) async fn add_disks(&self, guest: &Placement, mut ours: Ours) -> Result<Act, Act> {
        let plan = &guest.plan;
        for (place, mount) in plan.mounts.iter().enumerate() {
            if let Some(drive) = of_mount(place, &ours.config) {
                check_size(place, mount, &drive).map_err(Act::Refused)?;
                continue;
            }
            let disk = new_disk(place, plan, &self.defaults, &ours.config).map_err(Act::Refused)?;
            self.change_machine(&ours, vec![disk], Vec::new()).await?;
            ours = self.ours(guest).await.map_err(Act::Unknown)?;
        }
        let set = cloud::missing(plan, &ours.config);
        let set = cloud::with_storage(set, &storage(None, plan, &self.defaults, &ours.config));
        self.change_machine(&ours, set, Vec::new()).await?;
        Ok(Act::Applied(output(plan, &ours.config)))
    }
}

/// A disk with our serial that came with the archive keeps its size.
fn check_size(place: usize, mount: &Mount, drive: &Drive) -> Result<(), Fault> {
    let (Some(asked), Some(has)) = (mount.size_bytes, size_of(&drive.properties)) else { return Ok(()) };
    if has >= asked {
        return Ok(());
    }
    let key = &drive.key;
    Err(Fault::new(
        "mount-too-small",
        format!("mounts[{place}].size: {key} of the golden has {has} bytes, asked are {asked}"),
    )
    .with_hint(format!(
        "ask for no more than {key} has, or take the serial `fl-{place}` off it in the golden"
    )))
}

/// Key and value.
fn new_disk(
    place: usize,
    plan: &GuestPlan,
    defaults: &Defaults,
    config: &GuestConfig,
) -> Result<(String, String), Fault> {
    let mount = &plan.mounts[place];
    let bytes = mount.size_bytes.ok_or_else(|| {
        Fault::new("mount-without-size", format!("mounts[{place}].size: a disk of a machine needs a size"))
    })?;
    let key = free_place(config).ok_or_else(|| {
        Fault::new(
            "no-slot-for-disk",
            format!("mounts[{place}]: no controller of the machine has a free place"),
        )
    })?;
    let storage = storage(mount.storage.as_deref(), plan, defaults, config);
    let disk = Properties::of(format!("{storage}:{}", gibibytes(bytes))).with("serial", serial(place));
    let disk = if mount.backup == Some(false) { disk.with("backup", 0) } else { disk };
    Ok((key, disk.to_string()))
}

/// What is said, or where the machine boots from.
fn storage(said: Option<&str>, plan: &GuestPlan, defaults: &Defaults, config: &GuestConfig) -> String {
    let said = said.or(plan.place.storage.as_deref()).or(defaults.storage.as_deref());
    let boot = boot(config);
    let origin = || Some(boot.as_ref()?.volume().split_once(':')?.0);
    said.or_else(origin).unwrap_or("local").to_owned()
}

/// Behind the disk to boot from, on its bus; where that is full, on another one. Never before it: machines without an
/// order boot from the first.
fn free_place(config: &GuestConfig) -> Option<String> {
    let first = boot(config);
    let taken: Vec<String> = all(config).into_iter().map(|drive| drive.key).collect();
    let bus = first.as_ref().map_or("scsi", |drive| drive.bus);
    let start = |candidate: &str| {
        first.as_ref().filter(|drive| drive.bus == candidate).map_or(0, |drive| drive.number + 1)
    };
    let buses = [bus, "scsi", "virtio", "sata"];
    let places = buses.into_iter().flat_map(|bus| {
        let count = BUSES.iter().find(|(known, _)| *known == bus).map_or(0, |(_, count)| *count);
        (start(bus)..count).map(move |number| format!("{bus}{number}"))
    });
    places.into_iter().find(|key| !taken.contains(key))
}

/// As new volumes are sized: in GiB, exact to the MiB, rounded up.
fn gibibytes(bytes: u64) -> String {
    let mib = bytes.div_ceil(MIB).max(1);
    // 1/1024 has ten digits.
    let text = format!("{}.{:010}", mib / 1024, mib % 1024 * 9_765_625);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::proxmox::qemu::testing::{config, placement};

    const GIB: u64 = 1 << 30;

    #[test]
    fn the_disk_to_boot_from_is_found_as_proxmox_finds_it() {
        let drives = |extra: Value| {
            let mut values = json!({
                "ide2": "local:iso/x.iso,media=cdrom", "ide0": "local:9200/vm-9200-cloudinit.qcow2,media=cdrom",
                "scsi0": "local:9200/a.raw,size=4G", "sata0": "file=thin:b,size=8G", "scsihw": "virtio-scsi-pci",
            });
            values.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            boot(&config(values)).map(|drive| drive.key)
        };
        for (extra, expected) in [
            (json!({ "boot": "order=scsi0;net0" }), Some("scsi0")),
            (json!({ "boot": "order=ide2;net0;sata0" }), Some("sata0")),
            (json!({ "boot": "cdn", "bootdisk": "sata0" }), Some("sata0")),
            (json!({}), Some("scsi0")),
            (json!({ "boot": "order=net0" }), None),
        ] {
            assert_eq!(drives(extra.clone()).as_deref(), expected, "{extra}");
        }
        assert_eq!(boot(&config(json!({}))), None);
    }

    #[test]
    fn mounts_become_disks_behind_the_first_one() {
        let mount = |size: Value, extra: Value| {
            let mut mount = json!({ "path": "/srv", "size_bytes": size });
            mount.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            mount
        };
        for (drives, place, asked, expected) in [
            (
                json!({ "scsi0": "thin:a,size=4G" }),
                json!({}),
                mount(json!(GIB), json!({})),
                Ok("scsi1=thin:1,serial=fl-0"),
            ),
            (
                json!({ "virtio1": "thin:a,size=4G" }),
                json!({ "storage": "fast" }),
                mount(json!(GIB / 2), json!({ "backup": false })),
                Ok("virtio2=fast:0.5,serial=fl-0,backup=0"),
            ),
            (
                json!({ "ide3": "thin:a,size=4G", "scsi0": "thin:b,size=1G" }),
                json!({}),
                mount(json!(GIB + 1), json!({ "storage": "slow", "backup": true })),
                Ok("scsi1=slow:1.0009765625,serial=fl-0"),
            ),
            (
                json!({ "scsi0": "thin:a" }),
                json!({}),
                mount(json!(null), json!({})),
                Err("mount-without-size"),
            ),
            (json!({}), json!({}), mount(json!(0), json!({})), Ok("scsi0=local:0.0009765625,serial=fl-0")),
        ] {
            let mut values = drives.clone();
            if let Some(boots) = drives.as_object().unwrap().keys().next() {
                values["boot"] = json!(format!("order={boots}"));
            }
            let guest = placement(json!({ "mounts": [asked], "place": place }));
            let found = new_disk(0, &guest.plan, &Defaults::default(), &config(values));
            let found = found.map(|(key, value)| format!("{key}={value}")).map_err(|fault| fault.code);
            assert_eq!(found.as_deref().map_err(String::as_str), expected, "{drives}");
        }
    }

    #[test]
    fn a_full_bus_is_left_for_another_one() {
        let mut values = json!({ "boot": "order=sata0" });
        for number in 0..6 {
            values[format!("sata{number}")] = json!("thin:a,size=1G");
        }
        assert_eq!(free_place(&config(values.clone())).as_deref(), Some("scsi0"));
        for (bus, count) in BUSES {
            for number in 0..count {
                values[format!("{bus}{number}")] = json!("thin:a,size=1G");
            }
        }
        assert_eq!(free_place(&config(values)), None);
    }

    #[test]
    fn mounts_are_there_when_disks_with_their_serials_are() {
        let mounts = json!([{ "path": "/a", "size_bytes": GIB }, { "path": "/b", "size_bytes": GIB }]);
        let guest = placement(json!({ "mounts": mounts }));
        let drives = |second: &str| {
            config(json!({
                "boot": "order=scsi0", "scsi0": "thin:a,size=4G", "scsi1": "thin:b,serial=fl-1,size=1G",
                "scsi2": second,
            }))
        };
        let Probe::Present(output) = seen(&guest.plan, &drives("thin:c,serial=fl-0,size=2G")) else {
            panic!()
        };
        assert_eq!(output["disks"]["/a"]["disk"], "scsi2");
        let partly = drives("thin:c,size=2G");
        assert_eq!(seen(&guest.plan, &partly), Probe::Absent);
        assert_eq!(seen(&guest.plan, &drives("thin:c,serial=fl-0,size=512M")), Probe::Absent);
        assert_eq!(seen(&placement(json!({})).plan, &partly), Probe::Present(json!({})));
    }

    #[test]
    fn sizes_are_exact_to_the_mebibyte() {
        for (bytes, text) in
            [(GIB, "1"), (10 * GIB, "10"), (1536 * MIB, "1.5"), (MIB, "0.0009765625"), (1, "0.0009765625")]
        {
            assert_eq!(gibibytes(bytes), text);
        }
    }

    #[test]
    fn what_is_mounted_is_the_disk_that_was_made_for_it() {
        let guest = placement(
            json!({ "mounts": [{ "path": "/a", "size_bytes": 1 }, { "path": "/b", "size_bytes": 1 }] }),
        );
        let seen = |mountpoint: &str, serial: &str| Filesystem {
            mountpoint: mountpoint.to_owned(),
            serials: vec![serial.to_owned()],
        };
        for (first, second, expected) in [
            (seen("/a", "0QEMU_QEMU_HARDDISK_fl-0"), seen("/b", "fl-1"), vec!["/a", "/b"]),
            (seen("/a", "0QEMU_QEMU_HARDDISK_fl-1"), seen("/b", "fl-0"), vec![]),
            (seen("/a/", "QEMU_HARDDISK_fl-0"), seen("/b", "fl-11"), vec!["/a"]),
            (seen("/", "0QEMU_QEMU_HARDDISK_drive-scsi0"), seen("/b", "xfl-1"), vec![]),
        ] {
            let shown = format!("{first:?} {second:?}");
            let found = mounted(&guest.plan, &[first, second]);
            assert_eq!(found, expected.into_iter().map(PathBuf::from).collect::<Vec<_>>(), "{shown}");
        }
    }
}

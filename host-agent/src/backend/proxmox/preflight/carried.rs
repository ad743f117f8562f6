//! What an archive carries, and whether the plan goes with it.

use firstlight_shared::text::escape;
use firstlight_shared::wire::Intent;

use super::super::archive::{Archive, size_of};
use super::super::client::endpoint::guest::Kind;
use super::super::client::properties::Properties;
use super::wanted::{field, size};
use crate::backend::GuestPlan;
use crate::outcome::Fault;

pub(super) fn check(
    plan: &GuestPlan,
    kind: Kind,
    archive: &Archive,
    allow_root_lines: bool,
) -> Result<(), Fault> {
    if archive.flag("template") {
        return Err(Fault::new(
            "bad-golden",
            "golden: it is a backup of a template, and would become one again",
        )
        .with_hint("make the backup of a guest that is no template"));
    }
    check_root_lines(kind, archive, allow_root_lines)?;
    check_devices(kind, archive)?;
    if kind == Kind::Lxc {
        check_sizes(plan, archive)?;
    }
    if plan.intent == Intent::Restore {
        return check_name(plan, archive);
    }
    check_addresses(plan, kind, archive)?;
    check_disk(plan, kind, archive)?;
    check_agent(plan, kind, archive)?;
    check_mounts(plan, kind, archive)
}

/// Proxmox makes a container privileged whose archive says nothing.
pub(super) fn is_privileged(kind: Kind, archive: &Archive) -> bool {
    kind == Kind::Lxc && !archive.flag("unprivileged")
}

/// Lines that let code run as root on the node; Proxmox carries them over without a look. A restore by a token drops the
/// raw ones of LXC: the guest would not be what the golden was.
fn check_root_lines(kind: Kind, archive: &Archive, allowed: bool) -> Result<(), Fault> {
    let raw = archive.raw_lines().first().map(|line| (*line).to_owned());
    let found = match kind {
        Kind::Lxc => archive.get("hookscript").map(|_| "hookscript".to_owned()).or(raw),
        Kind::Qemu => {
            ["args", "hookscript"].into_iter().find(|key| archive.get(key).is_some()).map(str::to_owned)
        }
    };
    let Some(line) = found.filter(|_| !allowed) else { return Ok(()) };
    let line = escape(&line, 80);
    let way_out = match kind {
        Kind::Lxc => format!(
            "take the line out of /etc/pve/lxc/VMID.conf of the guest that the golden is made of{}, and make its backup again",
            if line == "hookscript" { " (`pct set VMID --delete hookscript`)" } else { "" },
        ),
        Kind::Qemu => format!(
            "`qm set VMID --delete {line}` on the guest that the golden is made of, and make its backup again"
        ),
    };
    Err(Fault::new(
        "root-lines",
        format!("golden: `{line}` is in its configuration, which works as root on the node"),
    )
    .with_hint(format!("{way_out}; or allow it: `proxmox.allow_root_lines = true`")))
}

/// What Proxmox restores for root alone, and says so only when the restore is under way.
fn check_devices(kind: Kind, archive: &Archive) -> Result<(), Fault> {
    let host = match kind {
        Kind::Lxc => {
            let is_volume =
                |text: Option<&str>| text.is_some_and(|text| text.contains(':') && !text.starts_with('/'));
            let bind = archive
                .mounts()
                .into_iter()
                .find(|(_, mount)| !is_volume(mount.unnamed().or_else(|| mount.get("volume"))));
            bind.map(|(number, _)| format!("mp{number}"))
        }
        Kind::Qemu => archive.host_device(),
    };
    match host {
        Some(key) => Err(Fault::new(
            "bad-golden",
            format!("golden: `{key}` in it is a thing of its node, which Proxmox restores for root alone"),
        )
        .with_hint(format!(
            "take `{key}` from the guest that the golden is made of, and make its backup again"
        ))),
        None => Ok(()),
    }
}

/// Proxmox makes a container's volumes as large as the archive says they were.
fn check_sizes(plan: &GuestPlan, archive: &Archive) -> Result<(), Fault> {
    if archive.rootfs_bytes().is_none() && plan.size.disk_bytes.is_none() {
        return Err(size("disk", "the golden does not say how large its root disk is: give a size"));
    }
    let named = |path: &str| plan.mounts.iter().any(|mount| mount.path.to_str() == Some(path));
    let without =
        archive.mounts().into_iter().find(|(_, mount)| size_of(mount).is_none() && !named(path_of(mount)));
    match without {
        Some((number, mount)) => Err(Fault::new(
            "unsupported-mount",
            format!(
                "mounts: the golden does not say how large `{}` is (mp{number}): name it, with a size",
                escape(path_of(&mount), 120)
            ),
        )),
        None => Ok(()),
    }
}

/// Without the slash at its end.
fn path_of(mount: &Properties) -> &str {
    mount.get("mp").unwrap_or_default().trim_end_matches('/')
}

/// Nothing of a guest that comes back is changed, its name neither.
fn check_name(plan: &GuestPlan, archive: &Archive) -> Result<(), Fault> {
    let known = archive.get("hostname").or_else(|| archive.get("name"));
    match known {
        Some(known) if !known.eq_ignore_ascii_case(plan.name.as_str()) => Err(field(
            "name",
            format_args!(
                "the guest in the golden is called `{}`, and comes back as it was",
                escape(known, 80)
            ),
        )),
        _ => Ok(()),
    }
}

/// Only what runs in a machine can give it an address.
fn check_addresses(plan: &GuestPlan, kind: Kind, archive: &Archive) -> Result<(), Fault> {
    let fixed = plan
        .nics
        .iter()
        .any(|nic| nic.gateway.is_some() || nic.address.as_deref().is_some_and(|text| text != "dhcp"));
    if kind != Kind::Qemu || !fixed || archive.has_cloud_init() {
        return Ok(());
    }
    Err(field("nics.address", "nothing in the golden's configuration tells of cloud-init, which alone sets a machine's address").with_hint(
        "leave it out; or give the guest that the golden is made of a drive for cloud-init (`qm set VMID --ide2 STORAGE:cloudinit`), and make its backup again",
    ))
}

fn check_disk(plan: &GuestPlan, kind: Kind, archive: &Archive) -> Result<(), Fault> {
    let Some(wanted) = plan.size.disk_bytes else { return Ok(()) };
    let has = match kind {
        Kind::Lxc => archive.rootfs_bytes(),
        Kind::Qemu => {
            let disks = archive.disks();
            let Some(disk) = disks.iter().find(|disk| disk.boots) else {
                return Err(size("disk", "the golden says of no disk that it boots: leave it out"));
            };
            disk.bytes
        }
    };
    match has {
        Some(has) if wanted < has => Err(size(
            "disk",
            format_args!("{} is less than the golden's {}: disks only grow", shown(wanted), shown(has)),
        )),
        _ => Ok(()),
    }
}

/// Proxmox gives a machine disks, and the golden's fstab mounts them: only its agent can tell that it did.
fn check_agent(plan: &GuestPlan, kind: Kind, archive: &Archive) -> Result<(), Fault> {
    let agent = archive.get("agent").unwrap_or_default();
    let answers = agent.split(',').any(|part| matches!(part, "1" | "enabled=1"));
    if kind != Kind::Qemu || plan.mounts.is_empty() || answers {
        return Ok(());
    }
    Err(Fault::new(
        "unsupported-mount",
        "mounts: the golden has no agent, and nobody else can tell what a machine has mounted",
    )
    .with_hint(
        "`qm set VMID --agent 1` on the guest that the golden is made of, with qemu-guest-agent in it",
    ))
}

/// A volume that the archive has must fit into the one that is wanted, and without it a size is needed.
fn check_mounts(plan: &GuestPlan, kind: Kind, archive: &Archive) -> Result<(), Fault> {
    let (mounts, disks) = (archive.mounts(), archive.disks());
    let fault = |problem: String| Err(Fault::new("unsupported-mount", format!("mounts: {problem}")));
    for (place, mount) in plan.mounts.iter().enumerate() {
        let path = mount.path.to_str().unwrap_or_default();
        let same = match kind {
            Kind::Lxc => mounts.iter().find(|(_, known)| path_of(known) == path).map(|(_, known)| known),
            // A machine's mounts are disks with these serial numbers.
            Kind::Qemu => {
                let serial = format!("fl-{place}");
                let is_it = |properties: &&Properties| properties.get("serial") == Some(&serial);
                disks.iter().map(|disk| &disk.properties).find(is_it)
            }
        };
        let path = escape(path, 120);
        match (mount.size_bytes, same.and_then(size_of), kind) {
            (None, None, _) => return fault(format!("`{path}` needs a size")),
            // It is restored into a new one of that size.
            (Some(wanted), Some(has), Kind::Lxc) if wanted < has => {
                return fault(format!(
                    "{} for `{path}` is less than the golden's {}",
                    shown(wanted),
                    shown(has)
                ));
            }
            // It comes as it was.
            (Some(wanted), Some(has), Kind::Qemu) if wanted > has => {
                return fault(format!(
                    "{} for `{path}` is more than the {} that the golden's disk fl-{place} has, which does not grow",
                    shown(wanted),
                    shown(has)
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

/// In the largest unit that is exact.
pub(super) fn shown(bytes: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(1 << 40, "T"), (1 << 30, "G"), (1 << 20, "M"), (1 << 10, "K")];
    let unit = UNITS.iter().find(|(unit, _)| bytes >= *unit && bytes.is_multiple_of(*unit));
    unit.map_or_else(|| format!("{bytes} bytes"), |(unit, letter)| format!("{}{letter}", bytes / unit))
}

#[cfg(test)]
mod tests {
    use super::super::super::client::endpoint::node::ArchiveConfig;
    use super::*;
    use crate::backend::testing::plan;
    use crate::backend::{Mount, Size};

    const CONTAINER: &str = "hostname: golden\nrootfs: local:9100/a.raw,size=4G\nunprivileged: 1\nmp0: local:9100/b.raw,mp=/srv/,size=2G\n";
    const MACHINE: &str = "name: golden\nboot: order=scsi0\nscsi0: local:9200/a.raw,size=1536M\n";

    fn archive(base: &str, more: &str) -> Archive {
        Archive::new("local:backup/x", ArchiveConfig(format!("{base}{more}")))
    }

    #[test]
    fn lines_that_work_as_root_are_named_unless_they_are_allowed() {
        for (kind, base, line, said) in [
            (Kind::Lxc, CONTAINER, "", None),
            (Kind::Lxc, CONTAINER, "hookscript: local:snippets/x.pl\n", Some("`hookscript`")),
            (Kind::Lxc, CONTAINER, "lxc.mount.entry: /a b none bind\n", Some("`lxc.mount.entry`")),
            (Kind::Lxc, CONTAINER, "lxc.cgroup2.devices.allow = a\n", Some("`lxc.cgroup2.devices.allow`")),
            (Kind::Lxc, CONTAINER, "lxc.environment.runtime: A=b\n", None),
            (Kind::Lxc, CONTAINER, "protection: 1\nonboot: 1\n[snap]\nhookscript: x\n", None),
            (Kind::Lxc, CONTAINER, "#hookscript: x\n", None),
            (Kind::Qemu, MACHINE, "", None),
            (Kind::Qemu, MACHINE, "args: -fw_cfg x\n", Some("`args`")),
            (Kind::Qemu, MACHINE, "hookscript: local:snippets/x.pl\n", Some("`hookscript`")),
        ] {
            let archive = archive(base, line);
            let refused = check(&plan(), kind, &archive, false).err();
            assert_eq!(refused.is_some(), said.is_some(), "{line}: {refused:?}");
            if let (Some(fault), Some(said)) = (refused, said) {
                assert!(fault.message.contains(said), "{line}: {fault}");
                assert!(fault.hint.unwrap().contains("allow_root_lines"));
            }
            assert_eq!(check(&plan(), kind, &archive, true), Ok(()), "{line}");
        }
    }

    #[test]
    fn what_only_root_restores_is_refused() {
        for (kind, base, line, fits) in [
            (Kind::Lxc, CONTAINER, "mp1: /mnt/data,mp=/data\n", false),
            (Kind::Lxc, CONTAINER, "mp1: /dev/sdb1,mp=/data\n", false),
            (Kind::Lxc, CONTAINER, "mp1: thin:vm-9100-disk-1,mp=/data,size=1G\n", true),
            (Kind::Qemu, MACHINE, "hostpci0: 0000:01:00.0\n", false),
            (Kind::Qemu, MACHINE, "hostpci0: mapping=gpu\n", true),
            (Kind::Qemu, MACHINE, "usb0: host=1234:5678\n", false),
            (Kind::Qemu, MACHINE, "usb0: spice\nserial0: socket\n", true),
            (Kind::Lxc, CONTAINER, "template: 1\n", false),
            (Kind::Qemu, MACHINE, "template: 0\n", true),
        ] {
            let said = check(&plan(), kind, &archive(base, line), true);
            assert_eq!(said.is_ok(), fits, "{line}: {said:?}");
        }
        assert!(!is_privileged(Kind::Lxc, &archive(CONTAINER, "")));
        assert!(is_privileged(Kind::Lxc, &archive("hostname: x\n", "")));
        assert!(!is_privileged(Kind::Qemu, &archive(MACHINE, "")));
    }

    #[test]
    fn disks_only_grow() {
        for (kind, base, bytes, fits) in [
            (Kind::Lxc, CONTAINER, (4 << 30) - 1, false),
            (Kind::Lxc, CONTAINER, 4 << 30, true),
            (Kind::Lxc, "rootfs: local:x\nunprivileged: 1\n", 1 << 30, true),
            (Kind::Qemu, MACHINE, 1 << 30, false),
            (Kind::Qemu, MACHINE, 1536 << 20, true),
            (Kind::Qemu, "boot: order=net0\nscsi0: l:x,size=1G\n", 8 << 30, false),
        ] {
            let plan = GuestPlan { size: Size { disk_bytes: Some(bytes), ..Size::default() }, ..plan() };
            let said = check(&plan, kind, &archive(base, ""), false);
            assert_eq!(said.is_ok(), fits, "{base} {bytes}: {said:?}");
        }
        for (bytes, text) in [(4 << 30, "4G"), (1536 << 20, "1536M"), (1023, "1023 bytes"), (1 << 40, "1T")] {
            assert_eq!(shown(bytes), text);
        }
    }

    #[test]
    fn only_cloud_init_gives_a_machine_an_address() {
        let nic =
            |address: &str| crate::backend::Nic { address: Some(address.to_owned()), ..Default::default() };
        for (kind, base, line, address, fits) in [
            (Kind::Lxc, CONTAINER, "", "10.0.0.5/24", true),
            (Kind::Qemu, MACHINE, "", "dhcp", true),
            (Kind::Qemu, MACHINE, "", "10.0.0.5/24", false),
            (Kind::Qemu, MACHINE, "ide2: none,media=cdrom\ncipher: x\n", "10.0.0.5/24", false),
            (
                Kind::Qemu,
                MACHINE,
                "ide2: local:9200/vm-9200-cloudinit.qcow2,media=cdrom\n",
                "10.0.0.5/24",
                true,
            ),
            (Kind::Qemu, MACHINE, "ciuser: debian\n", "10.0.0.5/24", true),
            (Kind::Qemu, MACHINE, "ipconfig0: ip=dhcp\n", "10.0.0.5/24", true),
        ] {
            let plan = GuestPlan { nics: vec![nic(address)], ..plan() };
            let said = check(&plan, kind, &archive(base, line), false);
            assert_eq!(said.is_ok(), fits, "{line} {address}: {said:?}");
        }
    }

    #[test]
    fn a_mount_needs_a_size_and_takes_what_the_archive_has_for_it() {
        let mount =
            |path: &str, size_bytes| Mount { path: path.into(), size_bytes, storage: None, backup: None };
        for (mount, fits) in [
            (mount("/srv", None), true),
            (mount("/srv", Some(2 << 30)), true),
            (mount("/srv", Some(1 << 30)), false),
            (mount("/data", None), false),
            (mount("/data", Some(1)), true),
        ] {
            let plan = GuestPlan { mounts: vec![mount.clone()], ..plan() };
            let said = check(&plan, Kind::Lxc, &archive(CONTAINER, ""), false);
            assert_eq!(said.is_ok(), fits, "{mount:?}: {said:?}");
        }
        for (drive, mount, fits) in [
            ("", mount("/srv", None), false),
            ("", mount("/srv", Some(1 << 30)), true),
            ("scsi1: l:b,serial=fl-0,size=2G\n", mount("/srv", None), true),
            ("scsi1: l:b,serial=fl-0,size=2G\n", mount("/srv", Some(2 << 30)), true),
            ("scsi1: l:b,serial=fl-0,size=2G\n", mount("/srv", Some(3 << 30)), false),
            ("scsi1: l:b,serial=fl-1,size=2G\n", mount("/srv", Some(3 << 30)), true),
        ] {
            let plan = GuestPlan { mounts: vec![mount.clone()], ..plan() };
            let said = check(&plan, Kind::Qemu, &archive(MACHINE, &format!("agent: 1\n{drive}")), false);
            assert_eq!(said.is_ok(), fits, "{drive}{mount:?}: {said:?}");
        }
        let plan = GuestPlan { mounts: vec![mount("/srv", Some(1 << 30))], ..plan() };
        for (line, fits) in [
            ("", false),
            ("agent: 0\n", false),
            ("agent: 1\n", true),
            ("agent: enabled=1,fstrim_cloned_disks=1\n", true),
        ] {
            assert_eq!(check(&plan, Kind::Qemu, &archive(MACHINE, line), false).is_ok(), fits, "{line}");
        }
    }

    #[test]
    fn volumes_of_a_container_need_a_size_from_somewhere() {
        let sized = |bytes| Size { disk_bytes: bytes, ..Size::default() };
        let mount = Mount { path: "/data".into(), size_bytes: Some(1), storage: None, backup: None };
        const BARE: &str = "rootfs: local:x\nunprivileged: 1\n";
        for (base, more, bytes, mounts, fits) in [
            (CONTAINER, "", None, vec![], true),
            (BARE, "", None, vec![], false),
            (BARE, "", Some(1 << 30), vec![], true),
            (CONTAINER, "mp1: local:y,mp=/data\n", None, vec![], false),
            (CONTAINER, "mp1: local:y,mp=/data\n", None, vec![mount], true),
        ] {
            let plan = GuestPlan { size: sized(bytes), mounts, ..plan() };
            let said = check(&plan, Kind::Lxc, &archive(base, more), false);
            assert_eq!(said.is_ok(), fits, "{base}{more}: {said:?}");
        }
    }

    #[test]
    fn who_comes_back_keeps_its_name() {
        let named = |name: &str, intent| GuestPlan { name: name.parse().unwrap(), intent, ..plan() };
        for (name, intent, fits) in [
            ("golden", Intent::Restore, true),
            ("web-01", Intent::Restore, false),
            ("web-01", Intent::Provision, true),
        ] {
            for (kind, base) in [(Kind::Lxc, CONTAINER), (Kind::Qemu, MACHINE)] {
                let said = check(&named(name, intent), kind, &archive(base, ""), false);
                assert_eq!(said.is_ok(), fits, "{name}: {said:?}");
            }
        }
    }
}

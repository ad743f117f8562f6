//! Identities towards storage.

use super::super::item::{FirstBoot, Fresh, Item, Renewer, Renewers, Seal, Severity};
use super::super::{Detect, Reset};
use super::POLICY;

const GENERATE: Reset = Reset::WriteText { text: "GenerateName=yes\n", mode: 0o600 };

pub(super) const ITEMS: &[Item] = &[
    Item {
        name: "iscsi-initiator-name",
        title: "name of the iSCSI initiator",
        danger: "two initiators of one name write to the same LUN: data is destroyed",
        paths: &["etc/iscsi/initiatorname.iscsi"],
        in_use: &["sys/class/iscsi_session/*"],
        detect: Detect::HasValue(&["InitiatorName"]),
        // Debian's daemon does not start without the file and makes a name from the marker; upstream's unit, which
        // Fedora has, makes one only if there is no file.
        reset: Reset::ByOwner(&[
            ("usr/lib/open-iscsi/startup-checks.sh", GENERATE),
            ("lib/open-iscsi/startup-checks.sh", GENERATE),
            ("usr/lib/systemd/system/iscsi-init.service", Reset::Remove),
            ("lib/systemd/system/iscsi-init.service", Reset::Remove),
        ]),
        seal: Seal::Reset,
        // Not left to the owner: upstream's unit has already run in this boot, and found a file.
        first_boot: FirstBoot::Fresh(Fresh::IscsiName),
        renewers: Renewers::debian(
            Renewer::Service("iscsid"),
            "from the line GenerateName=yes; a missing file is an error on Debian",
        )
        .fedora(Renewer::Service("iscsi-init"))
        .nixos(Renewer::Nobody),
        source: "open-iscsi 2.1.8 and 2.1.11: startup-checks.sh; open-iscsi/open-iscsi:etc/systemd/iscsi-init.service.template",
        ..POLICY
    },
    Item {
        name: "nvme-host",
        title: "NVMe over Fabrics host name and id",
        danger: "two hosts of one name take each other's connections and reservations",
        paths: &["etc/nvme/hostnqn", "etc/nvme/hostid"],
        // Only controllers over a fabric have a host name.
        in_use: &["sys/class/nvme/*/hostnqn"],
        detect: Detect::NonEmpty,
        reset: Reset::Truncate,
        seal: Seal::Reset,
        first_boot: FirstBoot::Fresh(Fresh::NvmeHost),
        renewers: Renewers::all(
            Renewer::Us,
            "else only the package's postinst; without a file each tool makes one up",
        ),
        source: "nvme-cli 2.3 and 2.13: DEBIAN/postinst; linux-nvme/libnvme:src/nvme/fabrics.c (nvmf_read_file); torvalds/linux:drivers/nvme/host/sysfs.c (nvme_dev_attrs_are_visible)",
        ..POLICY
    },
    Item {
        name: "hostid",
        title: "host id of ZFS",
        danger: "two machines that see one pool both take it for theirs",
        paths: &["etc/hostid"],
        detect: Detect::NonEmpty,
        // A pool that was last used under this id is not imported without force.
        seal: Seal::Leave,
        severity: Severity::Warn,
        renewers: Renewers::all(Renewer::Nobody, "zgenhostid -f, then import the pools anew"),
        source: "openzfs/zfs:man/man8/zgenhostid.8",
        ..POLICY
    },
    Item {
        name: "lvm-devices-file",
        title: "LVM's list of devices",
        danger: "names the golden's disks by their ids: on another disk the volume group is not found",
        paths: &["etc/lvm/devices/system.devices"],
        detect: Detect::NonEmpty,
        seal: Seal::Leave,
        first_boot: FirstBoot::Silent,
        severity: Severity::Warn,
        renewers: Renewers::all(Renewer::Unknown, "vgimportdevices -a"),
        source: "guestfs-tools:sysprep/sysprep_operation_lvm_system_devices.ml",
        ..POLICY
    },
    Item {
        name: "resume-device",
        title: "swap to resume from",
        danger: "the clone waits for a swap that it does not have, or wakes up as the golden",
        paths: &["etc/initramfs-tools/conf.d/resume"],
        detect: Detect::HasValue(&["RESUME"]),
        seal: Seal::Leave,
        first_boot: FirstBoot::Silent,
        severity: Severity::Info,
        renewers: Renewers::all(Renewer::Nobody, "RESUME=none where nobody hibernates"),
        source: "initramfs-tools(7): resume; initramfs-tools-core: hooks/resume",
        ..POLICY
    },
    Item {
        name: "disk-identifiers",
        title: "UUIDs of file systems, volume groups, arrays, LUKS headers and partitions",
        danger: "two disks of one identity clash in one machine; one clone's LUKS key opens all",
        detect: Detect::Elsewhere,
        seal: Seal::Leave,
        first_boot: FirstBoot::Silent,
        severity: Severity::Info,
        renewers: Renewers::all(Renewer::Nobody, "vgimportclone, tune2fs -U; never clone a disk with LUKS"),
        source: "guestfs-tools:sysprep/sysprep_operation_fs_uuids.ml, sysprep_operation_lvm_uuids.ml",
        ..POLICY
    },
];

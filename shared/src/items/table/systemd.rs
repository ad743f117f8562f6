//! What systemd itself keeps.

use super::super::item::{FirstBoot, Item, Renewer, Renewers, Seal, Severity};
use super::super::{Detect, Reset};
use super::{POLICY, SWEPT};

pub(super) const ITEMS: &[Item] = &[
    Item {
        name: "random-seed",
        title: "seed of the kernel's random numbers",
        danger: "guests without another source draw the same random numbers, keys among them",
        paths: &["var/lib/systemd/random-seed", "var/lib/urandom/random-seed"],
        detect: Detect::NonEmpty,
        severity: Severity::Fail,
        // The service has loaded and rewritten it before the first boot's phase.
        renewers: Renewers::all(Renewer::Systemd, "rewritten at once when it is loaded, and at shutdown"),
        source: "systemd-random-seed.service(8); initscripts: /etc/init.d/urandom",
        ..SWEPT
    },
    Item {
        name: "boot-random-seed",
        title: "the boot loader's random seed",
        danger: "as the kernel's seed, before the kernel",
        paths: &["boot/loader/random-seed", "boot/efi/loader/random-seed", "efi/loader/random-seed"],
        detect: Detect::NonEmpty,
        severity: Severity::Fail,
        renewers: Renewers::all(Renewer::Systemd, "systemd-boot-random-seed.service, or bootctl random-seed"),
        source: "systemd-boot-random-seed.service(8); systemd/systemd:docs/BUILDING_IMAGES.md",
        ..SWEPT
    },
    Item {
        name: "credential-secret",
        title: "key of encrypted credentials",
        danger: "every clone decrypts every other's credentials",
        paths: &["var/lib/systemd/credential.secret"],
        detect: Detect::NonEmpty,
        reset: Reset::Remove,
        seal: Seal::Reset,
        // A unit may carry credentials that were encrypted with it.
        first_boot: FirstBoot::Report,
        renewers: Renewers::all(
            Renewer::Systemd,
            "when a credential is encrypted; credentials encrypted before are lost",
        ),
        source: "systemd-creds(1); systemd/systemd:docs/BUILDING_IMAGES.md",
        ..POLICY
    },
    Item {
        name: "boot-entry-token",
        title: "machine-id as name of boot entries",
        danger: "after the reset new kernels go under another name, and the old entries stay first",
        paths: &["etc/kernel/entry-token"],
        detect: Detect::MachineId,
        seal: Seal::Leave,
        first_boot: FirstBoot::Silent,
        severity: Severity::Warn,
        renewers: Renewers::all(
            Renewer::Nobody,
            "write a name of the image's own before kernels are installed",
        ),
        source: "kernel-install(8); systemd/systemd:docs/BUILDING_IMAGES.md",
        ..POLICY
    },
    Item {
        name: "boot-entries",
        title: "boot entries named by the golden's machine-id",
        danger: "kernel-install does not find them again under the clone's machine-id",
        paths: &["boot/loader/entries/*", "boot/efi/loader/entries/*", "efi/loader/entries/*"],
        detect: Detect::NamedByMachineId,
        seal: Seal::Leave,
        first_boot: FirstBoot::Silent,
        severity: Severity::Warn,
        renewers: Renewers::all(Renewer::Nobody, "use /etc/kernel/entry-token"),
        source: "kernel-install(8); systemd/systemd:docs/BUILDING_IMAGES.md",
        ..POLICY
    },
    Item {
        name: "journal",
        title: "journal of the golden",
        danger: "the golden's log goes to every clone and lies there under a machine-id that nobody has",
        paths: &["var/log/journal/*"],
        detect: Detect::NamedByMachineId,
        reset: Reset::RemoveTree,
        renewers: Renewers::all(Renewer::Systemd, "journald makes its own folder"),
        source: "systemd-journald.service(8); guestfs-tools:sysprep/sysprep_operation_logfiles.ml",
        ..SWEPT
    },
    Item {
        name: "coredumps",
        title: "memory images of crashed programs",
        danger: "may hold any secret of the golden",
        paths: &["var/lib/systemd/coredump/*", "var/crash/*"],
        renewers: Renewers::all(Renewer::Nobody, "not needed"),
        source: "systemd-coredump(8)",
        ..SWEPT
    },
    Item {
        name: "networkd-fixed-duid",
        title: "DHCP identity written into networkd's configuration",
        danger: "all clones ask for the same lease",
        paths: &[
            "etc/systemd/networkd.conf",
            "etc/systemd/networkd.conf.d/*.conf",
            "etc/systemd/network/*.network",
        ],
        detect: Detect::HasValue(&["DUIDRawData"]),
        renewers: Renewers::all(Renewer::Nobody, "without it networkd derives the DUID from the machine-id"),
        source: "networkd.conf(5): DUIDRawData=",
        ..POLICY
    },
];

//! machine-id, host name, and what the hypervisor fixes.

use super::super::item::{FirstBoot, Item, Renewer, Renewers, Seal, Severity};
use super::super::{Detect, Reset};
use super::{POLICY, SWEPT};

pub(super) const ITEMS: &[Item] = &[
    Item {
        name: "firstlight-stamp",
        title: "Firstlight's own stamp",
        danger: "a clone takes itself for the machine that was stamped until other evidence shows",
        paths: &["var/lib/firstlight/stamp.json"],
        reset: Reset::Remove,
        seal: Seal::Reset,
        first_boot: FirstBoot::Identity,
        renewers: Renewers::all(Renewer::Us, "written last, when everything has been verified"),
        source: "firstlight:guest-agent/src/identity/stamp.rs",
        ..POLICY
    },
    Item {
        name: "firstlight-state",
        title: "what else Firstlight knows of the machine",
        danger: "a clone tells of the golden's past, and may not announce itself",
        paths: &[
            "var/lib/firstlight/stamp.unknown.json",
            "var/lib/firstlight/rebooted.json",
            "var/lib/firstlight/beacon.json",
            "var/lib/firstlight/companion.json",
            "etc/cloud/cloud.cfg.d/96-firstlight-name.cfg",
        ],
        first_boot: FirstBoot::Identity,
        renewers: Renewers::all(Renewer::Us, ""),
        source: "firstlight:guest-agent/src/paths.rs",
        ..SWEPT
    },
    Item {
        name: "machine-id",
        title: "machine-id",
        danger: "same DHCP DUID and so the same address; same bridge MACs, IPv6 identifiers, journal and node ids",
        paths: &["etc/machine-id"],
        detect: Detect::MachineId,
        reset: Reset::EmptyMachineId,
        seal: Seal::Reset,
        first_boot: FirstBoot::Identity,
        renewers: Renewers::all(
            Renewer::Systemd,
            "while it is not valid and D-Bus has no copy; empty is no first boot, absent or \"uninitialized\" is",
        ),
        source: "machine-id(5); systemd/systemd:src/shared/machine-id-setup.c",
        ..POLICY
    },
    Item {
        name: "machine-id-uninitialized",
        title: "machine-id that makes the next boot a first boot to systemd (an absent one does so too)",
        danger: "presets enable services that the golden had not enabled; systemd-firstboot may hang a container at its prompt",
        paths: &["etc/machine-id"],
        detect: Detect::Word("uninitialized"),
        reset: Reset::EmptyMachineId,
        first_boot: FirstBoot::Identity,
        renewers: Renewers::all(Renewer::Systemd, "an empty one is filled without all that"),
        source: "machine-id(5): First Boot Semantics",
        ..SWEPT
    },
    Item {
        name: "dbus-machine-id",
        title: "D-Bus's own copy of the machine-id",
        danger: "brings the golden's machine-id back as soon as /etc/machine-id is empty",
        paths: &["var/lib/dbus/machine-id"],
        detect: Detect::FileNotSymlink,
        reset: Reset::Link("/etc/machine-id"),
        seal: Seal::Reset,
        first_boot: FirstBoot::Identity,
        renewers: Renewers::all(Renewer::Us, "a symlink follows /etc/machine-id"),
        source: "systemd/systemd:src/shared/machine-id-setup.c (acquire_machine_id)",
        ..POLICY
    },
    Item {
        name: "predicted-machine-id",
        title: "machine-id that the hypervisor fixes (SMBIOS product UUID, container_uuid)",
        danger: "a restore that keeps the UUID gets the same machine-id again, however well the guest was reset",
        detect: Detect::Elsewhere,
        seal: Seal::Leave,
        first_boot: FirstBoot::Identity,
        severity: Severity::Info,
        renewers: Renewers::all(
            Renewer::Nobody,
            "the hypervisor gives a clone a new UUID; the report says if it holds",
        ),
        source: "systemd/systemd:src/shared/machine-id-setup.c (acquire_machine_id)",
        ..POLICY
    },
    Item {
        name: "tpm-state",
        title: "state of the virtual TPM",
        danger: "attestation and sealed secrets cannot tell the clones apart",
        detect: Detect::Elsewhere,
        seal: Seal::Leave,
        first_boot: FirstBoot::Silent,
        severity: Severity::Info,
        renewers: Renewers::all(Renewer::Nobody, "the hypervisor has to make a new one"),
        source: "proxmox/qemu-server:src/PVE/API2/Qemu.pm (a drive like any other in a clone)",
        ..POLICY
    },
    Item {
        name: "hostname",
        title: "host name",
        danger: "DNS, DHCP and cluster node names collide",
        paths: &["etc/hostname"],
        detect: Detect::HostName,
        first_boot: FirstBoot::Identity,
        renewers: Renewers::all(
            Renewer::Us,
            "where a claim or the configuration names one; Proxmox rewrites a container's at each start",
        ),
        source: "hostname(5); proxmox/pve-container:src/PVE/LXC/Setup/Base.pm (set_hostname)",
        ..SWEPT
    },
    Item {
        name: "hosts-own-name",
        title: "own name in /etc/hosts",
        danger: "the clone resolves its own name by the golden's line, or not at all",
        paths: &["etc/hosts"],
        detect: Detect::HasValue(&["127.0.1.1"]),
        reset: Reset::DropLines("127.0.1.1"),
        first_boot: FirstBoot::Identity,
        renewers: Renewers::all(Renewer::Us, "together with the host name"),
        source: "hosts(5); Debian Reference 5.1.1",
        ..SWEPT
    },
    Item {
        name: "machine-info",
        title: "pretty host name",
        danger: "tools for people show the golden's name",
        paths: &["etc/machine-info"],
        detect: Detect::HasValue(&["PRETTY_HOSTNAME"]),
        reset: Reset::DropLines("PRETTY_HOSTNAME"),
        severity: Severity::Info,
        renewers: Renewers::all(Renewer::Nobody, "optional"),
        source: "machine-info(5); systemd/systemd:docs/BUILDING_IMAGES.md",
        ..SWEPT
    },
    Item {
        name: "mail-name",
        title: "name that mail is sent from",
        danger: "mail of all clones comes from the golden's name; loops between them",
        paths: &["etc/mailname"],
        detect: Detect::HostName,
        // Without the file Postfix does not start; a name that all clones are to have is none of the golden's own.
        reset: Reset::IfOwnName { key: None, reset: &Reset::WriteText { text: "localhost\n", mode: 0o644 } },
        seal: Seal::Reset,
        severity: Severity::Warn,
        renewers: Renewers::all(
            Renewer::Service("postfix"),
            "nobody makes another one, and `localhost` will do for its start; a domain of all clones is left: it is meant so",
        ),
        source: "postfix 3.7.11 and 3.10.13: DEBIAN/postinst; exim4-config 4.98: DEBIAN/config",
        ..POLICY
    },
    Item {
        name: "postfix-host-name",
        title: "Postfix's own idea of its name",
        danger: "mail loops between the clones, and bounces name the wrong one",
        paths: &["etc/postfix/main.cf"],
        detect: Detect::HasValue(&["myhostname"]),
        reset: Reset::IfOwnName { key: Some("myhostname"), reset: &Reset::DropLines("myhostname") },
        seal: Seal::Reset,
        severity: Severity::Warn,
        renewers: Renewers::all(
            Renewer::Service("postfix"),
            "without the line it asks the kernel at each start",
        ),
        source: "postfix 3.7.11 and 3.10.13: DEBIAN/postinst (myfqdn)",
        ..POLICY
    },
];

//! Host keys of SSH servers.

use super::super::item::{FirstBoot, Fresh, Item, Renewer, Renewers, Seal, Severity};
use super::super::{Detect, Reset};
use super::POLICY;

const OPENSSH: Renewers = Renewers {
    debian12: Renewer::Us,
    debian13: Renewer::Us,
    ubuntu2404: Renewer::Us,
    fedora: Renewer::Us,
    nixos: Renewer::Us,
    note: "Debian 13's sshd-keygen.service acts on a first boot only, Fedora's and NixOS's fill gaps, Debian 12 has none",
};

pub(super) const ITEMS: &[Item] = &[
    Item {
        name: "ssh-host-keys",
        title: "OpenSSH host keys, those of HostKey lines too",
        danger: "every clone can impersonate every other, and decrypt its sops and age secrets",
        paths: &["etc/ssh/ssh_host_*_key"],
        detect: Detect::NonEmpty,
        reset: Reset::Remove,
        seal: Seal::Reset,
        first_boot: FirstBoot::Identity,
        renewers: OPENSSH,
        source: "openssh-server 9.2p1 and 10.0p1: DEBIAN/postinst, sshd-keygen.service",
        ..POLICY
    },
    Item {
        name: "ssh-host-public-keys",
        title: "public halves of host keys",
        danger: "without its private key sshd does not use it, but people and tools read the golden's",
        paths: &["etc/ssh/ssh_host_*_key.pub"],
        detect: Detect::NonEmpty,
        reset: Reset::Remove,
        seal: Seal::Reset,
        first_boot: FirstBoot::Identity,
        severity: Severity::Warn,
        renewers: OPENSSH,
        source: "openssh-server 9.2p1 and 10.0p1: DEBIAN/postinst",
        ..POLICY
    },
    Item {
        name: "ssh-host-certificates",
        title: "host certificates",
        danger: "the certificate vouches for the golden's names",
        paths: &["etc/ssh/ssh_host_*_key-cert.pub"],
        reset: Reset::Remove,
        seal: Seal::Reset,
        first_boot: FirstBoot::Identity,
        renewers: Renewers::all(Renewer::Us, "where the host gives one; else somebody has to sign anew"),
        source: "sshd_config(5): HostCertificate",
        ..POLICY
    },
    Item {
        name: "dropbear-host-keys",
        title: "Dropbear host keys",
        danger: "as OpenSSH's; Debian's package copies OpenSSH's key into them",
        paths: &["etc/dropbear/dropbear_ed25519_host_key", "etc/dropbear/dropbear_ecdsa_host_key"],
        detect: Detect::NonEmpty,
        // Not removed: where nothing is, nobody knows that a key belongs there.
        reset: Reset::Truncate,
        seal: Seal::Reset,
        first_boot: FirstBoot::Fresh(Fresh::DropbearKey),
        renewers: Renewers::all(
            Renewer::Us,
            "else the package's postinst only, and without any key the daemon does not start",
        ),
        source: "dropbear 2022.83 and 2025.89: DEBIAN/postinst, dropbear.service; mkj/dropbear:src/ed25519.c, src/ecdsa.c (buf_put_*_priv_key)",
        ..POLICY
    },
    Item {
        name: "dropbear-rsa-host-keys",
        title: "Dropbear host keys of types that nobody needs beside ed25519",
        danger: "as OpenSSH's; Debian's package copies OpenSSH's key into them",
        paths: &["etc/dropbear/dropbear_rsa_host_key", "etc/dropbear/dropbear_dss_host_key"],
        detect: Detect::NonEmpty,
        // Where it is the only key the daemon would not start without it.
        reset: Reset::ByOwner(&[("etc/dropbear/dropbear_ed25519_host_key", Reset::Remove)]),
        seal: Seal::Reset,
        first_boot: FirstBoot::Reset,
        renewers: Renewers::all(
            Renewer::Nobody,
            "dropbearkey -t rsa in the guest, where an old client needs it",
        ),
        source: "dropbear 2022.83 and 2025.89: DEBIAN/postinst; mkj/dropbear:src/svr-runopts.c (load_all_hostkeys)",
        ..POLICY
    },
    Item {
        name: "dropbear-initramfs-keys",
        title: "Dropbear host keys of the initramfs",
        danger: "whoever has one clone can pose as every other while it asks for the disk's passphrase",
        paths: &["etc/dropbear/initramfs/dropbear_*_host_key", "etc/dropbear-initramfs/dropbear_*_host_key"],
        renewers: Renewers::debian(
            Renewer::Nobody,
            "the package's postinst only; the initramfs has to be built anew",
        ),
        source: "dropbear-initramfs 2022.83 and 2025.89: DEBIAN/postinst",
        ..POLICY
    },
    Item {
        name: "tinyssh-host-keys",
        title: "TinySSH host keys",
        danger: "every clone can impersonate every other",
        paths: &["etc/tinyssh/sshkeydir"],
        reset: Reset::RemoveTree,
        seal: Seal::Reset,
        first_boot: FirstBoot::Report,
        renewers: Renewers::debian(
            Renewer::Service("tinysshd"),
            "tinysshd-makekey before each start; it refuses a folder that is there",
        ),
        source: "tinysshd 20230101 and 20250501: tinysshd@.service",
        ..POLICY
    },
];

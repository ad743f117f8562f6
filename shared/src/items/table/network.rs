//! DHCP identities and leases; configuration that only fits the golden's network cards.

use super::super::item::{FirstBoot, Item, Renewer, Renewers, Seal, Severity};
use super::super::{Detect, Reset};
use super::{POLICY, REMADE};

/// A card's address in a configuration: the clone's card has another one.
const PINNED: Item = Item {
    danger: "the clone's network card has another address, and its network does not come up",
    seal: Seal::Refuse,
    ..POLICY
};

pub(super) const ITEMS: &[Item] = &[
    Item {
        name: "dhclient-leases",
        title: "leases and DUID of dhclient",
        danger: "asks for the golden's address, and has its DHCPv6 identity",
        paths: &[
            "var/lib/dhcp/dhclient*.lease*",
            "var/lib/dhclient/*.lease*",
            "var/lib/NetworkManager/dhclient*.lease*",
        ],
        detect: Detect::NonEmpty,
        renewers: Renewers::all(Renewer::Service("dhclient"), "a missing file is no error to it"),
        source: "isc-projects/dhcp:client/clparse.c (read_client_leases)",
        ..REMADE
    },
    Item {
        name: "dhcpcd-identity",
        title: "DUID, secret and leases of dhcpcd",
        danger: "asks for the golden's address, has its DHCPv6 identity and the same private IPv6 addresses",
        paths: &[
            "var/lib/dhcpcd/duid",
            "var/lib/dhcpcd/secret",
            "var/lib/dhcpcd/*.lease",
            "var/lib/dhcpcd/*.lease6",
        ],
        detect: Detect::NonEmpty,
        renewers: Renewers::all(Renewer::Service("dhcpcd"), ""),
        source: "dhcpcd-base 9.4.1 and 10.1.0: usr/sbin/dhcpcd (duid_init, ipv6_readsecret)",
        ..REMADE
    },
    Item {
        name: "networkmanager-secret",
        title: "NetworkManager's secret",
        danger: "the same private IPv6 addresses, client identifiers and stable MACs",
        paths: &["var/lib/NetworkManager/secret_key"],
        detect: Detect::NonEmpty,
        renewers: Renewers::all(Renewer::Service("NetworkManager"), ""),
        source: "NetworkManager/NetworkManager:src/core/nm-core-utils.c (_host_id_read)",
        ..REMADE
    },
    Item {
        name: "networkmanager-leases",
        title: "leases of NetworkManager's own DHCP client",
        danger: "asks for the golden's address",
        paths: &["var/lib/NetworkManager/internal*.lease"],
        severity: Severity::Warn,
        renewers: Renewers::all(Renewer::Service("NetworkManager"), ""),
        source: "NetworkManager/NetworkManager:src/core/dhcp/nm-dhcp-utils.c (nm_dhcp_utils_get_leasefile_path)",
        ..REMADE
    },
    Item {
        name: "networkmanager-mac",
        title: "MAC address in a NetworkManager profile",
        paths: &["etc/NetworkManager/system-connections/*.nmconnection"],
        // cloud-init writes its own anew.
        except: &["etc/NetworkManager/system-connections/cloud-init-*.nmconnection"],
        detect: Detect::Mac(&["mac-address"]),
        source: "nm-settings(5): mac-address; guestfs-tools:sysprep/sysprep_operation_net_nmconn.ml",
        ..PINNED
    },
    Item {
        name: "ifcfg-mac",
        title: "MAC address in an ifcfg file",
        paths: &["etc/sysconfig/network-scripts/ifcfg-*"],
        detect: Detect::Mac(&["HWADDR", "MACADDR"]),
        source: "guestfs-tools:sysprep/sysprep_operation_net_hwaddr.ml",
        ..PINNED
    },
    Item {
        name: "netplan-mac",
        title: "MAC address in a netplan file",
        paths: &["etc/netplan/*.yaml"],
        except: &["etc/netplan/50-cloud-init.yaml"],
        detect: Detect::Mac(&["macaddress"]),
        source: "netplan(5): match, macaddress",
        ..PINNED
    },
    Item {
        name: "networkd-mac",
        title: "MAC address in a networkd or link file",
        paths: &[
            "etc/systemd/network/*.link",
            "etc/systemd/network/*.network",
            "etc/systemd/network/*.netdev",
        ],
        except: &["etc/systemd/network/10-cloud-init-*.network"],
        detect: Detect::Mac(&["MACAddress"]),
        source: "systemd.link(5), systemd.network(5): MACAddress=, PermanentMACAddress=",
        ..PINNED
    },
    Item {
        name: "ifupdown-mac",
        title: "MAC address in ifupdown's configuration",
        paths: &["etc/network/interfaces", "etc/network/interfaces.d/*"],
        except: &["etc/network/interfaces.d/50-cloud-init", "etc/network/interfaces.d/50-cloud-init.cfg"],
        detect: Detect::Mac(&["hwaddress"]),
        source: "interfaces(5): hwaddress",
        ..PINNED
    },
    Item {
        name: "udev-persistent-net",
        title: "network card names bound to MAC addresses",
        danger: "the clone's first card is eth1, and what is configured for eth0 does not come up",
        paths: &["etc/udev/rules.d/70-persistent-net.rules"],
        detect: Detect::Mac(&[]),
        reset: Reset::Remove,
        seal: Seal::Reset,
        // udev has named the cards by then.
        first_boot: FirstBoot::Report,
        renewers: Renewers::all(Renewer::Nobody, "names of today need no such file"),
        source: "guestfs-tools:sysprep/sysprep_operation_udev_persistent_net.ml",
        ..POLICY
    },
];

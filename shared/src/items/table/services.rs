//! Services with an identity of their own.

use super::super::item::{FirstBoot, Fresh, Item, Renewer, Renewers, Seal, Severity};
use super::super::{Detect, Reset};
use super::{HEARSAY, POLICY, REMADE, SWEPT};

pub(super) const ITEMS: &[Item] = &[
    Item {
        name: "snakeoil",
        title: "Debian's self-made certificate and its key",
        danger: "the same private TLS key in every clone",
        paths: &["etc/ssl/private/ssl-cert-snakeoil.key"],
        detect: Detect::PrivateKey,
        // Without the key, services that name it do not start; so it is replaced in the guest, never removed.
        reset: Reset::Run(&["make-ssl-cert", "generate-default-snakeoil", "--force-overwrite"]),
        seal: Seal::Leave,
        first_boot: FirstBoot::Late,
        severity: Severity::Warn,
        renewers: Renewers::debian(Renewer::Nobody, "the package's postinst only, and only if it is missing"),
        source: "ssl-cert 1.1.2 and 1.1.3: usr/sbin/make-ssl-cert, DEBIAN/postinst",
        ..POLICY
    },
    Item {
        name: "cockpit-certificate",
        title: "Cockpit's self-made certificate and its key",
        danger: "the same private TLS key in every clone",
        // In this order: a certificate without its key stops the service, a key without certificate does not.
        paths: &["etc/cockpit/ws-certs.d/0-self-signed.cert", "etc/cockpit/ws-certs.d/0-self-signed.key"],
        detect: Detect::NonEmpty,
        renewers: Renewers::all(Renewer::Service("cockpit"), "before each start, if there is none"),
        source: "cockpit-ws 287 and 337: cockpit.service; cockpit-project/cockpit:src/tls/cockpit-certificate-ensure.c",
        ..REMADE
    },
    Item {
        name: "docker-engine-id",
        title: "id of the Docker engine",
        danger: "whoever counts engines sees one",
        paths: &["var/lib/docker/engine-id", "etc/docker/key.json"],
        detect: Detect::NonEmpty,
        severity: Severity::Warn,
        renewers: Renewers::all(Renewer::Service("docker"), "key.json: engines that have no engine-id yet"),
        source: "moby/moby:daemon/id.go (LoadOrCreateID); v20.10.22:daemon/trustkey.go",
        ..REMADE
    },
    Item {
        name: "mysql-server-uuid",
        title: "UUID of a MySQL server",
        danger: "replication refuses a replica of the same UUID",
        paths: &["var/lib/mysql/auto.cnf"],
        detect: Detect::NonEmpty,
        renewers: Renewers::all(Renewer::Service("mysqld"), "MariaDB has none"),
        source: "mysql/mysql-server:sql/mysqld.cc (init_server_auto_options)",
        ..REMADE
    },
    Item {
        name: "popularity-contest-id",
        title: "id of popularity-contest",
        danger: "Debian's statistics count all clones as one",
        paths: &["etc/popularity-contest.conf"],
        detect: Detect::HasValue(&["MY_HOSTID"]),
        reset: Reset::SetValue { key: "MY_HOSTID", value: "\"\"" },
        seal: Seal::Reset,
        first_boot: FirstBoot::Fresh(Fresh::QuotedId("MY_HOSTID")),
        severity: Severity::Info,
        renewers: Renewers::debian(
            Renewer::Us,
            "else only the package's postinst; without an id the program refuses",
        ),
        source: "popularity-contest 1.76 and 1.78: usr/sbin/popularity-contest, DEBIAN/postinst",
        ..POLICY
    },
    Item {
        name: "snmp-engine-id",
        title: "SNMPv3 engine id and users",
        danger: "managers of SNMPv3 take the clones for one engine, and refuse all but one",
        paths: &["var/lib/snmp/snmpd.conf"],
        detect: Detect::HasValue(&["oldEngineID"]),
        // The users' keys are derived from the id: they would be lost.
        reset: Reset::DropLinesWithout { key: "oldEngineID", but: "usmUser" },
        seal: Seal::Reset,
        first_boot: FirstBoot::Reset,
        severity: Severity::Warn,
        renewers: Renewers::all(
            Renewer::Service("snmpd"),
            "when the line is gone; SNMPv3 users hang on it, and have to be made anew in each clone",
        ),
        source: "snmpd.conf(5) of net-snmp 5.9.3: engineID",
        ..POLICY
    },
    Item {
        name: "bind-control-key",
        title: "key that controls BIND",
        danger: "whoever has one clone controls every name server that takes rndc from the network",
        paths: &["etc/bind/rndc.key"],
        detect: Detect::NonEmpty,
        seal: Seal::Leave,
        severity: Severity::Warn,
        renewers: Renewers::debian(
            Renewer::Nobody,
            "rndc-confgen -a; the package's postinst if it is missing",
        ),
        source: "bind9 9.18.49 and 9.20.26: DEBIAN/postinst",
        ..POLICY
    },
    Item {
        name: "erlang-cookie",
        title: "Erlang cookie of RabbitMQ",
        danger: "whoever has one clone may run code in every node that it reaches",
        paths: &["var/lib/rabbitmq/.erlang.cookie"],
        detect: Detect::NonEmpty,
        // Nodes of one cluster share it on purpose.
        seal: Seal::Leave,
        severity: Severity::Warn,
        renewers: Renewers::debian(Renewer::Nobody, "the package's postinst if it is missing"),
        source: "rabbitmq-server 3.10.8 and 4.0.5: DEBIAN/postinst",
        ..POLICY
    },
    Item {
        name: "cloud-init-instance",
        title: "cloud-init's instance",
        danger: "per-instance work is skipped while the instance id looks the same: host keys never rotate",
        paths: &["var/lib/cloud/instance", "var/lib/cloud/instances/*", "var/lib/cloud/data/*"],
        reset: Reset::RemoveTree,
        renewers: Renewers::all(Renewer::CloudInit, "cloud-init clean --logs --seed does the same"),
        source: "canonical/cloud-init:cloudinit/cmd/clean.py",
        ..SWEPT
    },
    Item {
        name: "cloud-init-network",
        title: "network configuration that cloud-init wrote",
        danger: "names the golden's network cards",
        paths: &[
            "etc/netplan/50-cloud-init.yaml",
            "etc/NetworkManager/system-connections/cloud-init-*.nmconnection",
            "etc/systemd/network/10-cloud-init-*.network",
            "etc/network/interfaces.d/50-cloud-init",
            "etc/network/interfaces.d/50-cloud-init.cfg",
        ],
        renewers: Renewers::all(Renewer::CloudInit, ""),
        source: "canonical/cloud-init:cloudinit/cmd/clean.py (GEN_NET_CONFIG_FILES)",
        ..SWEPT
    },
    Item {
        name: "cloud-init-never-clean",
        title: "cloud-init told to trust its cache",
        danger: "every clone takes itself for the golden's instance, for ever",
        paths: &["etc/cloud/cloud.cfg", "etc/cloud/cloud.cfg.d/*.cfg"],
        detect: Detect::IsTrue("manual_cache_clean"),
        first_boot: FirstBoot::Silent,
        source: "canonical/cloud-init:cloudinit/cmd/main.py (manual_cache_clean)",
        ..POLICY
    },
    Item {
        name: "netdata-id",
        title: "id of a Netdata agent",
        danger: "the clones are one node to parents and to the cloud",
        paths: &["var/lib/netdata/registry/netdata.public.unique.id"],
        detect: Detect::NonEmpty,
        severity: Severity::Warn,
        renewers: Renewers::all(Renewer::Service("netdata"), "on first start"),
        source: "netdata/netdata:src/registry/registry_init.c; its guide for clones",
        ..REMADE
    },
    Item {
        name: "kafka-node-id",
        title: "id of a Kafka broker, members of Elasticsearch and MongoDB sets",
        danger: "the cluster refuses the second one of an id, or splits",
        paths: &["var/lib/kafka/*/meta.properties", "var/lib/elasticsearch/nodes/*"],
        ..HEARSAY
    },
];

//! Memberships of clusters and meshes, and agents that a server knows by an id.
//!
//! Another identity needs somebody's approval, so nothing here is taken away by a boot.

use super::super::item::{FirstBoot, Item, Renewer, Renewers, Seal, Severity};
use super::super::{Detect, Reset};
use super::{HEARSAY, POLICY};

pub(super) const ITEMS: &[Item] = &[
    Item {
        name: "docker-swarm",
        title: "membership of a Docker swarm",
        danger: "the swarm has one node twice; a cloned manager can break the quorum",
        paths: &[
            "var/lib/docker/swarm/certificates/swarm-node.crt",
            "var/lib/docker/swarm/docker-state.json",
        ],
        renewers: Renewers::all(Renewer::Nobody, "docker swarm leave before the seal, join in the clone"),
        source: "moby/moby:daemon/cluster/utils.go",
        ..POLICY
    },
    Item {
        name: "kubernetes-node",
        title: "Kubernetes node credentials",
        danger: "the clones are one node and take its pods from each other",
        paths: &["var/lib/kubelet/pki/*", "etc/kubernetes/*.conf", "etc/kubernetes/pki/*.key"],
        renewers: Renewers::all(Renewer::Nobody, "kubeadm reset before the seal, kubeadm join in the clone"),
        source: "kubernetes/kubernetes:cmd/kubeadm/app/constants/constants.go",
        ..POLICY
    },
    Item {
        name: "k3s-node-password",
        title: "password of a K3s node",
        danger: "the server refuses the clone's name, or takes it for the golden",
        paths: &["etc/rancher/node/password"],
        detect: Detect::NonEmpty,
        renewers: Renewers::all(
            Renewer::Service("k3s"),
            "the server forgets the old one only when the node is deleted",
        ),
        source: "K3s documentation: Architecture, How Agent Node Registration Works",
        ..POLICY
    },
    Item {
        name: "tailscale-node-key",
        title: "node key of Tailscale",
        danger: "two machines fight over one address in the tailnet",
        paths: &["var/lib/tailscale/tailscaled.state"],
        detect: Detect::NonEmpty,
        renewers: Renewers::all(Renewer::Service("tailscaled"), "then tailscale up with a new auth key"),
        source: "tailscale/tailscale:cmd/tailscaled/tailscaled.service",
        ..POLICY
    },
    Item {
        name: "zerotier-identity",
        title: "identity of ZeroTier",
        danger: "two machines fight over one address in every network",
        paths: &["var/lib/zerotier-one/identity.secret"],
        detect: Detect::NonEmpty,
        renewers: Renewers::all(
            Renewer::Unknown,
            "the network's controller has to authorize the new address",
        ),
        source: "zerotier/ZeroTierOne:service/README.md",
        ..POLICY
    },
    Item {
        name: "wireguard-key",
        title: "private key of a WireGuard tunnel",
        danger: "the tunnel's other end flaps between the clones",
        paths: &[
            "etc/wireguard/*.conf",
            "etc/systemd/network/*.netdev",
            "etc/NetworkManager/system-connections/*.nmconnection",
        ],
        detect: Detect::HasValue(&["PrivateKey", "private-key"]),
        source: "wg(8): CONFIGURATION FILE FORMAT; systemd.netdev(5); nm-settings(5): wireguard",
        ..POLICY
    },
    Item {
        name: "consul-node-id",
        title: "id of a Consul node",
        danger: "the cluster refuses the second node of an id",
        paths: &["var/lib/consul/node-id", "opt/consul/node-id"],
        detect: Detect::NonEmpty,
        reset: Reset::Remove,
        seal: Seal::Reset,
        // A server's raft data beside it name the old one.
        first_boot: FirstBoot::Report,
        renewers: Renewers::all(Renewer::Service("consul"), ""),
        source: "hashicorp/consul:agent/nodeid.go (setupNodeID)",
        ..POLICY
    },
    Item {
        name: "teleport-host-uuid",
        title: "host UUID of Teleport",
        danger: "the cluster sees one node; its certificates hang on the UUID",
        paths: &["var/lib/teleport/host_uuid"],
        detect: Detect::NonEmpty,
        severity: Severity::Fail,
        renewers: Renewers::all(Renewer::Unknown, "empty /var/lib/teleport and join anew"),
        source: "gravitational/teleport:lib/utils (HostUUIDFile)",
        ..POLICY
    },
    Item {
        name: "puppet-certificate",
        title: "key and certificate of a Puppet agent",
        danger: "the server takes the clones for one node",
        paths: &["var/lib/puppet/ssl/private_keys/*.pem", "etc/puppetlabs/puppet/ssl/private_keys/*.pem"],
        detect: Detect::PrivateKey,
        renewers: Renewers::all(Renewer::Service("puppet"), "the server has to sign the new one"),
        source: "guestfs-tools:sysprep/sysprep_operation_puppet_data_log.ml; puppet-agent 8.10: defaults.rb",
        ..POLICY
    },
    Item {
        name: "netdata-claim",
        title: "claim of a Netdata agent",
        danger: "the cloud takes the clones for one node",
        paths: &["var/lib/netdata/cloud.d/*"],
        severity: Severity::Warn,
        seal: Seal::Leave,
        source: "Netdata's guide: remove and reconnect a node (var/lib/netdata/cloud.d)",
        ..POLICY
    },
    Item {
        name: "salt-minion",
        title: "key and id of a Salt minion",
        danger: "the master takes the clones for one minion",
        paths: &["etc/salt/pki/minion/minion.pem", "etc/salt/minion_id"],
        ..HEARSAY
    },
    Item {
        name: "chef-client",
        title: "key of a Chef client",
        danger: "the server takes the clones for one node",
        paths: &["etc/chef/client.pem"],
        ..HEARSAY
    },
    Item {
        name: "mesh-keys",
        title: "keys of Netbird, Nebula and Cloudflare tunnels",
        danger: "two machines fight over one identity",
        paths: &[
            "etc/netbird/config.json",
            "var/lib/netbird/*.json",
            "etc/nebula/host.key",
            "etc/cloudflared/*.json",
        ],
        ..HEARSAY
    },
    Item {
        name: "etcd-member",
        title: "data of an etcd member",
        danger: "two members of one id corrupt the cluster's log",
        paths: &["var/lib/etcd/member", "var/lib/etcd/*/member"],
        ..HEARSAY
    },
    Item {
        name: "nomad-client",
        title: "id of a Nomad client",
        danger: "the servers refuse the second one",
        paths: &["var/lib/nomad/client/client-id", "opt/nomad/data/client/client-id"],
        ..HEARSAY
    },
    Item {
        name: "security-agents",
        title: "enrolment of CrowdSec, Wazuh and Elastic agents",
        danger: "agents overwrite each other's data",
        paths: &[
            "etc/crowdsec/local_api_credentials.yaml",
            "var/ossec/etc/client.keys",
            "var/lib/elastic-agent/fleet.enc",
        ],
        ..HEARSAY
    },
    Item {
        name: "gluster-peer",
        title: "UUID of a GlusterFS peer",
        danger: "peers refuse the second one",
        paths: &["var/lib/glusterd/glusterd.info"],
        detect: Detect::HasValue(&["UUID"]),
        ..HEARSAY
    },
];

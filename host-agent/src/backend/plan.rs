//! A guest as it is wanted: what specs come to.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use firstlight_shared::ids::GuestName;
use firstlight_shared::wire::Intent;
use serde::{Deserialize, Serialize};

use super::SecretPlan;

/// One guest as it is wanted; everything here is decided (and journaled) before anything is done. What a backend does not
/// have, it refuses in `preflight`, with the field's name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct GuestPlan {
    #[schema(value_type = String, example = "web-01")]
    pub name: GuestName,
    /// As the backend names it: the absolute path of an archive (local), a volume such as
    /// `local:backup/vzdump-lxc-9100-2026_11_21-11_14_04.tar.zst` (proxmox).
    pub golden: String,
    #[schema(value_type = String, example = "provision")]
    #[serde(default)]
    pub intent: Intent,
    /// None: the backend's only or usual kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// Where it is made; what is not said is the backend's own choice.
    #[serde(default)]
    pub place: Place,
    #[serde(default)]
    pub nics: Vec<Nic>,
    #[serde(default)]
    pub mounts: Vec<Mount>,
    /// Sizes the operator asked for.
    #[serde(default)]
    pub size: Size,
    /// Beside the backend's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Whether it starts with its node; None: it does not, whatever the golden says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub onboot: Option<bool>,
    /// A throwaway guest: it is gone once it stops.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ephemeral: bool,
    /// Files that are brought into it before its first unit needs them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretPlan>,
}

impl GuestPlan {
    /// A new guest that asks for nothing.
    pub fn bare(name: GuestName, golden: &str) -> Self {
        Self {
            name,
            golden: golden.to_owned(),
            intent: Intent::default(),
            kind: None,
            place: Place::default(),
            nics: Vec::new(),
            mounts: Vec::new(),
            size: Size::default(),
            tags: Vec::new(),
            onboot: None,
            ephemeral: false,
            secrets: Vec::new(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Lxc,
    Vm,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lxc => "lxc",
            Self::Vm => "vm",
        }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Place {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Of the root disk, and of mounts that name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// A number that the operator chose; None: the next free one of the backend's range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vmid: Option<u32>,
    /// One of the configured servers of the backend (incus); None: its usual one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<String>,
    /// Incus' project; None: the remote's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
}

/// One interface. Without any, the guest has the golden's, each with a MAC of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Nic {
    /// None: the backend's usual one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bridge: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlan: Option<u16>,
    /// `dhcp`, or an IPv4 address with its prefix length; None: as the golden or the backend has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub gateway: Option<IpAddr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firewall: Option<bool>,
}

impl Nic {
    /// Whether a gateway is given that no host of the address's network can be. An address of its own (/32) has none in
    /// its network: there a route to the gateway is made.
    pub fn gateway_is_beyond(&self) -> bool {
        let (Some(IpAddr::V4(gateway)), Some(address)) = (self.gateway, self.address.as_deref()) else {
            return false;
        };
        let Some((address, length)) = address.split_once('/') else { return false };
        let (Ok(address), Ok(length @ 1..=31)) = (address.parse::<Ipv4Addr>(), length.parse::<u32>()) else {
            return false;
        };
        let host_bits = u32::MAX >> length;
        let (network, host) =
            ((address.to_bits() ^ gateway.to_bits()) & !host_bits, gateway.to_bits() & host_bits);
        network != 0 || (length < 31 && (host == 0 || host == host_bits))
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Size {
    pub cores: Option<u32>,
    pub memory_bytes: Option<u64>,
    pub disk_bytes: Option<u64>,
}

/// A data volume of the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Mount {
    /// Absolute path in the guest.
    #[schema(value_type = String)]
    pub path: PathBuf,
    pub size_bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<String>,
    /// Whether the hypervisor's backups of the guest hold it. None: they do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<bool>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_is_a_host_of_the_addresss_network() {
        for (address, gateway, beyond) in [
            ("10.0.0.5/24", "10.0.0.1", false),
            ("10.0.0.5/24", "10.0.1.1", true),
            ("10.0.0.5/16", "10.0.1.1", false),
            ("10.0.0.5/24", "10.0.0.255", true),
            ("10.0.0.5/24", "10.0.0.0", true),
            ("10.0.0.4/31", "10.0.0.5", false),
            ("10.0.0.4/31", "10.0.0.6", true),
            ("10.0.0.5/32", "172.31.1.1", false),
            ("10.0.0.5/24", "fe80::1", false),
            ("dhcp", "10.0.0.1", false),
            ("10.0.0.5/99", "10.0.0.1", false),
        ] {
            let nic = Nic { address: Some(address.into()), gateway: gateway.parse().ok(), ..Nic::default() };
            assert_eq!(nic.gateway_is_beyond(), beyond, "{address} {gateway}");
        }
        assert!(!Nic::default().gateway_is_beyond());
    }
}

//! Version, nodes, VMIDs, and what the whole cluster has.

use serde::Deserialize;
use serde_json::Value;

use super::config::scalars;
use super::{Endpoint, Unreadable, parse};
use crate::backend::proxmox::client::call::{Call, Method};
use crate::backend::proxmox::client::lenient;

/// Any token may ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadVersion;

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Version {
    /// `9.2.11`
    pub version: String,
    /// `9.2`
    #[serde(default)]
    pub release: String,
}

impl Version {
    /// Major and minor number; `env` of containers is there from (9, 1).
    pub fn numbers(&self) -> Option<(u32, u32)> {
        let mut parts = self.version.split(['.', '-', '~']);
        Some((parts.next()?.parse().ok()?, parts.next().and_then(|part| part.parse().ok()).unwrap_or(0)))
    }
}

impl Endpoint for ReadVersion {
    type Answer = Version;

    fn call(&self) -> Call {
        Call::new(Method::Get, "/version")
    }

    fn read(data: Value) -> Result<Version, Unreadable> {
        parse(data)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListNodes;

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct NodeLine {
    pub node: String,
    /// `online`, `offline`, `unknown`. The last also when the node's statistics daemon does not run.
    #[serde(default, deserialize_with = "lenient::text")]
    pub status: Option<String>,
    /// SHA-256 of its certificate.
    #[serde(default, deserialize_with = "lenient::text")]
    pub ssl_fingerprint: Option<String>,
    /// In bytes; not of nodes that are offline, and only with Sys.Audit.
    #[serde(default, deserialize_with = "lenient::number")]
    pub mem: Option<u64>,
    #[serde(default, deserialize_with = "lenient::number")]
    pub maxmem: Option<u64>,
}

impl NodeLine {
    /// In bytes.
    pub fn free_memory(&self) -> Option<u64> {
        Some(self.maxmem?.saturating_sub(self.mem?))
    }
}

impl Endpoint for ListNodes {
    type Answer = Vec<NodeLine>;

    fn call(&self) -> Call {
        Call::new(Method::Get, "/nodes")
    }

    fn read(data: Value) -> Result<Vec<NodeLine>, Unreadable> {
        parse(data)
    }
}

/// A VMID that is free now (nothing reserves it), or whether this one is: a taken one is [`Code::Exists`]. The only way
/// to see that a guest exists that works for every token.
///
/// [`Code::Exists`]: crate::backend::proxmox::client::verdict::Code::Exists
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextId {
    pub vmid: Option<u32>,
}

impl Endpoint for NextId {
    type Answer = u32;

    fn call(&self) -> Call {
        Call::new(Method::Get, "/cluster/nextid").maybe("vmid", self.vmid)
    }

    fn read(data: Value) -> Result<u32, Unreadable> {
        lenient::vmid(data).map_err(Unreadable::because)
    }
}

/// The guests that the token may see, up to 10 s old: never for what has just been changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListGuests;

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct GuestLine {
    #[serde(deserialize_with = "lenient::vmid")]
    pub vmid: u32,
    pub node: String,
    /// `lxc` or `qemu`
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default, deserialize_with = "lenient::text")]
    pub name: Option<String>,
    /// `running`, `stopped`, `unknown`
    #[serde(default, deserialize_with = "lenient::text")]
    pub status: Option<String>,
    #[serde(default, deserialize_with = "lenient::text")]
    pub tags: Option<String>,
    #[serde(default, deserialize_with = "lenient::text")]
    pub pool: Option<String>,
    #[serde(default, deserialize_with = "lenient::text")]
    pub lock: Option<String>,
    #[serde(default, deserialize_with = "lenient::flag")]
    pub template: bool,
    /// What it may take at most, in bytes.
    #[serde(default, deserialize_with = "lenient::number")]
    pub maxmem: Option<u64>,
}

impl Endpoint for ListGuests {
    type Answer = Vec<GuestLine>;

    fn call(&self) -> Call {
        Call::new(Method::Get, "/cluster/resources").with("type", "vm")
    }

    fn read(data: Value) -> Result<Vec<GuestLine>, Unreadable> {
        parse(data)
    }
}

/// Which nodes are online, and whether the cluster has a majority. Wants Sys.Audit on `/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadClusterStatus;

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct MemberLine {
    /// `cluster` (once, if there is one) or `node`
    #[serde(rename = "type")]
    pub kind: String,
    pub name: String,
    #[serde(default, deserialize_with = "lenient::flag")]
    pub online: bool,
    /// Of the cluster's line.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub quorate: bool,
    #[serde(default, deserialize_with = "lenient::text")]
    pub ip: Option<String>,
}

impl Endpoint for ReadClusterStatus {
    type Answer = Vec<MemberLine>;

    fn call(&self) -> Call {
        Call::new(Method::Get, "/cluster/status")
    }

    fn read(data: Value) -> Result<Vec<MemberLine>, Unreadable> {
        parse(data)
    }
}

/// The cluster's settings, as far as the token may see them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadOptions;

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClusterOptions {
    /// First three bytes of the MACs that Proxmox makes: `BC:24:11` unless it is set.
    pub mac_prefix: Option<String>,
}

impl Endpoint for ReadOptions {
    type Answer = ClusterOptions;

    fn call(&self) -> Call {
        Call::new(Method::Get, "/cluster/options")
    }

    fn read(data: Value) -> Result<ClusterOptions, Unreadable> {
        let mut values = scalars(data)?;
        Ok(ClusterOptions { mac_prefix: values.remove("mac_prefix") })
    }
}

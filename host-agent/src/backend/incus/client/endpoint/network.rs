//! Networks, and who has an address on them.

use serde::Deserialize;

use super::{Answered, Config, Endpoint, Unreadable, nullable, parse};
use crate::backend::incus::client::call::{Call, Method, segment};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadNetwork {
    pub name: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Network {
    pub name: String,
    /// `bridge`, `ovn`, `physical`, ...
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether Incus made it, or only knows of it.
    #[serde(default)]
    pub managed: bool,
    /// `Created`, `Pending`, `Errored`, ...
    #[serde(default)]
    pub status: String,
    /// `ipv4.address`, `ipv4.dhcp`, ... Not for clients that are restricted to projects.
    #[serde(default, deserialize_with = "nullable")]
    pub config: Config,
}

impl Endpoint for ReadNetwork {
    type Answer = Network;

    fn call(&self) -> Call {
        Call::new(Method::Get, format!("/1.0/networks/{}", segment(&self.name)))
    }

    fn read(answered: Answered) -> Result<Network, Unreadable> {
        parse(answered.metadata)
    }
}

/// Of a managed network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListLeases {
    pub network: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Lease {
    #[serde(default)]
    pub hostname: String,
    /// Empty: of an IPv6 lease.
    #[serde(default)]
    pub hwaddr: String,
    pub address: String,
    /// `dynamic`, `static`, `gateway`
    #[serde(default, rename = "type")]
    pub kind: String,
}

impl Endpoint for ListLeases {
    type Answer = Vec<Lease>;

    fn call(&self) -> Call {
        Call::new(Method::Get, format!("/1.0/networks/{}/leases", segment(&self.network)))
    }

    fn read(answered: Answered) -> Result<Vec<Lease>, Unreadable> {
        parse(answered.metadata)
    }
}

//! Power, and what runs.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::instance::path;
use super::{Answered, Endpoint, Unreadable, nullable, operation, parse};
use crate::backend::incus::client::call::{Call, Method};
use crate::backend::incus::client::operation::OperationId;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadState {
    pub name: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct InstanceState {
    /// As of an instance.
    pub status: String,
    /// Of its init, on the host; 0 or less: it does not run.
    #[serde(default)]
    pub pid: i64,
    /// By their names in the guest, `lo` included. Of a machine: as its agent says, if it has one.
    #[serde(default, deserialize_with = "nullable")]
    pub network: BTreeMap<String, Interface>,
    #[serde(default)]
    pub memory: MemoryUsage,
    /// RFC 3339; year 1: it does not run.
    #[serde(default)]
    pub started_at: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Interface {
    #[serde(default, deserialize_with = "nullable")]
    pub addresses: Vec<InterfaceAddress>,
    #[serde(default)]
    pub hwaddr: String,
    /// The other end, on the host.
    #[serde(default)]
    pub host_name: String,
    /// `up` or `down`
    #[serde(default)]
    pub state: String,
    /// `broadcast`, `loopback`, ...
    #[serde(default, rename = "type")]
    pub kind: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct InterfaceAddress {
    /// As the server wrote it: see [`InterfaceAddress::ip`].
    pub address: String,
    /// Prefix length.
    #[serde(default)]
    pub netmask: String,
    /// `global`, `link`, `local`
    #[serde(default)]
    pub scope: String,
}

impl InterfaceAddress {
    /// None: it is none.
    pub fn ip(&self) -> Option<IpAddr> {
        self.address.parse().ok()
    }
}

/// In bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct MemoryUsage {
    #[serde(default)]
    pub usage: i64,
    /// What it may have; 0: not known.
    #[serde(default)]
    pub total: i64,
}

impl InstanceState {
    pub fn is_running(&self) -> bool {
        super::instance::is_running(&self.status)
    }

    /// Of all interfaces.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.network.values().flat_map(|interface| &interface.addresses).filter_map(InterfaceAddress::ip)
    }
}

impl Endpoint for ReadState {
    type Answer = InstanceState;

    fn call(&self) -> Call {
        Call::new(Method::Get, path(&self.name, "/state"))
    }

    fn read(answered: Answered) -> Result<InstanceState, Unreadable> {
        parse(answered.metadata)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    Start,
    Stop,
    Restart,
}

/// What is already so ends as [`Class::AlreadySo`](crate::backend::incus::client::verdict::Class::AlreadySo), of the call or
/// of the operation. A stop without force asks the guest to shut down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeState {
    pub name: String,
    pub action: Action,
    /// How long a guest may take to stop; then the operation fails, and the guest runs on. Whole seconds are sent.
    pub timeout: Option<Duration>,
    /// Pulls the plug.
    pub force: bool,
}

#[derive(Serialize)]
struct StateBody {
    action: Action,
    timeout: i64,
    force: bool,
    stateful: bool,
}

impl Endpoint for ChangeState {
    type Answer = OperationId;

    fn call(&self) -> Call {
        let timeout = self.timeout.map_or(-1, |timeout| i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX));
        Call::new(Method::Put, path(&self.name, "/state")).json(&StateBody {
            action: self.action,
            timeout,
            force: self.force,
            stateful: false,
        })
    }

    fn read(answered: Answered) -> Result<OperationId, Unreadable> {
        operation(answered)
    }
}

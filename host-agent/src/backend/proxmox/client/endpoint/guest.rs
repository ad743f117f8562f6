//! What containers and machines have in common: power, size, state, removal.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::{Endpoint, Unreadable, parse, parse_upid};
use crate::backend::proxmox::client::call::{Call, Method, segment};
use crate::backend::proxmox::client::lenient;
use crate::backend::proxmox::client::upid::Upid;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    Lxc,
    Qemu,
}

impl Kind {
    /// As in paths and lists.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lxc => "lxc",
            Self::Qemu => "qemu",
        }
    }
}

/// Where a guest is. VMIDs are unique in the cluster, over both kinds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Guest {
    pub node: String,
    pub kind: Kind,
    pub vmid: u32,
}

impl Guest {
    pub(super) fn path(&self, end: &str) -> String {
        format!("/nodes/{}/{}/{}{end}", segment(&self.node), self.kind.as_str(), self.vmid)
    }
}

impl fmt::Display for Guest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} on {}", self.kind.as_str(), self.vmid, self.node)
    }
}

/// Whether it runs, now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadStatus {
    pub guest: Guest,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct GuestStatus {
    /// `running` or `stopped`
    pub status: String,
    /// Seconds; begins anew with each start.
    #[serde(default, deserialize_with = "lenient::number")]
    pub uptime: Option<u64>,
    #[serde(default, deserialize_with = "lenient::text")]
    pub name: Option<String>,
    #[serde(default, deserialize_with = "lenient::text")]
    pub lock: Option<String>,
    #[serde(default, deserialize_with = "lenient::text")]
    pub tags: Option<String>,
}

impl GuestStatus {
    pub fn is_running(&self) -> bool {
        self.status == "running"
    }
}

impl Endpoint for ReadStatus {
    type Answer = GuestStatus;

    fn call(&self) -> Call {
        Call::new(Method::Get, self.guest.path("/status/current"))
    }

    fn read(data: Value) -> Result<GuestStatus, Unreadable> {
        parse(data)
    }
}

/// The guests of one node that the token may see, as they are now: unlike the cluster's list, this one is made when it is
/// asked for. Takes one of the node's workers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListNodeGuests {
    pub node: String,
    pub kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct NodeGuestLine {
    #[serde(deserialize_with = "lenient::vmid")]
    pub vmid: u32,
    /// Of a guest without one: `CT101`, `VM 101`.
    #[serde(default, deserialize_with = "lenient::text")]
    pub name: Option<String>,
    /// `running` or `stopped`
    pub status: String,
    #[serde(default, deserialize_with = "lenient::text")]
    pub lock: Option<String>,
    #[serde(default, deserialize_with = "lenient::text")]
    pub tags: Option<String>,
    #[serde(default, deserialize_with = "lenient::flag")]
    pub template: bool,
}

impl Endpoint for ListNodeGuests {
    type Answer = Vec<NodeGuestLine>;

    fn call(&self) -> Call {
        Call::new(Method::Get, format!("/nodes/{}/{}", segment(&self.node), self.kind.as_str()))
    }

    fn read(data: Value) -> Result<Vec<NodeGuestLine>, Unreadable> {
        parse(data)
    }
}

/// The task's `OK` means that the init process runs, not that the guest is up. That the guest is missing or locked shows
/// in the task only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    pub guest: Guest,
}

impl Endpoint for Start {
    type Answer = Upid;

    fn call(&self) -> Call {
        Call::new(Method::Post, self.guest.path("/status/start"))
    }

    fn read(data: Value) -> Result<Upid, Unreadable> {
        parse_upid(&data)
    }
}

/// Pulls the plug.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    pub guest: Guest,
    /// Ends a shutdown that hangs. From 8.2 on.
    pub overrule_shutdown: bool,
}

impl Endpoint for Stop {
    type Answer = Upid;

    fn call(&self) -> Call {
        Call::new(Method::Post, self.guest.path("/status/stop"))
            .flag("overrule-shutdown", self.overrule_shutdown)
    }

    fn read(data: Value) -> Result<Upid, Unreadable> {
        parse_upid(&data)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shutdown {
    pub guest: Guest,
    /// Whole seconds are sent.
    pub timeout: Duration,
    /// Pulls the plug when the time is up.
    pub force_stop: bool,
}

impl Endpoint for Shutdown {
    type Answer = Upid;

    fn call(&self) -> Call {
        Call::new(Method::Post, self.guest.path("/status/shutdown"))
            .with("timeout", self.timeout.as_secs())
            .flag("forceStop", self.force_stop)
    }

    fn read(data: Value) -> Result<Upid, Unreadable> {
        parse_upid(&data)
    }
}

/// Grows a volume. Of a stopped container with ext4 it takes 23 s and holds the guest's lock; its task ends `OK` even
/// if the file system could not be grown, which only its log tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resize {
    pub guest: Guest,
    /// `rootfs`, `mp0`, `scsi0`
    pub disk: String,
    /// The size that is wanted, in bytes. Proxmox counts in KiB.
    pub bytes: u64,
}

impl Endpoint for Resize {
    type Answer = Option<Upid>;

    fn call(&self) -> Call {
        Call::new(Method::Put, self.guest.path("/resize"))
            .with("disk", &self.disk)
            .with("size", format_args!("{}K", self.bytes.div_ceil(1024)))
    }

    /// No task: an old server has done it within the call.
    fn read(data: Value) -> Result<Option<Upid>, Unreadable> {
        if data.is_null() { Ok(None) } else { parse_upid(&data).map(Some) }
    }
}

/// Removes the guest, its volumes and its traces in jobs. It must be stopped, or a container and `force`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destroy {
    pub guest: Guest,
    /// Stops it first. Containers only: machines know no such parameter.
    pub force: bool,
    /// Volumes of this VMID that its configuration does not name: what a killed restore of a machine leaves.
    pub unreferenced_disks: bool,
}

impl Endpoint for Destroy {
    type Answer = Upid;

    fn call(&self) -> Call {
        Call::new(Method::Delete, self.guest.path(""))
            .flag("purge", true)
            .flag("force", self.force && self.guest.kind == Kind::Lxc)
            .flag("destroy-unreferenced-disks", self.unreferenced_disks)
    }

    fn read(data: Value) -> Result<Upid, Unreadable> {
        parse_upid(&data)
    }
}

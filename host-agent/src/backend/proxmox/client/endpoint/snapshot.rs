//! Snapshots of a guest. Each change is a task; what it refuses stands in the task's end.

use serde::Deserialize;
use serde_json::Value;

use super::guest::Guest;
use super::{Endpoint, Unreadable, parse, parse_upid};
use crate::backend::proxmox::client::call::{Call, Method, segment};
use crate::backend::proxmox::client::lenient;
use crate::backend::proxmox::client::upid::Upid;

/// Wants VM.Audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListSnapshots {
    pub guest: Guest,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct SnapshotLine {
    /// `current`: the guest as it is now.
    pub name: String,
    /// Seconds since 1970.
    #[serde(default, deserialize_with = "lenient::number")]
    pub snaptime: Option<u64>,
    /// `prepare`, `delete`: it is being made or removed, or its task was killed.
    #[serde(default, deserialize_with = "lenient::text")]
    pub snapstate: Option<String>,
}

impl Endpoint for ListSnapshots {
    type Answer = Vec<SnapshotLine>;

    fn call(&self) -> Call {
        Call::new(Method::Get, self.guest.path("/snapshot"))
    }

    fn read(data: Value) -> Result<Vec<SnapshotLine>, Unreadable> {
        parse(data)
    }
}

/// Of a running machine: without its memory. Wants VM.Snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakeSnapshot {
    pub guest: Guest,
    pub name: String,
}

impl Endpoint for TakeSnapshot {
    type Answer = Upid;

    fn call(&self) -> Call {
        Call::new(Method::Post, self.guest.path("/snapshot"))
            .with("snapname", &self.name)
            .with("description", "taken by Firstlight")
    }

    fn read(data: Value) -> Result<Upid, Unreadable> {
        parse_upid(&data)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoveSnapshot {
    pub guest: Guest,
    pub name: String,
}

impl Endpoint for RemoveSnapshot {
    type Answer = Upid;

    fn call(&self) -> Call {
        Call::new(Method::Delete, self.guest.path(&format!("/snapshot/{}", segment(&self.name))))
    }

    fn read(data: Value) -> Result<Upid, Unreadable> {
        parse_upid(&data)
    }
}

/// Stops the guest, sets disks and configuration back, and starts it. Wants VM.Snapshot or VM.Snapshot.Rollback, and
/// VM.PowerMgmt for the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rollback {
    pub guest: Guest,
    pub name: String,
}

impl Endpoint for Rollback {
    type Answer = Upid;

    fn call(&self) -> Call {
        Call::new(Method::Post, self.guest.path(&format!("/snapshot/{}/rollback", segment(&self.name))))
            .flag("start", true)
    }

    fn read(data: Value) -> Result<Upid, Unreadable> {
        parse_upid(&data)
    }
}

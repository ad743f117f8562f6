//! Snapshots of instances.

use serde::{Deserialize, Serialize};

use super::instance::path;
use super::{Answered, Config, Endpoint, Unreadable, nullable, operation, parse};
use crate::backend::incus::client::call::{Call, Method, segment};
use crate::backend::incus::client::operation::OperationId;

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Snapshot {
    /// Without the instance's.
    pub name: String,
    /// RFC 3339
    #[serde(default)]
    pub created_at: String,
    #[serde(default)]
    pub stateful: bool,
    #[serde(default, deserialize_with = "nullable")]
    pub config: Config,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListSnapshots {
    pub instance: String,
}

impl Endpoint for ListSnapshots {
    type Answer = Vec<Snapshot>;

    fn call(&self) -> Call {
        Call::new(Method::Get, path(&self.instance, "/snapshots")).with("recursion", 1)
    }

    fn read(answered: Answered) -> Result<Vec<Snapshot>, Unreadable> {
        parse(answered.metadata)
    }
}

/// Of the disks and the configuration, not of memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakeSnapshot {
    pub instance: String,
    pub name: String,
}

#[derive(Serialize)]
struct TakeBody<'a> {
    name: &'a str,
    stateful: bool,
}

impl Endpoint for TakeSnapshot {
    type Answer = OperationId;

    fn call(&self) -> Call {
        Call::new(Method::Post, path(&self.instance, "/snapshots"))
            .json(&TakeBody { name: &self.name, stateful: false })
    }

    fn read(answered: Answered) -> Result<OperationId, Unreadable> {
        operation(answered)
    }
}

/// Sets the instance back, its configuration too. A running one is stopped, and started again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreSnapshot {
    pub instance: String,
    pub name: String,
}

#[derive(Serialize)]
struct RestoreBody<'a> {
    restore: &'a str,
    stateful: bool,
}

impl Endpoint for RestoreSnapshot {
    type Answer = OperationId;

    fn call(&self) -> Call {
        Call::new(Method::Put, path(&self.instance, ""))
            .json(&RestoreBody { restore: &self.name, stateful: false })
    }

    fn read(answered: Answered) -> Result<OperationId, Unreadable> {
        operation(answered)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoveSnapshot {
    pub instance: String,
    pub name: String,
}

impl Endpoint for RemoveSnapshot {
    type Answer = OperationId;

    fn call(&self) -> Call {
        Call::new(Method::Delete, path(&self.instance, &format!("/snapshots/{}", segment(&self.name))))
    }

    fn read(answered: Answered) -> Result<OperationId, Unreadable> {
        operation(answered)
    }
}

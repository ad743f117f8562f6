//! Storage pools, and custom volumes on them.

use serde::{Deserialize, Serialize};

use super::{Answered, Config, Endpoint, Unreadable, Versioned, nullable, parse, versioned};
use crate::backend::incus::client::call::{Call, Method, segment};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadPool {
    pub name: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Pool {
    pub name: String,
    /// `dir`, `zfs`, `btrfs`, `lvm`, `ceph`, ...
    pub driver: String,
    /// `Created`, `Pending`, `Unavailable`, ...
    #[serde(default)]
    pub status: String,
    #[serde(default, deserialize_with = "nullable")]
    pub config: Config,
}

impl Endpoint for ReadPool {
    type Answer = Pool;

    fn call(&self) -> Call {
        Call::new(Method::Get, format!("/1.0/storage-pools/{}", segment(&self.name)))
    }

    fn read(answered: Answered) -> Result<Pool, Unreadable> {
        parse(answered.metadata)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadPoolResources {
    pub pool: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct PoolResources {
    pub space: Space,
}

/// In bytes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Space {
    #[serde(default)]
    pub used: u64,
    #[serde(default)]
    pub total: u64,
}

impl Endpoint for ReadPoolResources {
    type Answer = PoolResources;

    fn call(&self) -> Call {
        Call::new(Method::Get, format!("/1.0/storage-pools/{}/resources", segment(&self.pool)))
    }

    fn read(answered: Answered) -> Result<PoolResources, Unreadable> {
        parse(answered.metadata)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Volume {
    pub name: String,
    /// `filesystem` or `block`
    #[serde(default)]
    pub content_type: String,
    #[serde(default, deserialize_with = "nullable")]
    pub config: Config,
    /// Paths of what uses it: `/1.0/instances/web-01`.
    #[serde(default, deserialize_with = "nullable")]
    pub used_by: Vec<String>,
}

/// Those that people and we make; not the disks of instances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListVolumes {
    pub pool: String,
}

impl Endpoint for ListVolumes {
    type Answer = Vec<Volume>;

    fn call(&self) -> Call {
        Call::new(Method::Get, volumes(&self.pool, "")).with("recursion", 1)
    }

    fn read(answered: Answered) -> Result<Vec<Volume>, Unreadable> {
        parse(answered.metadata)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadVolume {
    pub pool: String,
    pub name: String,
}

impl Endpoint for ReadVolume {
    type Answer = Versioned<Volume>;

    fn call(&self) -> Call {
        Call::new(Method::Get, volumes(&self.pool, &format!("/{}", segment(&self.name))))
    }

    fn read(answered: Answered) -> Result<Versioned<Volume>, Unreadable> {
        versioned(answered)
    }
}

/// With a file system. Done when it answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateVolume {
    pub pool: String,
    pub name: String,
    /// `size`, `user.*`, ...
    pub config: Config,
}

#[derive(Serialize)]
struct VolumeBody<'a> {
    name: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    content_type: &'static str,
    config: &'a Config,
}

impl Endpoint for CreateVolume {
    type Answer = ();

    fn call(&self) -> Call {
        Call::new(Method::Post, volumes(&self.pool, "")).placed().json(&VolumeBody {
            name: &self.name,
            kind: "custom",
            content_type: "filesystem",
            config: &self.config,
        })
    }

    fn read(_answered: Answered) -> Result<(), Unreadable> {
        Ok(())
    }
}

/// One that nothing uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteVolume {
    pub pool: String,
    pub name: String,
}

impl Endpoint for DeleteVolume {
    type Answer = ();

    fn call(&self) -> Call {
        Call::new(Method::Delete, volumes(&self.pool, &format!("/{}", segment(&self.name))))
    }

    fn read(_answered: Answered) -> Result<(), Unreadable> {
        Ok(())
    }
}

fn volumes(pool: &str, end: &str) -> String {
    format!("/1.0/storage-pools/{}/volumes/custom{end}", segment(pool))
}

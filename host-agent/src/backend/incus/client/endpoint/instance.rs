//! Instances: lists, configuration, creation, removal.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::snapshot::Snapshot;
use super::state::InstanceState;
use super::{
    Answered, Config, Devices, Endpoint, Unreadable, Versioned, nullable, operation, parse, versioned,
};
use crate::backend::incus::client::call::{Body, Call, Method, segment};
use crate::backend::incus::client::operation::OperationId;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    #[default]
    Container,
    VirtualMachine,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Instance {
    pub name: String,
    /// `Running`, `Ready`, `Stopped`, `Frozen`, `Error`, ...
    pub status: String,
    #[serde(rename = "type")]
    pub kind: Kind,
    #[serde(default)]
    pub project: String,
    /// The cluster's member, or `none`.
    #[serde(default)]
    pub location: String,
    #[serde(default)]
    pub architecture: String,
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub ephemeral: bool,
    #[serde(default, deserialize_with = "nullable")]
    pub profiles: Vec<String>,
    /// Its own, `volatile.*` among them.
    #[serde(default, deserialize_with = "nullable")]
    pub config: Config,
    #[serde(default, deserialize_with = "nullable")]
    pub devices: Devices,
    /// With those of its profiles.
    #[serde(default, deserialize_with = "nullable")]
    pub expanded_config: Config,
    #[serde(default, deserialize_with = "nullable")]
    pub expanded_devices: Devices,
    /// RFC 3339
    #[serde(default)]
    pub created_at: String,
    /// Where [`ListInstances::full`] asked for it, and the server could tell.
    #[serde(default)]
    pub state: Option<InstanceState>,
    /// As `state`.
    #[serde(default, deserialize_with = "nullable")]
    pub snapshots: Vec<Snapshot>,
}

impl Instance {
    pub fn is_running(&self) -> bool {
        is_running(&self.status)
    }
}

/// As the server itself sees it: `Ready` is what a guest calls itself, and a frozen one cannot be removed either.
/// Source: isRunningStatusCode in internal/server/instance/drivers/driver_common.go of Incus.
pub(super) fn is_running(status: &str) -> bool {
    !matches!(status, "" | "Stopped" | "Error")
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListInstances {
    /// Every project that we may see.
    pub all_projects: bool,
    /// With state and snapshots of each: costs the server a look into every one that runs.
    pub full: bool,
    /// In Incus' own words: `config.user.firstlight.job ne ""`... None: all.
    pub filter: Option<String>,
}

impl Endpoint for ListInstances {
    type Answer = Vec<Instance>;

    fn call(&self) -> Call {
        Call::new(Method::Get, "/1.0/instances")
            .with("recursion", if self.full { 2 } else { 1 })
            .maybe("all-projects", self.all_projects.then_some(true))
            .maybe("filter", self.filter.as_deref())
    }

    fn read(answered: Answered) -> Result<Vec<Instance>, Unreadable> {
        parse(answered.metadata)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadInstance {
    pub name: String,
}

impl Endpoint for ReadInstance {
    type Answer = Versioned<Instance>;

    fn call(&self) -> Call {
        Call::new(Method::Get, path(&self.name, ""))
    }

    fn read(answered: Answered) -> Result<Versioned<Instance>, Unreadable> {
        versioned(answered)
    }
}

/// An image of the server itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Image {
    Alias(String),
    /// The whole of it, or as much of its beginning as no other has.
    Fingerprint(String),
}

/// Makes an instance from an image; it does not start. Its operation names the instance in its resources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateInstance {
    pub name: String,
    pub kind: Kind,
    pub image: Image,
    pub config: Config,
    pub devices: Devices,
    /// None: `default`.
    pub profiles: Option<Vec<String>>,
    pub ephemeral: bool,
    pub description: String,
}

#[derive(Serialize)]
struct CreateBody<'a> {
    name: &'a str,
    #[serde(rename = "type")]
    kind: Kind,
    source: Source<'a>,
    config: &'a Config,
    devices: &'a Devices,
    #[serde(skip_serializing_if = "Option::is_none")]
    profiles: Option<&'a [String]>,
    ephemeral: bool,
    description: &'a str,
}

#[derive(Serialize)]
struct Source<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    alias: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fingerprint: Option<&'a str>,
}

impl Endpoint for CreateInstance {
    type Answer = OperationId;

    fn call(&self) -> Call {
        let (alias, fingerprint) = match &self.image {
            Image::Alias(alias) => (Some(alias.as_str()), None),
            Image::Fingerprint(fingerprint) => (None, Some(fingerprint.as_str())),
        };
        Call::new(Method::Post, "/1.0/instances").placed().json(&CreateBody {
            name: &self.name,
            kind: self.kind,
            source: Source { kind: "image", alias, fingerprint },
            config: &self.config,
            devices: &self.devices,
            profiles: self.profiles.as_deref(),
            ephemeral: self.ephemeral,
            description: &self.description,
        })
    }

    fn read(answered: Answered) -> Result<OperationId, Unreadable> {
        operation(answered)
    }
}

/// Makes an instance from an exported backup (`incus export`), under a name of its own. It has the configuration, devices
/// and MACs of the backup, and whatever stamp that has: read it before it is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportBackup {
    pub name: String,
    /// None: the backup's own.
    pub pool: Option<String>,
    /// On this machine.
    pub file: PathBuf,
    /// Of the file, in bytes.
    pub length: u64,
}

impl Endpoint for ImportBackup {
    type Answer = OperationId;

    fn call(&self) -> Call {
        let call = Call::new(Method::Post, "/1.0/instances").placed().header("x-incus-name", &self.name);
        let call = match &self.pool {
            Some(pool) => call.header("x-incus-pool", pool),
            None => call,
        };
        call.body(Body::File { path: self.file.clone(), length: self.length })
    }

    fn read(answered: Answered) -> Result<OperationId, Unreadable> {
        operation(answered)
    }
}

/// All that can be written of an instance. What is not in it, goes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct InstancePut {
    pub architecture: String,
    pub config: Config,
    pub devices: Devices,
    pub ephemeral: bool,
    pub profiles: Vec<String>,
    pub description: String,
}

impl From<Instance> for InstancePut {
    fn from(read: Instance) -> Self {
        Self {
            architecture: read.architecture,
            config: read.config,
            devices: read.devices,
            ephemeral: read.ephemeral,
            profiles: read.profiles,
            description: read.description,
        }
    }
}

/// Writes the whole configuration: how devices are taken away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplaceInstance {
    pub name: String,
    pub put: InstancePut,
    /// Of what was read; None: whatever it is now.
    pub etag: Option<String>,
}

impl Endpoint for ReplaceInstance {
    type Answer = OperationId;

    fn call(&self) -> Call {
        Call::new(Method::Put, path(&self.name, "")).if_match(self.etag.as_deref()).json(&self.put)
    }

    fn read(answered: Answered) -> Result<OperationId, Unreadable> {
        operation(answered)
    }
}

/// Sets some keys and devices, and leaves the others. Done when it answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PatchInstance {
    pub name: String,
    /// An empty value takes a key away: no key without a value is stored.
    /// Source: CreateInstanceConfig in internal/server/db/instances.go of Incus.
    pub config: Config,
    /// Each is written whole.
    pub devices: Devices,
    pub ephemeral: Option<bool>,
    pub etag: Option<String>,
}

#[derive(Serialize)]
struct PatchBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<&'a Config>,
    #[serde(skip_serializing_if = "Option::is_none")]
    devices: Option<&'a Devices>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ephemeral: Option<bool>,
}

impl Endpoint for PatchInstance {
    type Answer = ();

    fn call(&self) -> Call {
        let body = PatchBody {
            config: (!self.config.is_empty()).then_some(&self.config),
            devices: (!self.devices.is_empty()).then_some(&self.devices),
            ephemeral: self.ephemeral,
        };
        Call::new(Method::Patch, path(&self.name, "")).if_match(self.etag.as_deref()).json(&body)
    }

    fn read(_answered: Answered) -> Result<(), Unreadable> {
        Ok(())
    }
}

/// Removes a stopped instance with its root disk and its snapshots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteInstance {
    pub name: String,
}

impl Endpoint for DeleteInstance {
    type Answer = OperationId;

    fn call(&self) -> Call {
        Call::new(Method::Delete, path(&self.name, ""))
    }

    fn read(answered: Answered) -> Result<OperationId, Unreadable> {
        operation(answered)
    }
}

pub(super) fn path(name: &str, end: &str) -> String {
    format!("/1.0/instances/{}{end}", segment(name))
}

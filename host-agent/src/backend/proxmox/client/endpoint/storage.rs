//! Storages and their volumes.

use serde::Deserialize;
use serde_json::Value;

use super::{Endpoint, Unreadable, parse, parse_upid};
use crate::backend::proxmox::client::call::{Call, Method, segment};
use crate::backend::proxmox::client::lenient;
use crate::backend::proxmox::client::upid::Upid;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListStorages {
    pub node: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct StorageState {
    /// Absent in the answer about one storage.
    #[serde(default, deserialize_with = "lenient::text")]
    pub storage: Option<String>,
    /// The driver: `dir`, `lvmthin`, `zfspool`, `btrfs`, `pbs`, ...
    #[serde(rename = "type")]
    pub driver: String,
    /// `rootdir`, `images`, `backup`, ...
    #[serde(default, deserialize_with = "lenient::list")]
    pub content: Vec<String>,
    #[serde(default, deserialize_with = "lenient::flag")]
    pub active: bool,
    #[serde(default, deserialize_with = "lenient::flag")]
    pub enabled: bool,
    #[serde(default, deserialize_with = "lenient::flag")]
    pub shared: bool,
    /// In bytes.
    #[serde(default, deserialize_with = "lenient::number")]
    pub avail: Option<u64>,
    /// In bytes.
    #[serde(default, deserialize_with = "lenient::number")]
    pub total: Option<u64>,
}

impl StorageState {
    pub fn takes(&self, content: &str) -> bool {
        self.content.iter().any(|known| known == content)
    }
}

impl Endpoint for ListStorages {
    type Answer = Vec<StorageState>;

    fn call(&self) -> Call {
        Call::new(Method::Get, format!("/nodes/{}/storage", segment(&self.node)))
    }

    fn read(data: Value) -> Result<Vec<StorageState>, Unreadable> {
        parse(data)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadStorage {
    pub node: String,
    pub storage: String,
}

impl Endpoint for ReadStorage {
    type Answer = StorageState;

    fn call(&self) -> Call {
        let (node, storage) = (segment(&self.node), segment(&self.storage));
        Call::new(Method::Get, format!("/nodes/{node}/storage/{storage}/status"))
    }

    fn read(data: Value) -> Result<StorageState, Unreadable> {
        parse(data)
    }
}

/// What lies on a storage: archives, and images that no configuration names any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListContent {
    pub node: String,
    pub storage: String,
    /// `backup`, `rootdir`, `images`; None: all that the token may see.
    pub content: Option<String>,
    pub vmid: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct VolumeLine {
    pub volid: String,
    #[serde(default, deserialize_with = "lenient::text")]
    pub content: Option<String>,
    #[serde(default, deserialize_with = "lenient::maybe_vmid")]
    pub vmid: Option<u32>,
    /// In bytes.
    #[serde(default, deserialize_with = "lenient::number")]
    pub size: Option<u64>,
    /// Seconds since 1970.
    #[serde(default, deserialize_with = "lenient::number")]
    pub ctime: Option<u64>,
    /// `raw`, `qcow2`, `tar.zst`, `vma.zst`, ...
    #[serde(default, deserialize_with = "lenient::text")]
    pub format: Option<String>,
}

impl Endpoint for ListContent {
    type Answer = Vec<VolumeLine>;

    fn call(&self) -> Call {
        let (node, storage) = (segment(&self.node), segment(&self.storage));
        Call::new(Method::Get, format!("/nodes/{node}/storage/{storage}/content"))
            .maybe("content", self.content.as_deref())
            .maybe("vmid", self.vmid)
    }

    fn read(data: Value) -> Result<Vec<VolumeLine>, Unreadable> {
        parse(data)
    }
}

/// Removes one volume. Wants Datastore.Allocate. The answer may be no task where the driver needs none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoveVolume {
    pub node: String,
    pub storage: String,
    /// As listed: `local:146/vm-146-disk-0.raw`
    pub volid: String,
}

impl Endpoint for RemoveVolume {
    type Answer = Option<Upid>;

    fn call(&self) -> Call {
        let (node, storage, volume) = (segment(&self.node), segment(&self.storage), segment(&self.volid));
        Call::new(Method::Delete, format!("/nodes/{node}/storage/{storage}/content/{volume}"))
    }

    fn read(data: Value) -> Result<Option<Upid>, Unreadable> {
        if data.is_null() { Ok(None) } else { parse_upid(&data).map(Some) }
    }
}

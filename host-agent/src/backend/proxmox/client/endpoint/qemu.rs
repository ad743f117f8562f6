//! Machines: restore from an archive.

use std::fmt;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::Value;

use super::{Endpoint, Unreadable, parse_upid};
use crate::backend::proxmox::client::call::{Call, Method, segment};
use crate::backend::proxmox::client::properties::Properties;
use crate::backend::proxmox::client::upid::Upid;

/// Makes a machine from an archive of vzdump. Disks cannot be given (size and drives come afterwards), all else can, and
/// beats the archive.
///
/// An unfinished machine looks like a finished one, and a failed restore leaves it there: only the task tells.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct RestoreQemu {
    pub node: String,
    pub vmid: u32,
    /// `local:backup/vzdump-qemu-9200-2026_11_21-12_00_00.vma.zst`
    pub archive: String,
    pub storage: Option<String>,
    pub pool: Option<String>,
    pub name: Option<String>,
    pub net: Vec<(u32, Properties)>,
    /// From [`smbios`].
    pub smbios1: Option<Properties>,
    pub cores: Option<u32>,
    pub memory_mib: Option<u64>,
    pub description: Option<String>,
    pub tags: Option<String>,
    pub onboot: Option<bool>,
    pub protection: Option<bool>,
    /// An archive of a template makes a template again, unless it is told not to.
    pub template: Option<bool>,
}

impl fmt::Debug for RestoreQemu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.call().fmt(f)
    }
}

impl Endpoint for RestoreQemu {
    type Answer = Upid;

    fn call(&self) -> Call {
        let mut call = Call::new(Method::Post, format!("/nodes/{}/qemu", segment(&self.node)))
            .with("vmid", self.vmid)
            .with("archive", &self.archive)
            .maybe("storage", self.storage.as_deref())
            .maybe("pool", self.pool.as_deref())
            .maybe("name", self.name.as_deref())
            .maybe("smbios1", self.smbios1.as_ref())
            .maybe("cores", self.cores)
            .maybe("memory", self.memory_mib)
            .maybe("description", self.description.as_deref())
            .maybe("tags", self.tags.as_deref())
            .maybe("onboot", self.onboot.map(u8::from))
            .maybe("protection", self.protection.map(u8::from))
            .maybe("template", self.template.map(u8::from));
        for (number, properties) in &self.net {
            call = call.with(&format!("net{number}"), properties);
        }
        call
    }

    fn read(data: Value) -> Result<Upid, Unreadable> {
        parse_upid(&data)
    }
}

/// The value of `smbios1`: always with the uuid, because a serial alone removes it, and with it the machine-id that the
/// guest would take from it.
pub fn smbios(uuid: &str, serial: Option<&str>) -> Properties {
    let properties = Properties::default().with("uuid", uuid);
    match serial {
        Some(serial) => properties.with("base64", 1).with("serial", BASE64_STANDARD.encode(serial)),
        None => properties,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_serial_never_comes_without_its_uuid() {
        let uuid = "11111111-2222-3333-4444-555555555555";
        assert_eq!(smbios(uuid, None).to_string(), format!("uuid={uuid}"));
        assert_eq!(
            smbios(uuid, Some("FL-TOKEN-300b")).to_string(),
            format!("uuid={uuid},base64=1,serial=RkwtVE9LRU4tMzAwYg==")
        );
    }
}

//! What a machine's guest agent answers. A silent one costs 3 s, and a worker of the node for as long.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde::Deserialize;
use serde_json::Value;

use super::guest::Guest;
use super::lxc::{Interface, RawInterface};
use super::{Endpoint, Unreadable, parse};
use crate::backend::proxmox::client::call::{Call, Method, Pace};
use crate::backend::proxmox::client::lenient;

/// Whether the agent answers. A silent one is [`Code::AgentSilent`].
///
/// [`Code::AgentSilent`]: crate::backend::proxmox::client::verdict::Code::AgentSilent
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PingAgent {
    pub guest: Guest,
}

impl Endpoint for PingAgent {
    type Answer = ();

    fn call(&self) -> Call {
        Call::new(Method::Post, self.guest.path("/agent/ping")).at(Pace::Agent)
    }

    fn read(_data: Value) -> Result<(), Unreadable> {
        Ok(())
    }
}

/// Wants VM.GuestAgent.Audit (before 9: VM.Monitor).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadAgentInterfaces {
    pub guest: Guest,
}

#[derive(Deserialize)]
struct Wrapped<T> {
    result: T,
}

impl Endpoint for ReadAgentInterfaces {
    type Answer = Vec<Interface>;

    fn call(&self) -> Call {
        Call::new(Method::Get, self.guest.path("/agent/network-get-interfaces")).at(Pace::Agent)
    }

    fn read(data: Value) -> Result<Vec<Interface>, Unreadable> {
        let wrapped: Wrapped<Vec<RawInterface>> = parse(data)?;
        Ok(wrapped.result.into_iter().map(Interface::from).collect())
    }
}

/// A file of the guest, byte for byte. Wants VM.GuestAgent.FileRead (before 9: VM.Monitor).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadGuestFile {
    pub guest: Guest,
    pub file: String,
    /// In bytes, at most 16 MiB. Sent with `encoded` only: whoever does not know the one does not know the other, and
    /// gives 16 MiB.
    pub count: u32,
    /// Asks for base64. Servers of before 2026 do not know it, and refuse the call.
    pub encoded: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestFile {
    content: String,
    /// There is more than was asked for.
    pub truncated: bool,
}

impl GuestFile {
    /// The bytes; `encoded` as in the call.
    ///
    /// # Errors
    /// The content is not what such a call gives.
    pub fn bytes(&self, encoded: bool) -> Result<Vec<u8>, Unreadable> {
        if encoded {
            return BASE64_STANDARD.decode(self.content.trim()).map_err(Unreadable::because);
        }
        // Each byte comes as the character of its number.
        let bytes: Result<Vec<u8>, _> = self.content.chars().map(|c| u8::try_from(u32::from(c))).collect();
        bytes.map_err(Unreadable::because)
    }
}

#[derive(Deserialize)]
struct RawFile {
    content: String,
    #[serde(default, deserialize_with = "lenient::flag")]
    truncated: bool,
}

impl Endpoint for ReadGuestFile {
    type Answer = GuestFile;

    fn call(&self) -> Call {
        let decode = self.encoded.then_some(0);
        Call::new(Method::Get, self.guest.path("/agent/file-read"))
            .at(Pace::Agent)
            .with("file", &self.file)
            .maybe("count", self.encoded.then_some(self.count))
            .maybe("decode", decode)
    }

    fn read(data: Value) -> Result<GuestFile, Unreadable> {
        let raw: RawFile = parse(data)?;
        Ok(GuestFile { content: raw.content, truncated: raw.truncated })
    }
}

/// What is mounted in the guest, as its agent sees it. Wants VM.GuestAgent.Audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadFilesystems {
    pub guest: Guest,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filesystem {
    pub mountpoint: String,
    /// Of the disks below it, as udev's ID_SERIAL has them: `0QEMU_QEMU_HARDDISK_fl-0`.
    pub serials: Vec<String>,
}

#[derive(Deserialize)]
struct RawFilesystem {
    mountpoint: String,
    #[serde(default)]
    disk: Vec<RawDisk>,
}

#[derive(Deserialize)]
struct RawDisk {
    #[serde(default, deserialize_with = "lenient::text")]
    serial: Option<String>,
}

impl Endpoint for ReadFilesystems {
    type Answer = Vec<Filesystem>;

    fn call(&self) -> Call {
        Call::new(Method::Get, self.guest.path("/agent/get-fsinfo")).at(Pace::Agent)
    }

    fn read(data: Value) -> Result<Vec<Filesystem>, Unreadable> {
        let wrapped: Wrapped<Vec<RawFilesystem>> = parse(data)?;
        let filesystem = |raw: RawFilesystem| Filesystem {
            mountpoint: raw.mountpoint,
            serials: raw.disk.into_iter().filter_map(|disk| disk.serial).collect(),
        };
        Ok(wrapped.result.into_iter().map(filesystem).collect())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn files_come_byte_for_byte_in_both_forms() {
        let read = |content: &str| ReadGuestFile::read(json!({"content": content, "bytes-read": 3})).unwrap();
        assert_eq!(read("w7E=").bytes(true).unwrap(), "ñ".as_bytes());
        assert_eq!(read("\u{c3}\u{b1}").bytes(false).unwrap(), "ñ".as_bytes());
        assert!(read("ű").bytes(false).is_err() && read("%").bytes(true).is_err());
    }
}

//! The places where a claim can stand, one function each.

use std::fmt;

use firstlight_shared::paths::CLAIM_CREDENTIAL;
use firstlight_shared::wire::Claim;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::Looked;
use crate::dev_incus::{self, DevIncusError};
use crate::sys::{Machine, SysError};
use crate::{paths, virtualization};

/// The instance's configuration key that holds a claim (devIncus shows `user.*` only).
const INCUS_KEY: &str = "user.firstlight.claim";
/// The variable of PID 1 that holds one, in its one-line form: Proxmox takes no control characters in `env`.
const VARIABLE: &str = "FIRSTLIGHT_CLAIM";

/// In the order in which they are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Source {
    Credential,
    DevIncus,
    Environment,
    ProductSerial,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    #[error("it cannot be read")]
    Unreadable(#[source] SysError),
    #[error("it cannot be asked")]
    DevIncus(#[source] DevIncusError),
    #[error("the kernel's command line names it, which a boot loader on the root disk writes")]
    CommandLine,
}

impl SourceError {
    /// Whether another look may find what is there: the server behind the source does not answer now.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::DevIncus(error) => error.may_pass(),
            Self::Unreadable(_) | Self::CommandLine => false,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Credential => "the systemd credential",
            Self::DevIncus => "devIncus",
            Self::Environment => "PID 1's environment",
            Self::ProductSerial => "the DMI product serial",
        })
    }
}

impl Source {
    pub(crate) const ALL: [Self; 4] =
        [Self::Credential, Self::DevIncus, Self::Environment, Self::ProductSerial];

    /// What stands there; none if nothing does or this machine has no such place.
    pub(super) fn look(self, machine: &Machine) -> Looked {
        match self {
            Self::Credential => credential(machine),
            Self::DevIncus => dev_incus(machine),
            Self::Environment => environment(machine),
            Self::ProductSerial => product_serial(machine),
        }
    }
}

/// As nspawn, SMBIOS type 11 and fw_cfg hand it in. Those beside the kernel on the ESP stay out: systemd keeps them
/// apart (`@encrypted`). Source: src/core/import-creds.c of systemd.
fn credential(machine: &Machine) -> Looked {
    let found = machine.system_credential(CLAIM_CREDENTIAL).map_err(SourceError::Unreadable)?;
    let Some(bytes) = found.map(Zeroizing::new) else { return Ok(None) };
    let words = ["systemd.set_credential=", "systemd.set_credential_binary="];
    let named = words.map(|word| format!("{word}{CLAIM_CREDENTIAL}:"));
    not_of_the_command_line(machine, &[&named[0], &named[1]])?;
    Ok(Some(bytes))
}

fn dev_incus(machine: &Machine) -> Looked {
    let socket = paths::DEV_INCUS.into_iter().find(|path| machine.root.kind(path).is_some());
    let Some(socket) = socket else { return Ok(None) };
    dev_incus::value(&format!("/{socket}"), INCUS_KEY).map_err(SourceError::DevIncus)
}

/// As a container manager sets it (LXC: `lxc.environment.runtime`). In a virtual machine the kernel hands PID 1 what
/// it does not know of its command line: that is the root disk's word.
fn environment(machine: &Machine) -> Looked {
    if !virtualization::is_container(machine) {
        return Ok(None);
    }
    let found = machine.pid1_started_with(VARIABLE).map_err(SourceError::Unreadable)?;
    let Some(bytes) = found.map(Zeroizing::new) else { return Ok(None) };
    not_of_the_command_line(machine, &[&format!("{VARIABLE}=")])?;
    Ok(Some(bytes))
}

/// In a container it would be the node's. A serial number that is no claim is just a serial number.
fn product_serial(machine: &Machine) -> Looked {
    if virtualization::is_container(machine) {
        return Ok(None);
    }
    let found = machine.root.read(paths::DMI_SERIAL).map_err(SourceError::Unreadable)?;
    Ok(found.filter(|bytes| Claim::is_one_line(bytes)).map(Zeroizing::new))
}

/// # Errors
/// One of the words stands there, or it cannot be read.
pub(crate) fn not_of_the_command_line(machine: &Machine, words: &[&str]) -> Result<(), SourceError> {
    let line = machine.root.read(paths::KERNEL_COMMAND_LINE).map_err(SourceError::Unreadable)?;
    let named = line.is_some_and(|line| names_one(&line, words));
    if named { Err(SourceError::CommandLine) } else { Ok(()) }
}

/// Quotes group words there and may stand anywhere; systemd takes `-` for `_` in names. Source: proc-cmdline.c.
pub(super) fn names_one(line: &[u8], words: &[&str]) -> bool {
    let plain = |bytes: &[u8]| -> Vec<u8> {
        let kept = bytes.iter().filter(|byte| !matches!(byte, b'"' | b'\''));
        kept.map(|byte| if *byte == b'-' { b'_' } else { *byte }).collect()
    };
    let line = plain(line);
    words.iter().any(|word| {
        let word = plain(word.as_bytes());
        line.windows(word.len()).any(|window| window == word)
    })
}

//! The only door to the machine: files below a root, clock, host name, network, environment of PID 1.
//!
//! A foreign root (`--root DIR`) has files only: no clock of its boot, no PID 1, no credentials, no host name.
//! Nothing here decides anything. Nothing here calls getaddrinfo or getpw*: in a root with another glibc they
//! kill a static program.

mod aside;
mod clock;
mod console;
mod error;
mod files;
mod fuse;
mod in_use;
mod listeners;
mod local_socket;
#[cfg(test)]
mod made_up;
mod mounts;
mod netlink;
mod network;
mod process;
mod program;
mod random;
mod root;
mod surroundings;

pub(crate) use aside::aside;
pub(crate) use clock::{Clock, Stopwatch, millis};
pub(crate) use console::{open_port, port_device};
pub(crate) use error::SysError;
pub(crate) use files::{FileFacts, LinkFacts, bytes_of, file_facts, link_facts, sha256_of};
pub(crate) use fuse::Fuse;
pub(crate) use in_use::{Use, use_of};
pub(crate) use listeners::listening_sockets;
#[cfg(feature = "fuzzing")]
pub(crate) use listeners::parse as parse_listeners;
pub(crate) use local_socket::ask_socket;
#[cfg(test)]
pub(crate) use made_up::MadeUp;
pub(crate) use mounts::{Mount, Space, mount_at, prove_writable, space_of};
pub(crate) use netlink::{Loopback, LoopbackAddress, NetlinkError};
pub(crate) use network::has_default_route;
pub(crate) use process::{Ended, Ran, run as run_program};
pub(crate) use program::{MAX_PROGRAM, own_program, program_at, source_date};
pub(crate) use random::{fill_random, random_bytes};
pub(crate) use root::{Kind, Root, STAGED, staged_name};

use std::path::Path;

use crate::paths;

/// What the two phases work on.
#[derive(Debug)]
pub(crate) struct Machine {
    pub root: Root,
    /// The root is `/`: this machine is running from it.
    pub live: bool,
    /// Answers for the kernel and PID 1 where a test runs a machine from a folder.
    #[cfg(test)]
    pub made_up: Option<MadeUp>,
}

impl Machine {
    /// # Errors
    /// The folder cannot be opened.
    pub(crate) fn open(root: &Path) -> Result<Self, SysError> {
        let live = std::fs::canonicalize(root).is_ok_and(|path| path == Path::new("/"));
        Ok(Self {
            root: Root::open(root, Fuse::intact())?,
            live,
            #[cfg(test)]
            made_up: None,
        })
    }

    /// A fact that a container manager tells PID 1. Where /proc/1/environ cannot be read (it takes CAP_SYS_PTRACE), what
    /// the unit passes on counts (`PassEnvironment=`), although systemd's configuration can add to that.
    pub(crate) fn pid1_variable(&self, name: &str) -> Option<String> {
        if !self.live {
            return None;
        }
        #[cfg(test)]
        if let Some(made_up) = &self.made_up {
            return made_up.variables.get(name).cloned();
        }
        let value = match self.root.read(paths::PID1_ENVIRONMENT) {
            Ok(Some(environment)) => variable_of(&environment, name),
            _ => std::env::var(name).ok(),
        };
        value.filter(|value| !value.is_empty())
    }

    /// A variable of the environment that PID 1 was started with, and of no other: systemd's own configuration on the
    /// root disk adds variables to what a service sees (`DefaultEnvironment=`, `ManagerEnvironment=`), never to this.
    ///
    /// # Errors
    /// It cannot be read: that takes CAP_SYS_PTRACE.
    pub(crate) fn pid1_started_with(&self, name: &str) -> Result<Option<Vec<u8>>, SysError> {
        if !self.live {
            return Ok(None);
        }
        let environment = self.root.read(paths::PID1_ENVIRONMENT)?.map(zeroize::Zeroizing::new);
        Ok(environment.and_then(|bytes| Some(entry_of(&bytes, name)?.to_vec())))
    }

    /// A systemd credential that the hypervisor passed to the whole system.
    ///
    /// Never one of the service's own folder: systemd fills that from /etc/credstore and its like too (systemd.exec(5),
    /// `LoadCredential=`), so from the root disk.
    ///
    /// # Errors
    /// It is there and cannot be read.
    pub(crate) fn system_credential(&self, name: &str) -> Result<Option<Vec<u8>>, SysError> {
        if !self.live {
            return Ok(None);
        }
        self.root.read(&format!("{}/{name}", paths::SYSTEM_CREDENTIALS))
    }

    pub(crate) fn clock(&self) -> Clock {
        Clock { live: self.live }
    }
}

fn variable_of(environment: &[u8], name: &str) -> Option<String> {
    String::from_utf8(entry_of(environment, name)?.to_vec()).ok()
}

fn entry_of<'e>(environment: &'e [u8], name: &str) -> Option<&'e [u8]> {
    let mut entries = environment.split(|byte| *byte == 0);
    entries.find_map(|entry| entry.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_found_by_their_whole_name() {
        let environment = b"container=lxc\0container_uuid=7be0\0EMPTY=\0odd";
        assert_eq!(variable_of(environment, "container").as_deref(), Some("lxc"));
        assert_eq!(variable_of(environment, "container_uuid").as_deref(), Some("7be0"));
        assert_eq!(variable_of(environment, "uuid"), None);
        assert_eq!(variable_of(environment, "odd"), None);
    }
}

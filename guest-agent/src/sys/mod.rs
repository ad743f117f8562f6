//! The only door to the machine: files below a root, clock, host name, network, environment of PID 1.
//!
//! A foreign root (`--root DIR`) has files only: no clock of its boot, no PID 1, no credentials, no host name.
//! Nothing here decides anything. Nothing here calls getaddrinfo or getpw*: in a root with another glibc they
//! kill a static program.

mod clock;
mod error;
mod fuse;
mod listeners;
#[cfg(test)]
mod made_up;
mod network;
mod random;
mod root;
mod surroundings;
mod systemd;

pub(crate) use clock::{Clock, Stopwatch, millis};
pub(crate) use error::SysError;
pub(crate) use fuse::Fuse;
pub(crate) use listeners::listening_sockets;
#[cfg(test)]
pub(crate) use made_up::MadeUp;
pub(crate) use network::has_default_route;
pub(crate) use random::random_bytes;
pub(crate) use root::{Kind, Root, STAGED};

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

    /// A variable of PID 1's environment, as a container manager sets it.
    ///
    /// The unit passes the two that matter (`PassEnvironment=`), since /proc/1/environ takes CAP_SYS_PTRACE.
    pub(crate) fn pid1_variable(&self, name: &str) -> Option<String> {
        if !self.live {
            return None;
        }
        #[cfg(test)]
        if let Some(made_up) = &self.made_up {
            return made_up.variables.get(name).cloned();
        }
        let own = std::env::var(name).ok();
        own.or_else(|| variable_of(&self.root.read(paths::PID1_ENVIRONMENT).ok()??, name))
            .filter(|value| !value.is_empty())
    }

    /// A credential that the hypervisor passed to the system; none for a foreign root.
    ///
    /// Not those of this service: systemd fills `$CREDENTIALS_DIRECTORY` from /etc/credstore and /usr/lib/credstore too
    /// (systemd.exec(5), `LoadCredential=`), and what the root disk says is nobody's word.
    pub(crate) fn credential(&self, name: &str) -> Option<Vec<u8>> {
        if !self.live {
            return None;
        }
        self.root.read(&format!("{}/{name}", paths::SYSTEM_CREDENTIALS)).ok().flatten()
    }

    pub(crate) fn clock(&self) -> Clock {
        Clock { live: self.live }
    }
}

fn variable_of(environment: &[u8], name: &str) -> Option<String> {
    environment.split(|byte| *byte == 0).find_map(|entry| {
        let value = entry.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        String::from_utf8(value.to_vec()).ok()
    })
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

//! Why a companion did not start, and what the operator can do.

use std::net::SocketAddr;
use std::path::PathBuf;

use firstlight_shared::error::Code;

use super::hooks::HookError;
use super::incus::IncusError;
use super::policy::PolicyError;
use super::proxmox::ProxmoxError;
use crate::config::{ConfigError, SecretError};
use crate::store::StoreError;

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("the state folder {path} cannot be used")]
    State {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the state folder {path} is in use by process {pid}")]
    InUse { path: PathBuf, pid: String },
    #[error("{address} cannot be listened on")]
    Listen {
        address: SocketAddr,
        #[source]
        source: std::io::Error,
    },
    #[error("the socket {path} cannot be made")]
    Socket {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the report listener's key cannot be used: {what}")]
    Identity { what: String },
    #[error("a secret of the configuration cannot be used")]
    Secret(#[from] SecretError),
    #[error("the API cannot be guarded")]
    Policy(#[from] PolicyError),
    #[error("the backend `proxmox` cannot be used")]
    Proxmox(#[from] ProxmoxError),
    #[error("the backend `incus` cannot be used")]
    Incus(#[from] IncusError),
    #[error("a webhook cannot be used")]
    Hook(#[from] HookError),
    #[error("no signals can be heard")]
    Signals(#[source] std::io::Error),
    #[error("the store failed")]
    Store(#[from] StoreError),
}

impl Code for StartError {
    fn code(&self) -> &'static str {
        match self {
            Self::Config(error) => error.code(),
            Self::State { .. } => "state-folder",
            Self::InUse { .. } => "state-in-use",
            Self::Listen { .. } => "listen",
            Self::Socket { .. } => "socket",
            Self::Identity { .. } => "listener-identity",
            Self::Secret(error) => error.code(),
            Self::Policy(error) => error.code(),
            Self::Proxmox(error) => error.code(),
            Self::Incus(error) => error.code(),
            Self::Hook(error) => error.code(),
            Self::Signals(_) => "signals",
            Self::Store(error) => error.code(),
        }
    }
}

impl StartError {
    /// What the operator can do.
    pub fn hint(&self) -> String {
        match self {
            Self::Config(error) => error.hint().to_owned(),
            Self::State { .. } => "name a folder that you may write with --state DIR".to_owned(),
            Self::InUse { .. } => {
                "stop that companion first, or name another folder with --state DIR".to_owned()
            }
            Self::Listen { source, .. } if source.kind() == std::io::ErrorKind::AddrNotAvailable => {
                "this machine does not have that address: name another with --listen ADDRESS:PORT".to_owned()
            }
            Self::Listen { .. } => {
                "another program may use this port: name another with --listen ADDRESS:PORT".to_owned()
            }
            Self::Socket { path, .. } => format!(
                "the path may be too long (107 bytes are allowed) or not writable: {}",
                path.display()
            ),
            Self::Identity { .. } => {
                "`reports.key` names a private key in PEM; guests that still wait pin the key they were told of".to_owned()
            }
            Self::Secret(_) | Self::Policy(_) => {
                "a secret's file is readable by the companion's user only (0600), or comes by LoadCredential= in the unit"
                    .to_owned()
            }
            Self::Proxmox(error) => error.hint().to_owned(),
            Self::Incus(error) => error.hint().to_owned(),
            Self::Hook(error) => error.hint().to_owned(),
            Self::Signals(_) => "the process may be out of file descriptors".to_owned(),
            Self::Store(error) => error
                .hint()
                .unwrap_or("the file may be damaged or the disk full: see the message above")
                .to_owned(),
        }
    }
}

//! The host CA: a key that vouches for guests' host keys, so that one `@cert-authority` line is enough for ssh.
//!
//! Here are the key, in a file or in an ssh-agent, and what is signed with it; pure but for `key` and `agent`. For whom, and
//! when anew, is decided in `bringup::certify`. Source of the format: PROTOCOL.certkeys of OpenSSH.

mod agent;
mod certificate;
mod key;
mod principals;

use firstlight_shared::error::Code;

pub(crate) use certificate::{Terms, is_due, sign};
pub(crate) use key::{CaKey, init};
pub(crate) use principals::{of_guest, problem_of};

use crate::config::SecretError;

/// Why the CA cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    #[error("the CA's key cannot be used")]
    Secret(#[from] SecretError),
    #[error("{path} cannot be read or written")]
    File {
        path: std::path::PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{path}: an OpenSSH key of type ed25519 or ecdsa-sha2-nistp256 is wanted, without a passphrase")]
    Unusable { path: std::path::PathBuf },
    #[error("{path} is there already")]
    There { path: std::path::PathBuf },
    #[error("the ssh-agent at {socket} does not answer")]
    Agent {
        socket: std::path::PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the ssh-agent at {socket} {what}")]
    Refused { socket: std::path::PathBuf, what: String },
    #[error("the certificate cannot be made")]
    Sign(#[source] ssh_key::Error),
    #[error("a key line of type ssh-ed25519, ecdsa-sha2-* or ssh-rsa is wanted")]
    HostKey(#[source] ssh_key::Error),
}

impl Code for CaError {
    fn code(&self) -> &'static str {
        match self {
            Self::HostKey(_) => "ssh-ca-host-key",
            _ => "ssh-ca",
        }
    }
}

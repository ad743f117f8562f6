//! SSH host keys: which types there are, how they are found, made and put in place.

pub(crate) mod certificate;
pub(crate) mod dropbear;
mod install;
mod make;
mod missing;
mod place;
mod rsa;
mod scan;

pub(crate) use install::install;
pub(crate) use make::{KeyError, MadeKey, make};
pub(crate) use missing::make_missing;
pub(crate) use place::Place;
#[cfg(feature = "fuzzing")]
pub(crate) use scan::read_private;
pub(crate) use scan::{HostKeys, KeyFile, Private, age_recipient, scan};

use crate::paths;

/// A type of host key, as `ssh-keygen -t` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyType {
    Ed25519,
    Ecdsa,
    Rsa,
}

impl KeyType {
    pub(crate) const ALL: [Self; 3] = [Self::Ed25519, Self::Ecdsa, Self::Rsa];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            Self::Ecdsa => "ecdsa",
            Self::Rsa => "rsa",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// Too slow for the path to sshd: made after the boot.
    pub(crate) fn is_slow(self) -> bool {
        self == Self::Rsa
    }

    /// The private key's file name in /etc/ssh.
    pub(crate) fn file_name(self) -> String {
        format!("ssh_host_{}_key", self.as_str())
    }
}

/// Below the root, of a name in /etc/ssh or an absolute path.
pub(crate) fn path_of(name: &str) -> String {
    match name.strip_prefix('/') {
        Some(path) => path.to_owned(),
        None => format!("{}/{name}", paths::SSH_DIR),
    }
}

#[cfg(test)]
mod tests;

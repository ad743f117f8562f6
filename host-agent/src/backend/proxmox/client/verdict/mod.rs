//! What an answer means: pure functions of method, path, status, words and body. The only place that reads Proxmox's
//! error texts.
//!
//! Proxmox has no 404 and no 409. Whatever its code dies of is 500, with the reason in the body's `message` (since 8.3)
//! and in the status line; storage locks come as 400, permissions inside a task only as its exit status. The texts are
//! those recorded from the API code of 9.2 (`tests/proxmox/facts.jsonl`).

mod classify;
mod code;
mod retry;
mod text;

use std::collections::BTreeMap;
use std::fmt;

pub(super) use classify::unreadable;
pub use classify::{Answer, Reply, classify};
pub use code::Code;
pub use retry::retry;
pub use text::classify_exit;

use super::call::Method;
pub use crate::backend::link::{Failure, FailureKind, Patience, Retry};
use crate::outcome::Fault;

/// How a call ended that did not end well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Class {
    /// Surely nothing arrived.
    NeverSent(Unsent),
    /// Nobody knows whether it was done: read before anything is repeated. For a read it only means: no answer.
    MaybeApplied,
    /// The server says no.
    Rejected {
        code: Code,
        /// The server is known to write a change before it finds out that it cannot apply it, or the text is one that
        /// we do not know: read the configuration again before believing that nothing changed.
        kept: bool,
    },
    /// Nothing was done: somebody else is at work on it.
    Locked(Lock),
    /// What the call is about is not there.
    Gone,
    /// The token may not. Also what a token sees of a guest in a pool while it is being restored, and after it is gone.
    Denied {
        /// `/vms/101`, where the server names one.
        path: Option<String>,
        /// Any one of these would do.
        privileges: Vec<String>,
    },
    /// It is as the call wants it already.
    AlreadySo,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsent {
    Unreachable,
    /// The server is not the pinned one. Never tried again: somebody may stand in between.
    WrongCertificate,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lock {
    /// Held by a running task or call for as long as that works.
    Guest,
    /// Of a storage: other guests are being made on it.
    Storage,
    /// The cluster has no majority: it changes nothing until it has.
    Quorum,
    /// Written in the guest's configuration (`backup`, `create`, ...). Of a task that runs, or left by one that was
    /// killed: then no token can clear it.
    Written(String),
}

/// A call that did not end well. No text in it contains the token; all of it is safe to show.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{method} {path}: {text}{}", listed(parameters))]
pub struct ApiError {
    pub method: Method,
    /// Below `/api2/json`, without parameters.
    pub path: Box<str>,
    pub class: Class,
    /// None: there was no answer.
    pub status: Option<u16>,
    /// The server's words, or what became of the connection.
    pub text: Box<str>,
    /// The server's words about single parameters.
    pub parameters: BTreeMap<String, String>,
}

fn listed(parameters: &BTreeMap<String, String>) -> String {
    parameters.iter().map(|(name, text)| format!(" ({name}: {text})")).collect()
}

impl ApiError {
    /// Stable.
    pub fn code(&self) -> &'static str {
        match &self.class {
            Class::NeverSent(Unsent::Unreachable) => "proxmox-unreachable",
            Class::NeverSent(Unsent::WrongCertificate) => "proxmox-wrong-certificate",
            Class::MaybeApplied => "proxmox-no-answer",
            Class::Rejected { code, .. } => code.as_str(),
            Class::Locked(_) => "proxmox-locked",
            Class::Gone => "proxmox-gone",
            Class::Denied { .. } => "proxmox-denied",
            Class::AlreadySo => "proxmox-already-so",
        }
    }

    /// What an operator can do about it.
    pub fn hint(&self) -> Option<String> {
        match &self.class {
            Class::NeverSent(Unsent::WrongCertificate) => {
                Some("compare with `pvenode cert info` on the node itself before changing the pin".to_owned())
            }
            Class::NeverSent(Unsent::Unreachable) => {
                Some("`firstlight doctor` asks each address, and says what is wrong".to_owned())
            }
            Class::Denied { path: Some(path), privileges } if !privileges.is_empty() => Some(format!(
                "give {} on {path} to the token and to its user: a token has only what both have",
                privileges.join(" or "),
            )),
            Class::Locked(Lock::Written(_)) => self.unlock(),
            Class::Rejected { code, .. } => code.hint().map(str::to_owned),
            _ => None,
        }
    }

    fn unlock(&self) -> Option<String> {
        let mut segments = self.path.split('/').skip_while(|part| !matches!(*part, "lxc" | "qemu"));
        let tool = if segments.next()? == "lxc" { "pct" } else { "qm" };
        let vmid = segments.next()?;
        Some(format!("if no task works on it any more: `{tool} unlock {vmid}` on the node, as root"))
    }
}

impl From<&ApiError> for Fault {
    fn from(error: &ApiError) -> Self {
        let fault = Self::new(error.code(), error.to_string());
        match error.hint() {
            Some(hint) => fault.with_hint(hint),
            None => fault,
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NeverSent(Unsent::Unreachable) => f.write_str("never-sent"),
            Self::NeverSent(Unsent::WrongCertificate) => f.write_str("never-sent wrong-certificate"),
            Self::MaybeApplied => f.write_str("maybe-applied"),
            Self::Rejected { code, kept } => {
                write!(f, "rejected {}{}", code.short(), if *kept { " kept" } else { "" })
            }
            Self::Locked(Lock::Guest) => f.write_str("locked guest"),
            Self::Locked(Lock::Storage) => f.write_str("locked storage"),
            Self::Locked(Lock::Quorum) => f.write_str("locked quorum"),
            Self::Locked(Lock::Written(lock)) => write!(f, "locked written:{lock}"),
            Self::Gone => f.write_str("gone"),
            Self::Denied { path, privileges } => {
                write!(f, "denied {}", path.as_deref().unwrap_or("-"))?;
                if privileges.is_empty() { Ok(()) } else { write!(f, " {}", privileges.join("|")) }
            }
            Self::AlreadySo => f.write_str("already-so"),
        }
    }
}

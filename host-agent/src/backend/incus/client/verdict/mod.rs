//! What an answer means: pure functions of call, status, words and body. The only place that reads Incus' error texts.
//!
//! Incus says what went wrong in the body (`{"type":"error","error":"..","error_code":404}`), and most often in the status
//! too; an answer of status 200 can be an error. What fails after the answer is in the operation, as a text alone. The
//! texts are those of the server's code, 6.0 to 7.

mod classify;
mod code;
mod retry;
mod text;

use std::fmt;

pub(super) use classify::unreadable;
pub use classify::{Answer, Reply, classify};
pub use code::Code;
pub use retry::retry;
pub use text::classify_operation;

use super::call::Method;
pub use crate::backend::link::{Failure, FailureKind, Patience, Retry};
use crate::outcome::Fault;

/// How a call or an operation ended that did not end well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Surely nothing was done.
    NeverSent(Unsent),
    /// Nobody knows whether it was done: read before anything is repeated. For a read it only means: no answer.
    MaybeApplied,
    /// The server says no.
    Rejected(Code),
    /// Nothing was done: another operation is at work on it.
    Busy,
    /// What the call is about is not there.
    Gone,
    /// Our certificate is not trusted (any more), or is not for this project.
    Denied,
    /// It is as the call wants it already.
    AlreadySo,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsent {
    Unreachable,
    /// The server is not the pinned one. Never tried again: somebody may stand in between.
    WrongCertificate,
    /// It is starting, or stopping.
    NotReady,
}

/// A call that did not end well. No text in it contains anything of a request's body; all of it is safe to show.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{method} {path}: {text}")]
pub struct ApiError {
    pub method: Method,
    /// Without the query.
    pub path: Box<str>,
    pub class: Class,
    /// None: there was no answer.
    pub status: Option<u16>,
    /// The server's words, or what became of the connection.
    pub text: Box<str>,
}

impl ApiError {
    /// Stable.
    pub fn code(&self) -> &'static str {
        self.class.code()
    }

    /// What an operator can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        self.class.hint()
    }
}

impl Class {
    /// Stable.
    pub fn code(self) -> &'static str {
        match self {
            Self::NeverSent(Unsent::Unreachable) => "incus-unreachable",
            Self::NeverSent(Unsent::WrongCertificate) => "incus-wrong-certificate",
            Self::NeverSent(Unsent::NotReady) => "incus-not-ready",
            Self::MaybeApplied => "incus-no-answer",
            Self::Rejected(code) => code.as_str(),
            Self::Busy => "incus-busy",
            Self::Gone => "incus-gone",
            Self::Denied => "incus-denied",
            Self::AlreadySo => "incus-already-so",
        }
    }

    /// What an operator can do about it.
    pub fn hint(self) -> Option<&'static str> {
        match self {
            Self::NeverSent(Unsent::Unreachable) => Some(
                "does the server run (`systemctl status incus`), and may the companion's user open its socket?",
            ),
            Self::NeverSent(Unsent::WrongCertificate) => Some(
                "compare with `incus info` on the server itself (`certificate_fingerprint`) before changing the pin",
            ),
            Self::Denied => Some(
                "on the server, `incus config trust list`: our certificate has to be there, and if it is restricted, with \
                 this project",
            ),
            Self::Rejected(code) => code.hint(),
            _ => None,
        }
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
    /// The code without what all have in common: `never-sent` for one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NeverSent(_) => write!(f, "never-sent {}", self.code().trim_start_matches("incus-")),
            Self::MaybeApplied => f.write_str("maybe-applied"),
            Self::Rejected(_) => write!(f, "rejected {}", self.code().trim_start_matches("incus-")),
            _ => f.write_str(self.code().trim_start_matches("incus-")),
        }
    }
}

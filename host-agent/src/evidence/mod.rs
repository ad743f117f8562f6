//! Readiness as evidence: what a running guest says when it is asked anew, what the hypervisor showed then, and how both
//! compare with the bring-up. Signed by the guest and by the companion, so that anybody can check the file later.
//!
//! Everything here is pure. `bringup::evidence` asks guests and keeps what comes of it; `cli::verify` shows it.

mod answer;
mod compare;
mod known;
mod offline;
mod ticket;

use firstlight_shared::wire::{Envelope, HostKey, Signed, Trust};
use serde::{Deserialize, Serialize};

use crate::backend::Observed;

pub use answer::{Challenge, Refusal, opened, proved};
pub use compare::compare;
pub use known::{KnownKeys, KnownKeysError, ONE_KEY};
pub use offline::{Checked, check};
pub use ticket::{issue, issued_at};

/// The version that this code writes and reads. Unknown fields are ignored, unknown versions refused.
pub const STATEMENT_VERSION: u32 = 1;
/// The largest file that is read, in bytes.
pub const FILE_LIMIT: usize = 4 << 20;
/// So far a guest's clock may be off; its answer is proved to be new by the challenge.
pub const SKEW_MS: u64 = 5 * 60 * 1000;
/// By whom the companion's key goes in allowed_signers.
pub const COMPANION: &str = "firstlight-companion";

/// What a companion signs: the text of an evidence file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    pub version: u32,
    pub guest: String,
    /// The bring-up that it is compared with.
    pub job: String,
    pub backend: String,
    pub asked: Asked,
    /// Milliseconds since the Unix epoch, by the companion's clock.
    pub answered_at_ms: u64,
    /// The program that made it, and its version.
    pub companion: String,
    /// The guest's own words, signed with its host key: a [`firstlight_shared::wire::Evidence`].
    pub evidence: Signed,
    /// The report that the guest was found ready by, as it was signed then. None: it was found ready by its beacon alone.
    pub bring_up: Option<BringUp>,
    /// The guest's host keys as they were verified then.
    pub host_keys: Vec<HostKey>,
    /// The guest as the hypervisor showed it when the answer came.
    pub observed: Observed,
    /// What is not as it should be, whatever it was before.
    pub problems: Vec<Finding>,
    pub comparison: Vec<Compared>,
    /// No problem, and every comparison holds.
    pub holds: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// Who asked.
    pub by: String,
    /// Milliseconds since the Unix epoch, by the companion's clock.
    pub at_ms: u64,
    pub nonce: String,
    pub over: Over,
}

/// How the guest was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Over {
    /// The hypervisor ran the guest agent.
    Command,
    /// The guest's own timer fetched the challenge.
    Timer,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BringUp {
    pub received_at_ms: u64,
    pub trust: Trust,
    pub envelope: Envelope,
}

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Finding {
    /// Stable kebab-case code.
    pub code: String,
    pub message: String,
}

/// One thing, then and now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Compared {
    /// `check system-running`, `machine-id`, `ssh-host-keys`, ...
    pub what: String,
    pub outcome: Outcome,
    /// Nothing is wrong with it.
    pub holds: bool,
    pub was: Option<String>,
    pub is: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    Same,
    Better,
    Worse,
    /// Neither better nor worse: another one.
    Differs,
    /// Not there at the bring-up.
    New,
    /// Not there any more.
    Gone,
    /// Differs, and may.
    Noted,
}

impl Outcome {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Better => "better",
            Self::Worse => "worse",
            Self::Differs => "differs",
            Self::New => "new",
            Self::Gone => "gone",
            Self::Noted => "noted",
        }
    }
}

#[cfg(test)]
mod tests;

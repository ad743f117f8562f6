//! The shape of a guest's report page. `firstlight report --json` prints it; the API serves it.
//!
//! Times are milliseconds since the Unix epoch where the name ends in `at_ms`, else durations in milliseconds.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::timeline::Timeline;
use crate::job::Phase;
use crate::outcome::Fault;

/// Of this shape. Fields may be added without a new one.
pub const VERSION: u32 = 1;

/// Everything that is told of one guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GuestReport {
    /// Of this shape: 1.
    pub version: u32,
    /// When this page was made, by the companion's clock.
    pub made_at_ms: u64,
    pub head: Head,
    pub timeline: Timeline,
    /// What became of the golden's identity. None: there is no report.
    pub identity: Option<IdentitySection>,
    pub host_keys: Vec<HostKeyCard>,
    pub check_counts: CheckCounts,
    /// Those that keep the guest from being ready first, then the others that did not pass.
    pub checks: Vec<CheckLine>,
    pub network: Vec<InterfaceLine>,
    pub facts: Vec<Fact>,
    /// Secret files that were delivered: never what is in them.
    pub secrets: Vec<SecretLine>,
    /// Reports that were refused in the name of this job, newest first.
    pub refusals: Vec<RefusalLine>,
    /// What was signed when the guest was verified anew, newest first.
    pub evidence: Vec<EvidenceLine>,
    /// Reports of earlier guests of this name, newest first.
    pub history: Vec<HistoryLine>,
    /// What there is no room for, in words: `3 more checks`.
    pub left_out: Vec<String>,
}

/// The first lines of the page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Head {
    pub guest: String,
    pub job: String,
    pub backend: String,
    /// As the spec names it. None: somebody else made the guest, or the spec cannot be read.
    pub golden: Option<String>,
    pub state: Phase,
    /// The same in words: `ready`, `waiting for the guest's report`.
    pub state_in_words: String,
    /// The step at work, or where it failed.
    pub step: Option<String>,
    /// Somebody else made the guest: it was only waited for.
    pub adopted: bool,
    /// None: nothing has come from the guest.
    pub trust: Option<TrustView>,
    pub created_at_ms: u64,
    pub ended_at_ms: Option<u64>,
    /// From the request until the guest was ready. None: it is not, or was not.
    pub ready_after_ms: Option<u64>,
    /// When the report came, by the companion's clock.
    pub report_at_ms: Option<u64>,
    pub report_age_ms: Option<u64>,
    /// SHA-256 of the report's bytes, in hexadecimal digits.
    pub report_sha256: Option<String>,
    /// What the guest says of itself: `ready`, `degraded` or `failed`.
    pub guest_says: Option<String>,
    /// Name and version of the guest's agent.
    pub agent: Option<String>,
    pub mac: Option<String>,
    pub addresses: Vec<String>,
    /// The command that logs in, where the guest's network is reached by one.
    pub log_in: Option<String>,
    /// Who asked for it.
    pub by: String,
    /// When the guest is destroyed, unless somebody keeps it.
    pub due_at_ms: Option<u64>,
    /// The guest is gone once it stops.
    pub ephemeral: bool,
    /// What could not be shown of the guest that was found ready.
    pub unproven: Vec<String>,
    pub failure: Option<Fault>,
    /// What keeps the job from going on now, and is tried again.
    pub trouble: Option<Fault>,
    /// Commands for the operator, if one is needed.
    pub to_do: Vec<String>,
    /// The guest's last console lines, if it failed.
    pub console: Vec<String>,
}

/// How the report was bound to its guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TrustView {
    /// `attested`, `claimed`, `observed` or `unverified`.
    #[schema(example = "attested")]
    pub level: String,
    /// What this level means, for any guest.
    pub means: String,
    /// What made it so for this guest.
    pub why: String,
    /// Enough for a guest to be ready, and for its host keys to be told as verified.
    pub suffices: bool,
}

/// What the guest's agent decided about the identity that it found, and did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct IdentitySection {
    /// `renew`, `keep`, `restamp`, `restore-first`, `suspect-clone`, `already-provisioned` or `unknown-history`.
    pub decision: String,
    /// The guest's own line on it.
    pub reason: String,
    pub lines: Vec<IdentityLine>,
    /// Not made so far.
    pub pending: Vec<String>,
    /// What is not as it should be.
    pub problems: Vec<String>,
    pub reboot_required: bool,
}

/// One identity, before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct IdentityLine {
    /// `machine-id`, `hostname`, `ssh-host-key`, or an item of docs/identity-items.md.
    pub item: String,
    /// What there was. Empty: the report does not say.
    pub before: String,
    /// What there is. Empty: nothing.
    pub after: String,
    /// What became of it: `renewed`, `kept`, `removed`, ...
    pub how: String,
    pub ok: bool,
}

/// An SSH host key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HostKeyCard {
    /// As OpenSSH writes it: `ssh-ed25519`.
    pub kind: String,
    /// `ED25519`, `ECDSA`, `RSA`.
    pub family: String,
    /// None: the key is of a kind whose size nobody knows here.
    pub bits: Option<u32>,
    /// Of the public key as it is in the report, counted anew.
    pub fingerprint: String,
    /// The fingerprint beside the key in the report is another one, or the key cannot be read.
    pub contradicts: bool,
    pub public_key: String,
    /// As `ssh-keygen -lv` draws it, eleven lines. Empty: there is no key to draw.
    pub randomart: Vec<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CheckCounts {
    pub passed: usize,
    pub failed: usize,
    pub unknown: usize,
    pub skipped: usize,
    /// Required ones that neither passed nor were skipped.
    pub blocking: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CheckLine {
    pub id: String,
    /// `pass`, `fail`, `skip` or `unknown`.
    pub verdict: String,
    /// `required` or `advisory`.
    pub severity: String,
    /// It keeps the guest from being ready.
    pub blocks: bool,
    pub reason: String,
    pub took_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InterfaceLine {
    pub name: String,
    pub mac: Option<String>,
    pub up: bool,
    /// With prefix: `10.77.0.10/24`.
    pub addresses: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Fact {
    pub name: String,
    pub value: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SecretLine {
    pub path: String,
    pub mode: String,
    pub owner: String,
    /// The first digits of its SHA-256.
    pub sha256_prefix: String,
    /// The guest has found it so. None: there is no report.
    pub confirmed: Option<bool>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RefusalLine {
    pub at_ms: u64,
    pub from: String,
    pub code: String,
    pub message: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EvidenceLine {
    pub at_ms: u64,
    /// Everything was as at the bring-up.
    pub holds: bool,
    pub by: String,
    pub sha256: String,
}

/// A report of another job that was for a guest of this name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HistoryLine {
    pub job: String,
    pub received_at_ms: u64,
    pub trust: String,
    /// What the guest said: `ready`, `degraded` or `failed`.
    pub guest_says: String,
    pub sha256: String,
    /// Identities that it shares with the present report: a new guest should share none but its name and addresses.
    pub shares: Vec<String>,
}

//! The readiness report, version 1: what a guest tells of itself. Everything in it is the guest's word.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::check::CheckResult;
use crate::ids::{DerivedMachineId, MacAddress};

/// The version that this code writes and reads. Unknown fields are ignored, unknown versions refused.
pub const REPORT_VERSION: u32 = 1;

/// The guest's summary of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReportState {
    /// Identity verified, every required check passed.
    Ready,
    /// Identity verified, some required check did not pass.
    Degraded,
    /// The identity phase failed: sshd stays down.
    Failed,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    pub version: u32,
    /// 32 random hexadecimal digits: one per report made.
    pub report_id: String,
    pub agent: Agent,
    /// The claim that this report answers, if there was one.
    pub claim_id: Option<String>,
    /// Kernel boot id; in a container it is the host's.
    pub boot_id: Option<String>,
    /// Milliseconds since the Unix epoch, by the guest's clock.
    pub made_at_ms: u64,
    pub state: ReportState,
    pub identity: Identity,
    pub network: Vec<Interface>,
    pub checks: Vec<CheckResult>,
    pub facts: Facts,
    /// Milliseconds per phase, by name: `identity`, `rsa`, `checks`, `boot_to_identity`, `boot_to_report`, ...
    pub timings_ms: BTreeMap<String, u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agent {
    pub name: String,
    pub version: String,
}

/// What the identity decision was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// Everything was made anew.
    Renew,
    /// Nothing but missing and pending items was made.
    Keep,
    /// Evidence of a move, but the intent was restore: kept and stamped anew.
    Restamp,
    /// First run with intent restore: kept what was there, made what was missing, renewed the golden's.
    RestoreFirst,
    /// Only MACs differ and nobody said provision: kept, and said.
    SuspectClone,
    /// The stamp is valid and a provision was asked for again.
    AlreadyProvisioned,
    /// The stamp cannot be read or is of a newer version: kept what is not known to be the golden's.
    UnknownHistory,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub decision: Decision,
    /// One line for people.
    pub reason: String,
    pub machine_id: MachineIdOutcome,
    pub hostname: Hostname,
    /// The keys that are in place now.
    pub ssh_host_keys: Vec<HostKey>,
    /// Fingerprints (`SHA256:...`) of keys that were there before and are gone.
    pub removed_host_keys: Vec<String>,
    /// Key types that are still to be made (RSA is made late).
    pub pending: Vec<String>,
    /// What is not as it should be, one line each; empty when all is well.
    pub problems: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineIdOutcome {
    /// Absent if there is no valid machine-id.
    pub derived: Option<DerivedMachineId>,
    pub state: MachineIdState,
    /// PID 1 and the journal still use the old one until the next boot.
    pub reboot_required: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MachineIdState {
    /// systemd made it in this boot.
    Fresh,
    /// It is this machine's own, from an earlier boot.
    Kept,
    /// It was the golden's or another machine's, and was replaced.
    Renewed,
    /// There is no valid one, and none could be made.
    Invalid,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hostname {
    pub current: String,
    pub expected: Option<String>,
    pub ok: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostKey {
    /// The algorithm as OpenSSH writes it: `ssh-ed25519`, `ecdsa-sha2-nistp256`, `ssh-rsa`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `SHA256:` and 43 characters of base64, as `ssh-keygen -l` prints it.
    pub fingerprint: String,
    /// The public key line without comment.
    pub public_key: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    pub name: String,
    pub mac: Option<MacAddress>,
    pub up: bool,
    pub addresses: Vec<Address>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    pub address: std::net::IpAddr,
    pub prefix: u8,
}

/// Facts for people; nothing is decided on them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    pub os: Option<String>,
    pub kernel: Option<String>,
    pub architecture: String,
    pub virtualization: Option<String>,
    pub cpus: Option<u32>,
    pub memory_bytes: Option<u64>,
}

//! The readiness report, version 1: what a guest tells of itself. Everything in it is the guest's word.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::SecretOutcome;
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
    /// Where the boot's time went, as systemd tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot: Option<BootTiming>,
    /// The secret files that the claim names, as they were found before the first unit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretOutcome>,
    /// Whether this guest sends evidence of itself from time to time (its `firstlight-evidence.timer` is active).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence_timer: Option<bool>,
}

/// The phases of this boot in milliseconds; a phase that this machine does not have (a container has no firmware)
/// is absent. Source: the timestamps of systemd's D-Bus Manager object, as `systemd-analyze time` uses them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootTiming {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firmware_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loader_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initrd_ms: Option<u64>,
    /// From PID 1's start to the end of the boot; absent while the boot goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub userspace_ms: Option<u64>,
    /// Units on the way to readiness, in the order in which they started.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub units: Vec<UnitTiming>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitTiming {
    pub unit: String,
    /// Milliseconds after PID 1's start.
    pub started_ms: u64,
    /// From the start to active; absent while it is starting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<u64>,
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
    /// Key types that are still to be made (RSA is made late), and items that are still to be renewed.
    pub pending: Vec<String>,
    /// What is not as it should be, one line each; empty when all is well.
    pub problems: Vec<String>,
    /// What else of the golden's identity was found, and what became of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<ItemOutcome>,
    /// The age recipient (`age1...`) of the ed25519 host key, as ssh-to-age derives it: for users of sops.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_recipient: Option<String>,
}

/// One item of the identity table ([`crate::items`]) that was found in this guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemOutcome {
    /// The item's name in the table.
    pub item: String,
    pub action: ItemAction,
    /// What was found: a path, never a secret.
    pub detail: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ItemAction {
    /// Renewed, or removed so that its owner makes it anew.
    Renewed,
    /// Found and left: not ours to change at a first boot.
    Found,
    /// Should have been renewed and could not be; the problems say why.
    Failed,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineIdOutcome {
    /// Absent if there is no valid machine-id.
    pub derived: Option<DerivedMachineId>,
    pub state: MachineIdState,
    /// PID 1 and the journal still use the old one until the next boot.
    pub reboot_required: bool,
    /// Who could have known this machine-id in advance, and whether it is the one that they expect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prediction: Option<Prediction>,
}

/// A machine-id that the hypervisor fixed in advance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prediction {
    pub source: PredictionSource,
    /// The machine-id is the predicted one.
    pub holds: bool,
}

/// Strongest word first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PredictionSource {
    /// The claim names the derived machine-id.
    Claim,
    /// PID 1's `container_uuid`.
    ContainerUuid,
    /// The SMBIOS product uuid, of which systemd makes the machine-id of a virtual machine.
    ProductUuid,
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
    /// systemd's own version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub systemd: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_model: Option<String>,
    /// Type, size and free space of the root file system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root_fstype: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_free_bytes: Option<u64>,
}

//! What every hypervisor must offer to a bring-up. Backends know no jobs, no store and no HTTP, and not each other.

pub mod incus;
pub mod link;
pub mod local;
pub mod proxmox;
mod secret;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use firstlight_shared::ids::{GuestName, MacAddress};
use firstlight_shared::wire::{Claim, Intent};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::outcome::{Act, Fault, Followed, Probe, Undo};

pub use secret::{FileMode, Owner, SecretPlan, SecretSource, account_number, secrets_problem};

/// One guest as it is wanted; everything here is decided (and journaled) before anything is done. What a backend does not
/// have, it refuses in `preflight`, with the field's name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct GuestPlan {
    #[schema(value_type = String, example = "web-01")]
    pub name: GuestName,
    /// As the backend names it: the absolute path of an archive (local), a volume such as
    /// `local:backup/vzdump-lxc-9100-2026_11_21-11_14_04.tar.zst` (proxmox).
    pub golden: String,
    #[schema(value_type = String, example = "provision")]
    #[serde(default)]
    pub intent: Intent,
    /// None: the backend's only or usual kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// Where it is made; what is not said is the backend's own choice.
    #[serde(default)]
    pub place: Place,
    #[serde(default)]
    pub nics: Vec<Nic>,
    #[serde(default)]
    pub mounts: Vec<Mount>,
    /// Sizes the operator asked for.
    #[serde(default)]
    pub size: Size,
    /// Beside the backend's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Whether it starts with its node; None: it does not, whatever the golden says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub onboot: Option<bool>,
    /// A throwaway guest: it is gone once it stops.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ephemeral: bool,
    /// Files that are brought into it before its first unit needs them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretPlan>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Lxc,
    Vm,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lxc => "lxc",
            Self::Vm => "vm",
        }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Place {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Of the root disk, and of mounts that name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// A number that the operator chose; None: the next free one of the backend's range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vmid: Option<u32>,
    /// One of the configured servers of the backend (incus); None: its usual one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<String>,
    /// Incus' project; None: the remote's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
}

/// One interface. Without any, the guest has the golden's, each with a MAC of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Nic {
    /// None: the backend's usual one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bridge: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlan: Option<u16>,
    /// `dhcp`, or an IPv4 address with its prefix length; None: as the golden or the backend has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub gateway: Option<IpAddr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firewall: Option<bool>,
}

impl Nic {
    /// Whether a gateway is given that no host of the address's network can be. An address of its own (/32) has none in
    /// its network: there a route to the gateway is made.
    pub fn gateway_is_beyond(&self) -> bool {
        let (Some(IpAddr::V4(gateway)), Some(address)) = (self.gateway, self.address.as_deref()) else {
            return false;
        };
        let Some((address, length)) = address.split_once('/') else { return false };
        let (Ok(address), Ok(length @ 1..=31)) = (address.parse::<Ipv4Addr>(), length.parse::<u32>()) else {
            return false;
        };
        let host_bits = u32::MAX >> length;
        let (network, host) =
            ((address.to_bits() ^ gateway.to_bits()) & !host_bits, gateway.to_bits() & host_bits);
        network != 0 || (length < 31 && (host == 0 || host == host_bits))
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Size {
    pub cores: Option<u32>,
    pub memory_bytes: Option<u64>,
    pub disk_bytes: Option<u64>,
}

/// A data volume of the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Mount {
    /// Absolute path in the guest.
    #[schema(value_type = String)]
    pub path: PathBuf,
    pub size_bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<String>,
    /// Whether the hypervisor's backups of the guest hold it. None: they do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<bool>,
}

/// What was chosen for a guest. Journaled before use, so that a repeated request is the same request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allocation {
    /// Of the first interface.
    pub mac: MacAddress,
    /// Of the others, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub more_macs: Vec<MacAddress>,
    pub addresses: Vec<IpAddr>,
    /// None: the backend finds its guests by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<Slot>,
}

/// What a guest is to the hypervisor, where we choose that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// Unique among the hypervisor's guests: a VMID.
    pub id: String,
    pub node: String,
    /// Becomes the machine-id of a guest that has none (DMI product UUID, `container_uuid`): 32 hexadecimal digits with
    /// dashes. None: it cannot be fixed in advance, or shall not (intent restore).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// By the node's clock, seconds since 1970: tasks of this guest are not older.
    pub since_s: u64,
}

/// What known guests hold, and what was found to be somebody else's.
#[derive(Debug, Clone, Default)]
pub struct Taken {
    pub macs: Vec<MacAddress>,
    pub addresses: Vec<IpAddr>,
    pub ids: Vec<String>,
}

/// A guest with all that was chosen for it: what the steps work on.
#[derive(Debug, Clone)]
pub struct Placement {
    /// The job that makes it: every object is stamped with it.
    pub job: String,
    pub plan: GuestPlan,
    pub allocation: Allocation,
    pub claim: Claim,
    /// Its first stage has ended well: a guest of ours was there.
    pub made: bool,
    /// Somebody else made it: nothing of it is ours, and it carries no stamp of this job.
    pub adopted: bool,
    /// The last remote task that the journal knows of each step, however it ended.
    pub tasks: BTreeMap<String, String>,
    /// More may have been asked for to make it than the journal tells: another process was at work, or an answer was lost.
    pub unsure: bool,
}

/// How a claim comes to a guest of this backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimChannel {
    /// Nobody but the guest reads it: the claim carries its secret.
    Secret,
    /// Others may read it: the claim carries no secret, and what binds a report is the beacon.
    Open,
}

/// What a hypervisor lists of a running guest, without trusting it or any network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Look {
    pub running: bool,
    /// All of them, `lo`'s included: among them the beacon's (see [`firstlight_shared::beacon`]).
    pub addresses: Vec<IpAddr>,
}

/// How often guests may be looked at: a look costs the hypervisor something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LookBudget {
    /// Looks per second on one node, whatever the number of guests.
    pub per_second: u32,
    /// No guest of this backend has a beacon earlier after its start.
    pub not_before: Duration,
}

/// A secret on its way into one guest. Never journaled, logged or kept; no `Debug` output holds the content.
pub struct SecretFile {
    /// Absolute path in the guest.
    pub path: PathBuf,
    pub mode: FileMode,
    pub owner: Owner,
    pub content: Zeroizing<Vec<u8>>,
}

impl std::fmt::Debug for SecretFile {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("SecretFile").field("path", &self.path).finish_non_exhaustive()
    }
}

/// What a command in a guest came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// None: a signal ended it.
    pub status: Option<i32>,
    /// Bounded by the backend.
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

/// Memory of what runs where a guest would, ours or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryInUse {
    /// The project or host that is counted, in words for people.
    pub of: String,
    /// What running guests may take at most; those without a limit count with what they have now.
    pub bytes: u64,
    /// All that the host has.
    pub total_bytes: u64,
}

/// Something that keeps work from going on, and is tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Trouble {
    pub fault: Fault,
    /// Milliseconds since the Unix epoch.
    pub since_ms: u64,
    /// None: in some seconds.
    #[serde(default)]
    pub next_try_ms: Option<u64>,
}

/// A state of a guest that it can be set back to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Snapshot {
    pub name: String,
    /// Milliseconds since the Unix epoch, by the hypervisor's clock.
    #[serde(default)]
    pub taken_at_ms: Option<u64>,
}

/// What a hypervisor tells without being asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// The guest of that name says that it is ready: a reason to look, and nothing more.
    Ready(String),
    /// Anything may have been missed.
    Anything,
}

/// [`Act::Refused`] with this code: the id of the slot is somebody else's, nothing was made. Another one is chosen, and it
/// is tried again.
pub const ID_TAKEN: &str = "id-taken";

/// Whether what [`Backend::preflight`] refuses with this code is for what the plan says: another spec or golden mends it.
/// All other refusals want something of the machine, the hypervisor or the token.
pub fn blames_plan(code: &str) -> bool {
    let of_kind = ["golden-", "unsupported-", "secret-"].iter().any(|kind| code.starts_with(kind));
    of_kind
        || matches!(
            code,
            "bad-golden"
                | "bad-secret"
                | "incus-exists"
                | "incus-limit-reached"
                | "incus-no-image"
                | "incus-no-network"
                | "incus-no-pool"
                | "incus-no-profile"
                | "incus-no-project"
                | "incus-restricted"
                | "name-taken"
                | "no-golden"
                | "no-safe-channel"
                | "no-such-remote"
                | "foreign"
                | "no-bridge"
                | "no-node"
                | "no-pool"
                | "no-storage"
                | "no-such-backend"
                | "no-such-node"
                | "not-an-archive"
                | "privileged-golden"
                | "proxmox-no-volume"
                | "root-lines"
                | "vmid-taken"
        )
}

/// Whether a fault with this code only says that the hypervisor did not answer.
pub fn is_silence(code: &str) -> bool {
    matches!(code, "proxmox-unreachable" | "proxmox-no-answer" | "incus-unreachable")
}

/// The steps of a bring-up that a backend carries out, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Restore,
    Mac,
    Hostname,
    Size,
    Mounts,
    Start,
}

/// Where guests of this backend send their reports.
#[derive(Debug)]
pub struct ReportEndpoint {
    /// `https://ADDRESS:PORT`
    pub url: String,
    /// A socket that only the backend could open (in a network namespace of its own, for one): serve reports on it.
    /// Given once; later calls give none. Several companions may each have one for the same address.
    pub listener: Option<TcpListener>,
}

/// The guest as the hypervisor sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    pub running: bool,
    pub mac: Option<MacAddress>,
    pub addresses: Vec<IpAddr>,
    /// Paths in the guest where a volume of ours is mounted.
    pub mounts: Vec<PathBuf>,
    /// It has no interface, as it is wanted: no MAC is asked for.
    #[serde(default)]
    pub no_network: bool,
    /// Whoever would tell what the guest has mounted tells nothing: `mounts` says nothing then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mounts_unseen: Option<Unseen>,
}

/// Why something of a guest cannot be seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unseen {
    pub why: String,
    /// It may be seen in a moment.
    pub passes: bool,
}

/// One guest (or a part of one) with our stamp, as a survey found it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Surveyed {
    /// The job of the stamp. None: a part that carries this instance's mark and the guest's name, and no stamp (any more).
    pub job: Option<String>,
    pub guest: String,
    /// What it is to the hypervisor (a VMID). None: the backend finds its guests by name. A copy of a guest carries the same
    /// stamp, and has another id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The guest's own processes (or its machine) are at work.
    pub running: bool,
}

impl Surveyed {
    /// Whether it is the job's guest itself: by the stamp, and by the id where both are known.
    pub fn is_of(&self, job: &str, id: Option<&str>) -> bool {
        self.job.as_deref() == Some(job)
            && self.id.as_deref().zip(id).is_none_or(|(found, chosen)| found == chosen)
    }
}

/// A guest that somebody else made, as the hypervisor has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adopted {
    pub name: GuestName,
    pub kind: Option<Kind>,
    pub allocation: Allocation,
}

#[async_trait]
pub trait Backend: Send + Sync + std::fmt::Debug {
    /// As written in specs.
    fn name(&self) -> &'static str;

    /// The same backend for questions that a person waits for: it gives up sooner where nobody answers. None: it is as
    /// quick as that.
    fn hasty(&self) -> Option<Arc<dyn Backend>> {
        None
    }

    /// What keeps the hypervisor from answering, for a while now. None: it answered last, or was not asked.
    fn trouble(&self) -> Option<Trouble> {
        None
    }

    /// Refuses, before anything is done, what cannot work: missing tools or rights, a golden that is not there, a
    /// size that the backend cannot give.
    async fn preflight(&self, plan: &GuestPlan) -> Result<(), Fault>;

    /// Whose the name is already, in words for people; none: it is free. Looks only.
    async fn namesake(&self, name: &GuestName) -> Result<Option<String>, Fault>;

    /// What changes when the golden's content does, in words for people (its size and time of change, for one: reading
    /// the whole of it would cost as much as a restore). Looks only.
    async fn golden_mark(&self, plan: &GuestPlan) -> Result<String, Fault>;

    /// Makes ready what all guests share. Idempotent.
    async fn prepare(&self) -> Result<ReportEndpoint, Fault>;

    /// Removes what all guests share, if no guest is left. Idempotent.
    async fn release(&self) -> Result<(), Fault>;

    /// Chooses MACs, addresses and (where the backend has them) a slot, apart from those taken. Touches nothing. Asked again
    /// when an id turned out to be taken: only the slot counts then.
    async fn allocate(&self, plan: &GuestPlan, taken: &Taken) -> Result<Allocation, Fault>;

    async fn probe(&self, stage: Stage, guest: &Placement) -> Result<Probe, Fault>;

    async fn act(&self, stage: Stage, guest: &Placement) -> Act;

    /// Waits for the end of a task that `act` or `probe` named. Never repeats the request.
    async fn follow(&self, stage: Stage, _guest: &Placement, task: &str) -> Followed {
        Followed::Unknown(Fault::new(
            "no-tasks",
            format!("{stage:?} of `{}` has no task `{task}`", self.name()),
        ))
    }

    /// Ensures that what this stage makes is absent; touches only what carries the job's stamp. Repeatable.
    async fn undo(&self, stage: Stage, guest: &Placement) -> Undo;

    /// Waits for the end of a task that `undo` named.
    async fn follow_undo(&self, _stage: Stage, _guest: &Placement, _task: &str) {}

    /// Everything that carries a stamp of ours, in one look at the hypervisor, however many guests there are.
    async fn survey(&self) -> Result<Vec<Surveyed>, Fault>;

    /// Between two surveys: as seldom as they cost the hypervisor something.
    fn survey_every(&self) -> Duration {
        Duration::from_secs(2)
    }

    /// What a bring-up works on, as `kind:name`: `node:pve1`, `storage:local-lvm`. See `job::Limits`.
    fn resources(&self, plan: &GuestPlan) -> Vec<String>;

    async fn observe(&self, guest: &Placement) -> Result<Observed, Fault>;

    /// How its guests get their claims.
    fn claim_channel(&self) -> ClaimChannel {
        ClaimChannel::Secret
    }

    /// How often [`Backend::look`] may be asked. None: it never is, this backend shows no beacons.
    fn look_budget(&self) -> Option<LookBudget> {
        None
    }

    /// Where looks at this guest count: its node.
    fn look_at(&self, guest: &Placement) -> String {
        guest.allocation.slot.as_ref().map(|slot| slot.node.clone()).unwrap_or_default()
    }

    /// The guest's addresses as the hypervisor lists them, now.
    async fn look(&self, _guest: &Placement) -> Result<Look, Fault> {
        Err(Fault::new("no-looks", format!("`{}` lists no addresses of guests", self.name())))
    }

    /// A guest that is there already, made by somebody else: by its name or its id. For `wait`. Looks only.
    async fn adopt(&self, name_or_id: &str) -> Result<Adopted, Fault> {
        Err(Fault::new(
            "no-adoption",
            format!("`{}` cannot wait for `{name_or_id}`: it knows its own guests only", self.name()),
        ))
    }

    /// Whether reports are read through the hypervisor while one waits for them: a guest may have no network to send one.
    fn pulls_reports(&self) -> bool {
        false
    }

    /// Reads the guest's report file through the hypervisor, if there is one and the backend can.
    async fn read_report(&self, guest: &Placement) -> Result<Option<Vec<u8>>, Fault>;

    /// The last lines of the guest's console, raw: escape them before showing.
    async fn console_tail(&self, guest: &Placement, lines: usize) -> Vec<String>;

    /// Takes the claim out of the channel that carried it. Repeatable.
    async fn remove_claim(&self, guest: &Placement) -> Result<(), Fault>;

    /// Brings secrets into a guest that is made and does not run yet. Repeatable; undone with the guest.
    async fn deliver(&self, _guest: &Placement, _secrets: &[SecretFile]) -> Act {
        Act::Refused(Fault::new(
            "no-secrets",
            format!("`{}` has no way for secrets into its guests", self.name()),
        ))
    }

    /// Runs a command in the running guest, as root, without a shell.
    async fn run(&self, _guest: &Placement, _command: &[&str], _limit: Duration) -> Result<Ran, Fault> {
        Err(Fault::new("no-commands", format!("`{}` can run nothing in its guests", self.name())))
    }

    /// Memory in use where this guest would be. None: not known by this backend.
    async fn memory_in_use(&self, _plan: &GuestPlan) -> Result<Option<MemoryInUse>, Fault> {
        Ok(None)
    }

    /// Changes the memory of a guest: stopped, changed, started. Repeatable.
    async fn set_memory(&self, _guest: &Placement, _bytes: u64) -> Act {
        Act::Refused(Fault::new(
            "no-memory-change",
            format!("`{}` cannot change the memory of a guest", self.name()),
        ))
    }

    /// What the guest may take at most, in bytes, as it is configured. None: it has no limit.
    async fn memory(&self, _guest: &Placement) -> Result<Option<u64>, Fault> {
        Err(Fault::new("no-memory-change", format!("`{}` cannot change the memory of a guest", self.name())))
    }

    /// Waits for the end of a task that a change of a guest that is there named (memory, snapshots).
    async fn follow_change(&self, _guest: &Placement, task: &str) -> Followed {
        Followed::Unknown(Fault::new("no-tasks", format!("`{}` has no task `{task}`", self.name())))
    }

    /// The guest's snapshots, oldest first.
    async fn snapshots(&self, _guest: &Placement) -> Result<Vec<Snapshot>, Fault> {
        Err(Fault::new("no-snapshots", format!("`{}` takes no snapshots", self.name())))
    }

    /// Makes an ephemeral guest a kept one. Repeatable.
    async fn keep(&self, _guest: &Placement) -> Act {
        Act::Refused(Fault::new("no-ephemeral", format!("`{}` has no ephemeral guests", self.name())))
    }

    /// Takes a snapshot of that name; one that is there already is left as it is. Repeatable.
    async fn snapshot(&self, _guest: &Placement, _snapshot: &str) -> Act {
        Act::Refused(Fault::new("no-snapshots", format!("`{}` takes no snapshots", self.name())))
    }

    /// Sets the guest back to a snapshot. Repeatable.
    async fn restore_snapshot(&self, _guest: &Placement, _snapshot: &str) -> Act {
        Act::Refused(Fault::new("no-snapshots", format!("`{}` takes no snapshots", self.name())))
    }

    async fn remove_snapshot(&self, _guest: &Placement, _snapshot: &str) -> Act {
        Act::Refused(Fault::new("no-snapshots", format!("`{}` takes no snapshots", self.name())))
    }

    /// The next thing that the hypervisor tells unasked. Pending for ever where it tells nothing.
    async fn told(&self) -> Told {
        std::future::pending().await
    }

    /// Commands for people: how to look at what may be left of this guest, and how to remove it by hand.
    fn manual_cleanup(&self, guest: &Placement) -> Vec<String>;

    /// A command that reaches the guest's network from the companion's machine, to be put before `ssh`.
    fn reach(&self, guest: &Placement) -> Option<String>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_is_a_host_of_the_addresss_network() {
        for (address, gateway, beyond) in [
            ("10.0.0.5/24", "10.0.0.1", false),
            ("10.0.0.5/24", "10.0.1.1", true),
            ("10.0.0.5/16", "10.0.1.1", false),
            ("10.0.0.5/24", "10.0.0.255", true),
            ("10.0.0.5/24", "10.0.0.0", true),
            ("10.0.0.4/31", "10.0.0.5", false),
            ("10.0.0.4/31", "10.0.0.6", true),
            ("10.0.0.5/32", "172.31.1.1", false),
            ("10.0.0.5/24", "fe80::1", false),
            ("dhcp", "10.0.0.1", false),
            ("10.0.0.5/99", "10.0.0.1", false),
        ] {
            let nic = Nic { address: Some(address.into()), gateway: gateway.parse().ok(), ..Nic::default() };
            assert_eq!(nic.gateway_is_beyond(), beyond, "{address} {gateway}");
        }
        assert!(!Nic::default().gateway_is_beyond());
    }
}

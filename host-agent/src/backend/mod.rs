//! What every hypervisor must offer to a bring-up. Backends know no jobs, no store and no HTTP, and not each other.

pub mod local;
pub mod proxmox;

use std::net::{IpAddr, TcpListener};
use std::path::PathBuf;

use async_trait::async_trait;
use firstlight_shared::ids::{GuestName, MacAddress};
use firstlight_shared::wire::Claim;
use serde::{Deserialize, Serialize};

use crate::outcome::{Act, Fault, Followed, Probe, Undo};

/// One guest as it is wanted; everything here is decided (and journaled) before anything is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct GuestPlan {
    #[schema(value_type = String, example = "web-01")]
    pub name: GuestName,
    /// Absolute path of the golden archive.
    #[schema(value_type = String)]
    pub golden: PathBuf,
    #[serde(default)]
    pub mounts: Vec<Mount>,
    /// Sizes the operator asked for; a backend that cannot honour one refuses it in `preflight`.
    #[serde(default)]
    pub size: Size,
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
}

/// What was chosen for a guest. Journaled before use, so that a repeated request is the same request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allocation {
    pub mac: MacAddress,
    pub addresses: Vec<IpAddr>,
}

/// MACs and addresses that known guests hold.
#[derive(Debug, Clone, Default)]
pub struct Taken {
    pub macs: Vec<MacAddress>,
    pub addresses: Vec<IpAddr>,
}

/// A guest with all that was chosen for it: what the steps work on.
#[derive(Debug, Clone)]
pub struct Placement {
    /// The job that makes it: every object is stamped with it.
    pub job: String,
    pub plan: GuestPlan,
    pub allocation: Allocation,
    pub claim: Claim,
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
}

/// One guest (or a part of one) with our stamp, as a survey found it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Surveyed {
    /// The job of the stamp. None: a part that carries this instance's mark and the guest's name, and no stamp (any more).
    pub job: Option<String>,
    pub guest: String,
    /// The guest's own processes (or its machine) are at work.
    pub running: bool,
}

#[async_trait]
pub trait Backend: Send + Sync + std::fmt::Debug {
    /// As written in specs.
    fn name(&self) -> &'static str;

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

    /// Chooses MAC and addresses apart from those taken. Touches nothing.
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

    /// What a bring-up works on, as `kind:name`: `node:pve1`, `storage:local-lvm`. See `job::Limits`.
    fn resources(&self, plan: &GuestPlan) -> Vec<String>;

    async fn observe(&self, guest: &Placement) -> Result<Observed, Fault>;

    /// Reads the guest's report file through the hypervisor, if there is one and the backend can.
    async fn read_report(&self, guest: &Placement) -> Result<Option<Vec<u8>>, Fault>;

    /// The last lines of the guest's console, raw: escape them before showing.
    async fn console_tail(&self, guest: &Placement, lines: usize) -> Vec<String>;

    /// Takes the claim out of the channel that carried it. Repeatable.
    async fn remove_claim(&self, guest: &Placement) -> Result<(), Fault>;

    /// Commands for people: how to look at what may be left of this guest, and how to remove it by hand.
    fn manual_cleanup(&self, guest: &Placement) -> Vec<String>;

    /// A command that reaches the guest's network from the companion's machine, to be put before `ssh`.
    fn reach(&self, guest: &Placement) -> Option<String>;
}

//! What every hypervisor must offer to a bring-up. Backends know no jobs, no store and no HTTP, and not each other.

mod chosen;
pub mod findings;
pub mod incus;
pub mod link;
pub mod local;
mod placement;
mod plan;
pub mod proxmox;
mod refusal;
mod secret;
mod seen;
#[cfg(test)]
mod testing;

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use firstlight_shared::ids::GuestName;

use crate::outcome::{Act, Fault, Followed, Probe, Undo};

pub use placement::{Allocation, Placement, Slot, Taken};
pub use plan::{GuestPlan, Kind, Mount, Nic, Place, Size};
use refusal::after_task;
pub use refusal::{ID_TAKEN, blames_plan, is_silence};
pub use secret::{FileMode, Owner, SecretFile, SecretPlan, SecretSource, account_number, secrets_problem};
pub use seen::{
    Adopted, Look, LookBudget, MemoryInUse, Observed, Ran, RunningGuest, Snapshot, Surveyed, Told, Trouble,
    Unseen, leads_somewhere,
};

/// How a claim comes to a guest of this backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimChannel {
    /// Nobody but the guest reads it: the claim carries its secret.
    Secret,
    /// Others may read it: the claim carries no secret, and what binds a report is the beacon.
    Open,
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

    /// Has every call to the hypervisor told. Where there are none, nothing is.
    fn watch_calls(&self, _watch: Arc<dyn link::CallWatch>) {}

    /// Refuses, before anything is done, what cannot work: missing tools or rights, a golden that is not there, a
    /// size that the backend cannot give.
    async fn preflight(&self, plan: &GuestPlan) -> Result<(), Fault>;

    /// Whose the name is already where the guest would be, in words for people; none: it is free. Looks only.
    async fn namesake(&self, name: &GuestName, place: &Place) -> Result<Option<String>, Fault>;

    /// What changes when the golden's content does, in words for people (its size and time of change, for one: reading
    /// the whole of it would cost as much as a restore). Looks only.
    async fn golden_mark(&self, plan: &GuestPlan) -> Result<String, Fault>;

    /// Makes ready what all guests share. Idempotent.
    async fn prepare(&self) -> Result<ReportEndpoint, Fault>;

    /// Where a guest of this place reports to. `usual`: what [`Backend::prepare`] said, for all places that are not reached
    /// another way.
    async fn report_url(&self, _place: &Place, usual: String) -> Result<String, Fault> {
        Ok(usual)
    }

    /// Removes what all guests share, if no guest is left; false: one is, and all of it stays. Idempotent.
    async fn release(&self) -> Result<bool, Fault>;

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
    fn pulls_reports(&self, _plan: &GuestPlan) -> bool {
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

    /// What a guest's memory counts for. `node`: the one that was chosen; None: it is not yet.
    async fn memory_at(&self, plan: &GuestPlan, _node: Option<&str>) -> Result<Vec<String>, Fault> {
        Ok(self.resources(plan))
    }

    /// The resource that this one is a part of: of all nodes, for one. What counts for a part counts for the whole.
    fn whole_of(&self, _resource: &str) -> Option<String> {
        None
    }

    /// Memory in use where this guest would be. None: this backend holds guests to no memory.
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

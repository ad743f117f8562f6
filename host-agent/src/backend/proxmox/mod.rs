//! Proxmox VE: containers and virtual machines, driven by an API token.
//!
//! One restore call carries everything that it can; then each stage is verified from the configuration, and does what the
//! call did not do. Nothing is remembered between calls: a guest is found by its VMID, and is ours if its description
//! carries the job's stamp, or if a task that is surely the job's made it. What a server answers is classed by [`client`];
//! what follows from that is decided here.

pub mod client;
pub mod doctor;

mod adopt;
mod allocate;
mod archive;
mod changes;
mod cleanup;
mod cluster;
mod fault;
mod look;
mod lxc;
mod observe;
mod posts;
mod preflight;
mod qemu;
mod settings;
mod stamp;
mod standing;
mod survey;
mod tasks;
mod undo;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use firstlight_shared::ids::GuestName;

pub use settings::{Defaults, ProxmoxConfig};

use self::client::endpoint::guest::Kind;
use self::client::{Client, SettingsError};
use self::cluster::Cluster;
use crate::backend::link::CallWatch;
use crate::backend::link::Reports;
use crate::backend::{
    Adopted, Allocation, Backend, ClaimChannel, GuestPlan, Look, LookBudget, Observed, Place, Placement,
    ReportEndpoint, SecretFile, Stage, Surveyed, Taken, Trouble,
};
use crate::backend::{MemoryInUse, Snapshot};
use crate::outcome::{Act, Fault, Followed, Probe, Undo};

/// See the module.
#[derive(Debug, Clone)]
pub struct Proxmox {
    client: Client,
    defaults: Defaults,
    reports: Reports,
    cluster: Arc<Cluster>,
    posts: Arc<posts::Posts>,
    recent: Arc<standing::Recent<standing::Ours>>,
    /// Addresses of containers, as a look listed them.
    looked: Arc<standing::Recent<Vec<std::net::IpAddr>>>,
}

impl Proxmox {
    /// Connects to nothing yet.
    ///
    /// # Errors
    /// No address, or a pin that is no certificate.
    pub fn new(config: ProxmoxConfig) -> Result<Self, SettingsError> {
        Ok(Self {
            client: Client::new(config.client)?,
            defaults: config.defaults,
            reports: config.reports,
            cluster: Arc::default(),
            recent: Arc::default(),
            posts: Arc::default(),
            looked: Arc::default(),
        })
    }
}

/// Of this plan: containers unless it says otherwise.
fn kind(plan: &GuestPlan) -> Kind {
    match plan.kind {
        Some(crate::backend::Kind::Vm) => Kind::Qemu,
        Some(crate::backend::Kind::Lxc) | None => Kind::Lxc,
    }
}

#[async_trait]
impl Backend for Proxmox {
    fn name(&self) -> &'static str {
        "proxmox"
    }

    fn hasty(&self) -> Option<Arc<dyn Backend>> {
        Some(Arc::new(Self { client: self.client.hasty(), ..self.clone() }))
    }

    fn trouble(&self) -> Option<Trouble> {
        self.client.trouble()
    }

    fn watch_calls(&self, watch: Arc<dyn CallWatch>) {
        self.client.watch_calls(watch);
    }

    async fn preflight(&self, plan: &GuestPlan) -> Result<(), Fault> {
        self.check_plan(plan).await
    }

    async fn namesake(&self, name: &GuestName, _: &Place) -> Result<Option<String>, Fault> {
        self.guest_called(name).await
    }

    async fn golden_mark(&self, plan: &GuestPlan) -> Result<String, Fault> {
        self.mark_of_archive(plan).await
    }

    async fn prepare(&self) -> Result<ReportEndpoint, Fault> {
        Ok(ReportEndpoint { url: self.report_url().await?, listener: None })
    }

    async fn release(&self) -> Result<bool, Fault> {
        Ok(true)
    }

    async fn allocate(&self, plan: &GuestPlan, taken: &Taken) -> Result<Allocation, Fault> {
        self.choose(plan, taken).await
    }

    async fn probe(&self, stage: Stage, guest: &Placement) -> Result<Probe, Fault> {
        match kind(&guest.plan) {
            Kind::Lxc => self.probe_lxc(stage, guest).await,
            Kind::Qemu => self.probe_qemu(stage, guest).await,
        }
    }

    async fn act(&self, stage: Stage, guest: &Placement) -> Act {
        match kind(&guest.plan) {
            Kind::Lxc => self.act_lxc(stage, guest).await,
            Kind::Qemu => self.act_qemu(stage, guest).await,
        }
    }

    async fn follow(&self, stage: Stage, guest: &Placement, task: &str) -> Followed {
        self.follow_task(stage, guest, task).await
    }

    async fn undo(&self, stage: Stage, guest: &Placement) -> Undo {
        self.undo_stage(stage, guest).await
    }

    async fn follow_undo(&self, _stage: Stage, _guest: &Placement, task: &str) {
        self.wait_for_task(task).await;
    }

    async fn survey(&self) -> Result<Vec<Surveyed>, Fault> {
        self.survey_guests().await
    }

    fn survey_every(&self) -> Duration {
        // Two lists of each node. That a guest stopped is seen sooner, by the looks for its beacon.
        Duration::from_secs(10)
    }

    fn resources(&self, plan: &GuestPlan) -> Vec<String> {
        self.resources_of(plan)
    }

    async fn observe(&self, guest: &Placement) -> Result<Observed, Fault> {
        self.observe_guest(guest).await
    }

    fn claim_channel(&self) -> ClaimChannel {
        // A container's `env` and a machine's SMBIOS strings are readable on the node, in snapshots and in backups.
        ClaimChannel::Open
    }

    fn look_budget(&self) -> Option<LookBudget> {
        Some(look::BUDGET)
    }

    async fn look(&self, guest: &Placement) -> Result<Look, Fault> {
        self.look_at_guest(guest).await
    }

    async fn adopt(&self, name_or_id: &str) -> Result<Adopted, Fault> {
        self.adopt_guest(name_or_id).await
    }

    fn pulls_reports(&self, plan: &GuestPlan) -> bool {
        kind(plan) == Kind::Qemu
    }

    async fn read_report(&self, guest: &Placement) -> Result<Option<Vec<u8>>, Fault> {
        match kind(&guest.plan) {
            // Nothing reads a container's files through the API: its beacon tells which report is its own.
            Kind::Lxc => Ok(None),
            Kind::Qemu => self.read_report_of_machine(guest).await,
        }
    }

    async fn console_tail(&self, guest: &Placement, lines: usize) -> Vec<String> {
        self.last_words(guest, lines).await
    }

    async fn remove_claim(&self, guest: &Placement) -> Result<(), Fault> {
        match kind(&guest.plan) {
            Kind::Lxc => self.remove_claim_of_container(guest).await,
            Kind::Qemu => self.remove_claim_of_machine(guest).await,
        }
    }

    async fn deliver(&self, guest: &Placement, secrets: &[SecretFile]) -> Act {
        match kind(&guest.plan) {
            Kind::Lxc => self.deliver_to_container(guest, secrets).await,
            Kind::Qemu => {
                Act::Refused(Fault::new("no-secrets", "machines of Proxmox have no way for secrets"))
            }
        }
    }

    async fn memory_at(&self, plan: &GuestPlan, node: Option<&str>) -> Result<Vec<String>, Fault> {
        self.memory_counts_at(plan, node).await
    }

    fn whole_of(&self, resource: &str) -> Option<String> {
        resource.starts_with("node:").then(|| allocate::ALL_NODES.to_owned())
    }

    async fn memory_in_use(&self, plan: &GuestPlan) -> Result<Option<MemoryInUse>, Fault> {
        self.memory_of_node(plan).await
    }

    async fn memory(&self, guest: &Placement) -> Result<Option<u64>, Fault> {
        self.configured_memory(guest).await.map(Some)
    }

    async fn set_memory(&self, guest: &Placement, bytes: u64) -> Act {
        self.change_memory(guest, bytes).await.unwrap_or_else(|ended| ended)
    }

    async fn keep(&self, _: &Placement) -> Act {
        // A guest that stops stays there: that an ephemeral one goes then is our doing.
        Act::Applied(serde_json::json!({}))
    }

    async fn follow_change(&self, _: &Placement, task: &str) -> Followed {
        self.follow_change_task(task).await
    }

    async fn snapshots(&self, guest: &Placement) -> Result<Vec<Snapshot>, Fault> {
        self.list_snapshots(guest).await
    }

    async fn snapshot(&self, guest: &Placement, snapshot: &str) -> Act {
        self.take_snapshot(guest, snapshot).await.unwrap_or_else(|ended| ended)
    }

    async fn restore_snapshot(&self, guest: &Placement, snapshot: &str) -> Act {
        self.roll_back(guest, snapshot).await.unwrap_or_else(|ended| ended)
    }

    async fn remove_snapshot(&self, guest: &Placement, snapshot: &str) -> Act {
        self.delete_snapshot(guest, snapshot).await.unwrap_or_else(|ended| ended)
    }

    fn manual_cleanup(&self, guest: &Placement) -> Vec<String> {
        self.cleanup_commands(guest)
    }

    fn reach(&self, _guest: &Placement) -> Option<String> {
        None
    }
}

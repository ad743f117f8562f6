//! Incus: containers and virtual machines, over its unix socket or HTTPS.
//!
//! One call carries everything that an instance shall be; then each stage is verified from the instance, and does what the
//! call did not do. Nothing is remembered between calls: an instance is found by its name, and is ours if its
//! configuration carries the job's stamp. What a server answers is classed by [`client`]; what follows from that is
//! decided here.

pub mod client;

mod adopt;
mod allocate;
mod check;
mod cleanup;
pub mod doctor;
mod export;
mod fault;
mod golden;
mod look;
mod make;
mod memory;
mod operate;
mod preflight;
mod read;
mod rename;
mod reports;
mod secret;
mod settings;
mod site;
mod stamp;
mod standing;
mod steps;
mod survey;
mod told;
mod undo;
mod wanted;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use firstlight_shared::ids::GuestName;

pub use settings::{Defaults, IncusConfig};

use self::client::link;
use self::client::{Client, SettingsError};
use crate::backend::link::CallWatch;
use crate::backend::link::Reports;
use crate::backend::{
    Adopted, Allocation, Backend, ClaimChannel, GuestPlan, Look, LookBudget, MemoryInUse, Observed, Place,
    Placement, Ran, ReportEndpoint, SecretFile, Snapshot, Stage, Surveyed, Taken, Told,
};
use crate::outcome::{Act, Fault, Followed, Probe, Undo};

/// So long one operation is followed; the engine's own deadlines are shorter or longer.
const LONGEST: Duration = Duration::from_secs(3600);

/// See the module.
#[derive(Debug)]
pub struct Incus {
    /// The first is the usual one.
    remotes: Vec<Client>,
    /// Of each remote, where it is not a socket of this machine.
    hosts: Vec<Option<link::Address>>,
    defaults: Defaults,
    reports: Reports,
    bases: site::Bases,
    recent: read::Recent,
    ears: told::Ears,
}

impl Incus {
    /// Connects to nothing yet.
    ///
    /// # Errors
    /// A remote's certificate, key or proxy is none.
    pub fn new(config: IncusConfig) -> Result<Self, SettingsError> {
        let host = |settings: &client::Settings| match &settings.place {
            link::Place::Socket(_) => None,
            link::Place::Server(server) => Some(server.address.clone()),
        };
        let hosts = config.remotes.iter().map(host).collect();
        let remotes = config.remotes.into_iter().map(Client::new).collect::<Result<_, _>>()?;
        Ok(Self {
            remotes,
            hosts,
            defaults: config.defaults,
            reports: config.reports,
            bases: site::Bases::default(),
            recent: read::Recent::default(),
            ears: told::Ears::default(),
        })
    }
}

#[async_trait]
impl Backend for Incus {
    fn name(&self) -> &'static str {
        "incus"
    }

    fn watch_calls(&self, watch: Arc<dyn CallWatch>) {
        for remote in &self.remotes {
            remote.watch_calls(Arc::clone(&watch));
        }
    }

    async fn preflight(&self, plan: &GuestPlan) -> Result<(), Fault> {
        self.check_plan(plan).await
    }

    async fn namesake(&self, name: &GuestName, place: &Place) -> Result<Option<String>, Fault> {
        self.instance_called(name.as_str(), place).await
    }

    async fn golden_mark(&self, plan: &GuestPlan) -> Result<String, Fault> {
        self.mark_of(plan).await
    }

    async fn prepare(&self) -> Result<ReportEndpoint, Fault> {
        Ok(ReportEndpoint { url: self.url_for(&Place::default()).await?, listener: None })
    }

    async fn report_url(&self, place: &Place, _usual: String) -> Result<String, Fault> {
        self.url_for(place).await
    }

    async fn release(&self) -> Result<bool, Fault> {
        Ok(true)
    }

    async fn allocate(&self, plan: &GuestPlan, taken: &Taken) -> Result<Allocation, Fault> {
        self.choose(plan, taken).await
    }

    async fn probe(&self, stage: Stage, guest: &Placement) -> Result<Probe, Fault> {
        self.probe_stage(stage, guest).await
    }

    async fn act(&self, stage: Stage, guest: &Placement) -> Act {
        self.act_stage(stage, guest).await
    }

    async fn follow(&self, stage: Stage, guest: &Placement, task: &str) -> Followed {
        self.follow_operation(stage, guest, task).await
    }

    async fn undo(&self, stage: Stage, guest: &Placement) -> Undo {
        self.undo_stage(stage, guest).await
    }

    async fn follow_undo(&self, _stage: Stage, guest: &Placement, task: &str) {
        self.wait_for(guest, task).await;
    }

    async fn survey(&self) -> Result<Vec<Surveyed>, Fault> {
        self.survey_instances().await
    }

    fn survey_every(&self) -> Duration {
        Duration::from_secs(5)
    }

    fn resources(&self, plan: &GuestPlan) -> Vec<String> {
        self.resources_of(plan)
    }

    async fn observe(&self, guest: &Placement) -> Result<Observed, Fault> {
        self.observe_guest(guest).await
    }

    fn claim_channel(&self) -> ClaimChannel {
        // Whoever may see the project reads its instances' configuration, and snapshots and exports keep it.
        ClaimChannel::Open
    }

    fn look_budget(&self) -> Option<LookBudget> {
        Some(self.budget())
    }

    async fn look(&self, guest: &Placement) -> Result<Look, Fault> {
        self.look_at_guest(guest).await
    }

    async fn adopt(&self, name_or_id: &str) -> Result<Adopted, Fault> {
        self.adopt_instance(name_or_id).await
    }

    fn pulls_reports(&self, _plan: &GuestPlan) -> bool {
        true
    }

    async fn read_report(&self, guest: &Placement) -> Result<Option<Vec<u8>>, Fault> {
        self.report_file(guest).await
    }

    async fn console_tail(&self, guest: &Placement, lines: usize) -> Vec<String> {
        self.last_words(guest, lines).await
    }

    async fn remove_claim(&self, guest: &Placement) -> Result<(), Fault> {
        self.take_claim_out(guest).await
    }

    async fn deliver(&self, guest: &Placement, secrets: &[SecretFile]) -> Act {
        self.write_secrets(guest, secrets).await
    }

    async fn run(&self, guest: &Placement, command: &[&str], limit: Duration) -> Result<Ran, Fault> {
        self.run_in(guest, command, limit).await
    }

    fn whole_of(&self, resource: &str) -> Option<String> {
        // A member is a part of its remote.
        let (whole, _) = resource.strip_prefix("node:")?.split_once('/')?;
        Some(format!("node:{whole}"))
    }

    async fn memory_in_use(&self, plan: &GuestPlan) -> Result<Option<MemoryInUse>, Fault> {
        self.memory_where(plan).await.map(Some)
    }

    async fn memory(&self, guest: &Placement) -> Result<Option<u64>, Fault> {
        self.memory_of(guest).await
    }

    async fn snapshots(&self, guest: &Placement) -> Result<Vec<Snapshot>, Fault> {
        self.snapshots_of(guest).await
    }

    async fn set_memory(&self, guest: &Placement, bytes: u64) -> Act {
        self.change_memory(guest, bytes).await
    }

    async fn keep(&self, guest: &Placement) -> Act {
        self.keep_guest(guest).await
    }

    async fn snapshot(&self, guest: &Placement, snapshot: &str) -> Act {
        self.take_snapshot(guest, snapshot).await
    }

    async fn restore_snapshot(&self, guest: &Placement, snapshot: &str) -> Act {
        self.set_back(guest, snapshot).await
    }

    async fn remove_snapshot(&self, guest: &Placement, snapshot: &str) -> Act {
        self.drop_snapshot(guest, snapshot).await
    }

    async fn told(&self) -> Told {
        self.next_told().await
    }

    fn manual_cleanup(&self, guest: &Placement) -> Vec<String> {
        self.cleanup_commands(guest)
    }

    fn reach(&self, _guest: &Placement) -> Option<String> {
        None
    }
}

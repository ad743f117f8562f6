//! The built-in backend: guests as systemd-nspawn containers on this machine.
//!
//! Each guest has a folder (stamped with its job), a network namespace with the chosen MAC and address, and a cgroup (or a
//! transient unit, where systemd is PID 1) that holds all its processes. Guests outlive the companion. Everything that is
//! there is found again by name, so nothing has to be remembered between calls; see `names` for the names, `stamp` for
//! whose they are. A guest's root is root on this kernel, as with every container without user namespaces.

mod allocate;
mod archive;
mod cgroup;
mod commands;
mod dhcp;
mod exec;
mod fabric;
mod inside;
mod keeper;
mod logs;
mod machine;
mod names;
mod netns;
mod observe;
mod preflight;
mod remove;
mod secrets;
mod stages;
mod stamp;
mod survey;
#[cfg(test)]
mod testing;

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use firstlight_shared::ids::GuestName;

use self::allocate::Allocator;
use self::fabric::Fabric;
use self::keeper::Keeper;
use self::names::Names;
use crate::backend::{
    Allocation, Backend, GuestPlan, Observed, Place, Placement, Ran, ReportEndpoint, SecretFile, Stage,
    Surveyed, Taken,
};
use crate::outcome::{Act, Fault, Probe, Undo};

/// What the local backend must be told.
#[derive(Debug, Clone)]
pub struct LocalConfig {
    /// Where guests live: absolute and without links, since its digest is in every name. Companions with the same folder
    /// (and the same store) serve the same guests; otherwise each needs its own.
    pub folder: PathBuf,
    /// Port for reports, in the guests' own network.
    pub report_port: u16,
}

/// See the module.
#[derive(Debug)]
pub struct Local {
    names: Names,
    fabric: Fabric,
    allocator: Mutex<Allocator>,
}

impl Local {
    /// Touches nothing.
    #[must_use]
    pub fn new(config: LocalConfig) -> Self {
        let names = Names::new(config.folder);
        Self { fabric: Fabric::new(&names, config.report_port), names, allocator: Mutex::default() }
    }

    fn keeper(&self) -> Result<Keeper, Fault> {
        Keeper::detect(&self.names)
    }
}

/// Runs what blocks (disks, guests' file systems) off the runtime.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => {
            Err(Fault::new("internal", format!("a task of the local backend ended early: {error}")))
        }
    }
}

#[async_trait]
impl Backend for Local {
    fn name(&self) -> &'static str {
        "local"
    }

    async fn preflight(&self, plan: &GuestPlan) -> Result<(), Fault> {
        let (plan, root) = (plan.clone(), self.names.folder(&plan.name).root());
        blocking(move || preflight::check(&plan, &root)).await
    }

    async fn namesake(&self, name: &GuestName, _: &Place) -> Result<Option<String>, Fault> {
        Ok(stamp::namesake(&self.names, name))
    }

    async fn golden_mark(&self, plan: &GuestPlan) -> Result<String, Fault> {
        preflight::golden_mark(plan.golden.as_ref())
    }

    async fn prepare(&self) -> Result<ReportEndpoint, Fault> {
        self.fabric.ensure(&self.keeper()?).await
    }

    async fn release(&self) -> Result<bool, Fault> {
        self.fabric.release(&self.keeper()?).await
    }

    async fn allocate(&self, plan: &GuestPlan, taken: &Taken) -> Result<Allocation, Fault> {
        let mut allocator = self.allocator.lock().unwrap_or_else(PoisonError::into_inner);
        allocator.choose(&self.names, &plan.name, taken)
    }

    async fn probe(&self, stage: Stage, guest: &Placement) -> Result<Probe, Fault> {
        self.probe_stage(stage, guest).await
    }

    async fn act(&self, stage: Stage, guest: &Placement) -> Act {
        // Nothing else here is ambiguous: whatever was done before an error is seen, and undone, by name.
        match self.act_stage(stage, guest).await {
            Ok(output) => Act::Applied(output),
            Err(fault) if fault.code == fabric::BUSY => Act::Unknown(fault),
            Err(fault) => Act::Refused(fault),
        }
    }

    async fn undo(&self, stage: Stage, guest: &Placement) -> Undo {
        self.undo_stage(stage, guest).await.into()
    }

    async fn survey(&self) -> Result<Vec<Surveyed>, Fault> {
        let running = self.keeper()?.running().await?;
        let names = self.names.clone();
        blocking(move || Ok(survey::look(&names, &running))).await
    }

    fn resources(&self, _plan: &GuestPlan) -> Vec<String> {
        vec!["node:local".to_owned()]
    }

    async fn observe(&self, guest: &Placement) -> Result<Observed, Fault> {
        self.observe_guest(guest).await
    }

    async fn read_report(&self, guest: &Placement) -> Result<Option<Vec<u8>>, Fault> {
        self.read_guest_report(guest).await
    }

    async fn run(&self, guest: &Placement, command: &[&str], limit: Duration) -> Result<Ran, Fault> {
        self.run_in_guest(guest, command, limit).await
    }

    async fn console_tail(&self, guest: &Placement, lines: usize) -> Vec<String> {
        let console = self.names.folder(&guest.plan.name).console();
        blocking(move || Ok(logs::tail(&console, lines))).await.unwrap_or_default()
    }

    async fn remove_claim(&self, guest: &Placement) -> Result<(), Fault> {
        if stamp::standing(&self.names, guest) == stamp::Standing::Ours {
            machine::forget_claim(&self.names, guest)?;
        }
        Ok(())
    }

    async fn deliver(&self, guest: &Placement, secrets: &[SecretFile]) -> Act {
        match self.deliver_secrets(guest, secrets) {
            Ok(output) => Act::Applied(output),
            Err(fault) => Act::Refused(fault),
        }
    }

    async fn keep(&self, _: &Placement) -> Act {
        // A guest that stops stays there: that an ephemeral one goes then is the companion's doing.
        Act::Applied(serde_json::json!({}))
    }

    fn manual_cleanup(&self, guest: &Placement) -> Vec<String> {
        self.cleanup_commands(guest)
    }

    fn reach(&self, _guest: &Placement) -> Option<String> {
        Some(format!("ip netns exec {}", self.names.fabric()))
    }
}

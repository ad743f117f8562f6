//! What cannot work is refused before anything is done.
//!
//! The plan alone first, then the plan over the facts: what the archive carries, what the node has, what the token may.
//! All of that is decided by pure functions; here it is read.

mod carried;
mod place;
mod pool;
mod secrets;
mod wanted;

pub(super) use pool::PoolFacts;

use firstlight_shared::ids::GuestName;
use firstlight_shared::text::escape;

use super::archive::{Golden, golden};
use super::client::endpoint::access::ReadPermissions;
use super::client::endpoint::cluster::GuestLine;
use super::client::endpoint::config::ReadConfig;
use super::client::endpoint::guest::{Guest, Kind};
use super::client::endpoint::node::{BridgeLine, ListBridges};
use super::client::verdict::{ApiError, Class, Code};
use super::stamp;
use crate::backend::{GuestPlan, is_silence};
use crate::outcome::Fault;

impl super::Proxmox {
    /// # Errors
    /// What keeps the guest from being made, with the field's name; or there is no answer.
    pub(super) async fn check_plan(&self, plan: &GuestPlan) -> Result<(), Fault> {
        let golden = golden(&plan.golden)?;
        wanted::check(plan, &golden)?;
        secrets::check(plan)?;
        let first = self.check_against_facts(plan, &golden).await;
        match &first {
            // What was remembered may be out of date: somebody has just mended it.
            Err(fault) if !is_silence(&fault.code) && self.doubt_facts().await => {
                self.check_against_facts(plan, &golden).await
            }
            _ => first,
        }
    }

    async fn check_against_facts(&self, plan: &GuestPlan, golden: &Golden<'_>) -> Result<(), Fault> {
        if !plan.secrets.is_empty() && !self.has_env().await? {
            return Err(secrets::no_environment());
        }
        let node = self.some_node(plan).await?;
        let archive = self.archive(plan, &node).await.map_err(|fault| missing(fault, plan, &node))?;
        carried::check(plan, golden.kind, &archive, self.defaults.allow_root_lines)?;
        if carried::is_privileged(golden.kind, &archive) {
            self.check_privileged().await?;
        }
        let storages = self.storages(&node).await?;
        let said = plan.place.storage.as_deref().or(self.defaults.storage.as_deref());
        place::check_storages(plan, golden.kind, said, &archive, &node, &storages)?;
        let bridges = self.bridges(&node).await?;
        let wanted = place::bridges(plan, &archive, &self.defaults.bridge);
        place::check_bridges(&wanted, &node, &bridges)?;
        self.check_pool(plan).await?;
        self.check_vmid(plan).await
    }

    /// Of what the archive says nothing is a privileged container.
    async fn check_privileged(&self) -> Result<(), Fault> {
        let permissions = self.ask(&ReadPermissions { path: Some("/".to_owned()) }).await?;
        if permissions.has("/", "Sys.Modify") {
            return Ok(());
        }
        Err(Fault::new(
            "privileged-golden",
            "golden: its container is privileged, and the token may restore none: it has no Sys.Modify on /",
        )
        .with_hint("make the golden of an unprivileged container: Sys.Modify on / is more than a companion should have"))
    }

    async fn check_vmid(&self, plan: &GuestPlan) -> Result<(), Fault> {
        let Some(vmid) = plan.place.vmid else { return Ok(()) };
        if self.is_free(vmid).await? { Ok(()) } else { Err(super::allocate::taken_vmid(vmid)) }
    }

    async fn bridges(&self, node: &str) -> Result<std::sync::Arc<[BridgeLine]>, Fault> {
        let ask = async { Ok(self.ask(&ListBridges { node: node.to_owned() }).await?.into()) };
        self.cluster.bridges_of(self.joins(), node, ask).await
    }

    /// The guest of this name that is there, in words for people. Names need not be unique to Proxmox.
    pub(super) async fn guest_called(&self, name: &GuestName) -> Result<Option<String>, Fault> {
        let called = |guest: &&GuestLine| {
            guest.name.as_deref().is_some_and(|known| known.eq_ignore_ascii_case(name.as_str()))
        };
        if !self.listed_guests().await?.iter().any(|guest| called(&guest)) {
            return Ok(None);
        }
        // It may have been destroyed just now.
        for line in self.listed_guests_now().await?.iter().filter(called) {
            if let Some(whose) = self.owner_of(line).await {
                return Ok(Some(format!("{} {} on {} ({whose})", in_words(line), line.vmid, line.node)));
            }
        }
        Ok(None)
    }

    /// None: it is gone.
    async fn owner_of(&self, line: &GuestLine) -> Option<String> {
        let not_ours = Some("not ours".to_owned());
        let Some(guest) = guest_of(line) else { return not_ours };
        match self.client.send(&ReadConfig { guest, current: false }).await {
            Ok(config) => match config.description().and_then(stamp::job_of) {
                Some(job) => Some(format!("stamp of job {job}")),
                None => not_ours,
            },
            Err(ApiError { class: Class::Gone, .. }) => None,
            Err(_) => not_ours,
        }
    }

    /// # Errors
    /// The archive is not listed, or there is no answer.
    pub(super) async fn mark_of_archive(&self, plan: &GuestPlan) -> Result<String, Fault> {
        let node = self.some_node(plan).await?;
        let Some(line) = self.archive_line(&plan.golden, &node).await? else {
            return Err(no_volume(plan, &node));
        };
        let or_unknown = |number: Option<u64>| number.map_or("?".to_owned(), |number| number.to_string());
        let mark = format!("{} bytes, written at {}", or_unknown(line.size), or_unknown(line.ctime));
        if self.cluster.mark_changed(&plan.golden, &mark).await {
            self.forget_archive(&plan.golden).await;
        }
        Ok(mark)
    }
}

fn missing(fault: Fault, plan: &GuestPlan, node: &str) -> Fault {
    if fault.code == Code::NoVolume.as_str() { no_volume(plan, node) } else { fault }
}

fn no_volume(plan: &GuestPlan, node: &str) -> Fault {
    let shown = escape(&plan.golden, 160);
    let storage = golden(&plan.golden).map_or("STORAGE", |golden| golden.storage);
    Fault::new(
        Code::NoVolume.as_str(),
        format!("golden: {node} has no `{shown}`, or the token may not see it"),
    )
    .with_hint(format!("`pvesm list {storage} --content backup` on {node} shows what is there"))
}

/// As a line of a list names it. None: a kind that we do not know.
pub(super) fn guest_of(line: &GuestLine) -> Option<Guest> {
    let kind = match line.kind.as_str() {
        "lxc" => Kind::Lxc,
        "qemu" => Kind::Qemu,
        _ => return None,
    };
    Some(Guest { node: line.node.clone(), kind, vmid: line.vmid })
}

pub(super) fn in_words(line: &GuestLine) -> &'static str {
    if line.kind == "lxc" { "container" } else { "machine" }
}

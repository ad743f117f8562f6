//! Chooses MACs and the machine-id. Touches nothing: the guest's name is its id.

use firstlight_shared::wire::Intent;

use super::Incus;
use super::client::Client;
use super::client::endpoint::instance::Kind;
use super::client::endpoint::project::ReadProject;
use super::export;
use super::golden::{Golden, golden, kind};
use super::wanted::{Config, interfaces};
use crate::backend::chosen::{addresses, kept_macs, new_macs, uuid_v4};
use crate::backend::{Allocation, GuestPlan, Slot, Taken};
use crate::clock::now_ms;
use crate::outcome::Fault;

/// Incus' own. A network refuses a MAC that another instance on it has.
const PREFIX: [u8; 3] = [0x10, 0x66, 0x6a];

impl Incus {
    /// # Errors
    /// An address that is asked for is another guest's, or the guest that is to come back has no MAC, or a taken one.
    pub(super) async fn choose(&self, plan: &GuestPlan, taken: &Taken) -> Result<Allocation, Fault> {
        let client = self.site(&plan.place)?;
        let addresses = addresses(&plan.nics, taken)?;
        let (mac, more_macs) = match (plan.intent, golden(plan)) {
            (Intent::Restore, Golden::Export(file)) => kept_macs(&export::macs(&file).await?, &taken.macs)?,
            _ => {
                let count = interfaces(plan, &self.base(&client, plan).await?);
                new_macs(PREFIX, count, &taken.macs, rand::random)
            }
        };
        let chooses = plan.intent == Intent::Provision && self.may_choose_uuid(&client, plan).await?;
        let uuid = chooses.then(|| uuid_v4(rand::random()));
        let slot =
            Slot { id: plan.name.to_string(), node: node(&client, plan), uuid, since_s: now_ms() / 1000 };
        Ok(Allocation { mac, more_macs, addresses, slot: Some(slot) })
    }

    /// Where it may not, the server chooses a machine's, and it is read once the machine is there.
    async fn may_choose_uuid(&self, client: &Client, plan: &GuestPlan) -> Result<bool, Fault> {
        if kind(plan) == Kind::Container {
            return Ok(true);
        }
        let project = ReadProject { name: client.project().to_owned() };
        let project = client.send(&project).await.map_err(|error| Fault::from(&error))?;
        Ok(!keeps_volatile(&project.config))
    }

    /// What a bring-up works on, for limits.
    pub(super) fn resources_of(&self, plan: &GuestPlan) -> Vec<String> {
        let Ok(client) = self.site(&plan.place) else { return Vec::new() };
        let pool = plan.place.storage.as_deref().or(self.defaults.pool.as_deref()).unwrap_or("default");
        vec![format!("node:{}", node(&client, plan)), format!("storage:{}/{pool}", client.remote())]
    }
}

/// A project with any limit or restriction has its machines' `volatile.uuid` set by nobody, unless it allows what is low-level.
/// Source: `AllowInstanceCreation` in internal/server/project/permissions.go of Incus.
fn keeps_volatile(project: &Config) -> bool {
    let is_true = |value: &String| matches!(value.to_ascii_lowercase().as_str(), "true" | "1" | "yes" | "on");
    let limited = project.keys().any(|key| key.starts_with("limits."));
    let restricted = project.get("restricted").is_some_and(is_true);
    let allowed = project.get("restricted.virtual-machines.lowlevel").is_some_and(|value| value == "allow");
    (limited || restricted) && !allowed
}

/// The remote, or one member of a cluster.
fn node(client: &Client, plan: &GuestPlan) -> String {
    match &plan.place.node {
        Some(member) => format!("{}/{member}", client.remote()),
        None => client.remote().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::wanted::testing::config;
    use super::*;

    #[test]
    fn a_machines_uuid_is_the_servers_wherever_a_project_has_limits() {
        for (project, keeps) in [
            ("", false),
            ("features.images=true restricted=false", false),
            ("restricted=true", true),
            ("restricted=1", true),
            ("limits.instances=5", true),
            ("restricted=true restricted.virtual-machines.lowlevel=block", true),
            ("restricted=true restricted.containers.lowlevel=allow", true),
            ("restricted=true limits.memory=1GiB restricted.virtual-machines.lowlevel=allow", false),
        ] {
            assert_eq!(keeps_volatile(&config(project)), keeps, "{project}");
        }
    }
}

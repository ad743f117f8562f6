//! Chooses MACs and the machine-id. Touches nothing: the guest's name is its id.

use firstlight_shared::wire::Intent;

use super::Incus;
use super::client::Client;
use super::export;
use super::golden::{Golden, golden};
use super::wanted::interfaces;
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
        let uuid = (plan.intent == Intent::Provision).then(|| uuid_v4(rand::random()));
        let slot =
            Slot { id: plan.name.to_string(), node: node(&client, plan), uuid, since_s: now_ms() / 1000 };
        Ok(Allocation { mac, more_macs, addresses, slot: Some(slot) })
    }

    /// What a bring-up works on, for limits.
    pub(super) fn resources_of(&self, plan: &GuestPlan) -> Vec<String> {
        let Ok(client) = self.site(&plan.place) else { return Vec::new() };
        let pool = plan.place.storage.as_deref().or(self.defaults.pool.as_deref()).unwrap_or("default");
        vec![
            format!("node:{}", node(&client, plan)),
            format!("project:{}/{}", client.remote(), client.project()),
            format!("storage:{}/{pool}", client.remote()),
        ]
    }
}

/// The remote, or one member of a cluster.
fn node(client: &Client, plan: &GuestPlan) -> String {
    match &plan.place.node {
        Some(member) => format!("{}/{member}", client.remote()),
        None => client.remote().to_owned(),
    }
}

//! Starting a machine.

use firstlight_shared::wire::Intent;
use serde_json::json;

use crate::backend::Placement;
use crate::backend::proxmox::Proxmox;
use crate::backend::proxmox::client::endpoint::guest::Start;
use crate::backend::proxmox::fault::{act_of, act_of_look};
use crate::backend::proxmox::standing::Ours;
use crate::outcome::{Act, Fault, Probe};

impl Proxmox {
    pub(super) async fn probe_start(&self, guest: &Placement, ours: &Ours) -> Result<Probe, Fault> {
        if self.is_up(&ours.guest).await? {
            return Ok(Probe::Present(json!({})));
        }
        let task = self.running_task(guest, &ours.guest, "qmstart").await?;
        Ok(task.map_or(Probe::Absent, |upid| Probe::InFlight(upid.to_string())))
    }

    pub(super) async fn start_machine(&self, guest: &Placement, ours: Ours) -> Result<Act, Act> {
        if guest.plan.intent == Intent::Restore
            && let Some(twin) = self.twin_of(guest, &ours).await.map_err(act_of_look)?
        {
            return Err(Act::Refused(twin));
        }
        let started = self.client.send(&Start { guest: ours.guest }).await;
        Ok(started.map_or_else(|error| act_of(&error), |upid| Act::Started(upid.to_string())))
    }
}

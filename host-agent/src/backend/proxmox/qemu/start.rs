//! Starting a machine.

use firstlight_shared::ids::MacAddress;
use firstlight_shared::wire::Intent;
use serde_json::json;

use super::net;
use crate::backend::Placement;
use crate::backend::proxmox::Proxmox;
use crate::backend::proxmox::client::endpoint::cluster::{GuestLine, ListGuests};
use crate::backend::proxmox::client::endpoint::config::{GuestConfig, ReadConfig};
use crate::backend::proxmox::client::endpoint::guest::{Guest, Kind, ReadStatus, Start};
use crate::backend::proxmox::client::verdict::Class;
use crate::backend::proxmox::fault::act_of;
use crate::backend::proxmox::standing::Ours;
use crate::outcome::{Act, Fault, Probe};

impl Proxmox {
    pub(super) async fn probe_start(&self, guest: &Placement, ours: &Ours) -> Result<Probe, Fault> {
        if self.is_running(&ours.guest).await? {
            return Ok(Probe::Present(json!({})));
        }
        let task = self.running_task(guest, &ours.guest, "qmstart").await?;
        Ok(task.map_or(Probe::Absent, |upid| Probe::InFlight(upid.to_string())))
    }

    pub(super) async fn start_machine(&self, guest: &Placement, ours: Ours) -> Result<Act, Act> {
        if guest.plan.intent == Intent::Restore {
            self.refuse_twin(&ours).await?;
        }
        let started = self.client.send(&Start { guest: ours.guest }).await;
        Ok(started.map_or_else(|error| act_of(&error), |upid| Act::Started(upid.to_string())))
    }

    pub(super) async fn is_running(&self, guest: &Guest) -> Result<bool, Fault> {
        Ok(self.ask(&ReadStatus { guest: guest.clone() }).await?.is_running())
    }

    /// A machine that came back from its backup has the MACs of the one that was backed up: if that one runs, both would
    /// be cut off.
    async fn refuse_twin(&self, ours: &Ours) -> Result<(), Act> {
        let own = macs(&ours.config);
        let lines = self.ask(&ListGuests).await.map_err(Act::Unknown)?;
        for other in lines.iter().filter_map(|line| running(line, ours.guest.vmid)) {
            let config = match self.client.send(&ReadConfig { guest: other.clone(), current: true }).await {
                Ok(config) => config,
                // It went away, or it is not for this token to see.
                Err(error) if matches!(error.class, Class::Gone | Class::Denied { .. }) => continue,
                Err(error) => return Err(Act::Unknown(Fault::from(&error))),
            };
            if let Some(mac) = macs(&config).into_iter().find(|mac| own.contains(mac)) {
                let fault = Fault::new("mac-in-use", format!("{other} runs with the same MAC {mac}"))
                    .with_hint(format!(
                        "stop {other} first: a restored guest keeps its MAC, and takes its place"
                    ));
                return Err(Act::Refused(fault));
            }
        }
        Ok(())
    }
}

fn running(line: &GuestLine, own: u32) -> Option<Guest> {
    let kind = [Kind::Lxc, Kind::Qemu].into_iter().find(|kind| kind.as_str() == line.kind)?;
    // `unknown`, too: what was just started is not in the statistics yet.
    let runs = line.vmid != own && line.status.as_deref() != Some("stopped") && !line.template;
    runs.then(|| Guest { node: line.node.clone(), kind, vmid: line.vmid })
}

/// Of containers and of machines.
fn macs(config: &GuestConfig) -> Vec<MacAddress> {
    let of_container = |device: &crate::backend::proxmox::client::properties::Properties| {
        device.get("hwaddr").and_then(|mac| mac.parse().ok())
    };
    config
        .family("net")
        .filter_map(|(_, device)| of_container(&device).or_else(|| net::mac(&device)))
        .collect()
}

//! start: whether it runs, and a guest that comes back never beside its original.

use firstlight_shared::ids::MacAddress;

use super::{Act, Fault, Intent, Ours, Placement, Probe, Proxmox, Stage};
use crate::backend::proxmox::archive::golden;
use crate::backend::proxmox::client::endpoint::cluster::ListGuests;
use crate::backend::proxmox::client::endpoint::config::{GuestConfig, ReadConfig};
use crate::backend::proxmox::client::endpoint::guest::{Guest, Kind, ReadStatus, Start};
use crate::backend::proxmox::client::verdict::Class;
use crate::backend::proxmox::fault::{act_of, act_of_look};
use crate::backend::proxmox::tasks::output;

impl Proxmox {
    pub(super) async fn probe_started_container(
        &self,
        placement: &Placement,
        guest: &Guest,
    ) -> Result<Probe, Fault> {
        if self.is_up(guest).await? {
            return Ok(Probe::Present(output(Stage::Start, placement, Vec::new())));
        }
        // Restored a moment ago, and nothing was sent to it since.
        if self.recent.get(guest.vmid, &placement.job).is_some() {
            return Ok(Probe::Absent);
        }
        let at_work = self.running_task(placement, guest, "vzstart").await?;
        Ok(at_work.map_or(Probe::Absent, |upid| Probe::InFlight(upid.to_string())))
    }

    pub(super) async fn start_container(&self, placement: &Placement, ours: &Ours) -> Act {
        if placement.plan.intent == Intent::Restore {
            match self.twin_of(placement, ours).await {
                Ok(None) => {}
                Ok(Some(twin)) => return Act::Refused(twin),
                Err(fault) => return act_of_look(fault),
            }
        }
        match self.client.send(&Start { guest: ours.guest.clone() }).await {
            Ok(upid) => Act::Started(upid.to_string()),
            Err(error) if error.class == Class::AlreadySo => self.look_again(Stage::Start, placement).await,
            Err(error) => act_of(&error),
        }
    }

    pub(in crate::backend::proxmox) async fn is_up(&self, guest: &Guest) -> Result<bool, Fault> {
        Ok(self.ask(&ReadStatus { guest: guest.clone() }).await?.is_running())
    }

    /// A running guest that has a MAC of this one: mostly the one that the backup was made of. Asked before a guest that
    /// keeps its MACs is started; costs one read for each running guest that the token may see.
    pub(in crate::backend::proxmox) async fn twin_of(
        &self,
        placement: &Placement,
        ours: &Ours,
    ) -> Result<Option<Fault>, Fault> {
        let macs = macs(&ours.config);
        let original = golden(&placement.plan.golden).ok().and_then(|golden| golden.owner);
        let guests = self.ask(&ListGuests).await?;
        // The list is up to 10 s old: the original, for one, may just have been started.
        let mut others: Vec<_> = guests
            .into_iter()
            .filter(|line| line.vmid != ours.guest.vmid && !line.template)
            .filter(|line| line.status.as_deref() != Some("stopped") || Some(line.vmid) == original)
            .collect();
        others.sort_by_key(|line| Some(line.vmid) != original);
        for line in others {
            let kind = if line.kind == "lxc" { Kind::Lxc } else { Kind::Qemu };
            let guest = Guest { node: line.node, kind, vmid: line.vmid };
            let config = match self.client.send(&ReadConfig { guest: guest.clone(), current: true }).await {
                Ok(config) => config,
                Err(error) if matches!(error.class, Class::Gone | Class::Denied { .. }) => continue,
                Err(error) => return Err(Fault::from(&error)),
            };
            let shared = self::macs(&config).into_iter().find(|mac| macs.contains(mac));
            if let Some(mac) = shared
                && self.is_up(&guest).await?
            {
                let name =
                    firstlight_shared::text::escape(line.name.as_deref().unwrap_or("without a name"), 80);
                let message = format!("{guest} ({name}) runs with {mac}, which this guest has, too");
                return Ok(Some(Fault::new("mac-in-use", message).with_hint(
                    "the same guest cannot run twice: stop the original, or bring up a new guest (intent = \"provision\")",
                )));
            }
        }
        Ok(None)
    }
}

fn macs(config: &GuestConfig) -> Vec<MacAddress> {
    config.family("net").filter_map(|(_, net)| net.mac()?.parse().ok()).collect()
}

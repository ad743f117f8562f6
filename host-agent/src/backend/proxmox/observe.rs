//! The guest as the cluster has it, and where its reports go.

use std::net::IpAddr;
use std::path::PathBuf;

use super::client::endpoint::config::{GuestConfig, ReadConfig};
use super::client::endpoint::guest::{Guest, Kind, ReadStatus};
use super::client::verdict::Class;
use super::stamp;
use super::standing::target;
use crate::backend::link::nowhere_to_report;
use crate::backend::{Observed, Placement, leads_somewhere};
use crate::outcome::Fault;

impl super::Proxmox {
    /// # Errors
    /// The guest is another job's, the token may not look at it, or there is no answer.
    pub(super) async fn observe_guest(&self, placement: &Placement) -> Result<Observed, Fault> {
        let guest = target(placement)?;
        let Some((guest, config)) = self.config_of(guest).await? else {
            return Ok(Observed::default());
        };
        // A guest that somebody else made may be a copy of one of ours, notes and all.
        if !placement.adopted {
            match stamp::job_of(config.description().unwrap_or_default()) {
                Some(job) if job == placement.job => {}
                Some(job) => {
                    return Err(Fault::new("foreign", format!("{guest} carries the stamp of job {job}")));
                }
                None => return Err(unstamped(&guest, &placement.job)),
            }
        }
        let running = self.ask(&ReadStatus { guest: guest.clone() }).await?.is_running();
        let addresses =
            if running { self.addresses_of(&placement.job, &guest, &config).await? } else { Vec::new() };
        let (mounts, mounts_unseen) = match guest.kind {
            Kind::Lxc => (mounts(&config), None),
            Kind::Qemu => self.mounted_in_machine(&placement.plan, &guest).await?,
        };
        let mac = first_mac(&config);
        Ok(Observed { running, mac, addresses, mounts, mounts_unseen, no_network: false })
    }

    /// What the guest runs with, and where it is: somebody may have moved it. None: it is gone.
    async fn config_of(&self, guest: Guest) -> Result<Option<(Guest, GuestConfig)>, Fault> {
        let read = |guest: Guest| ReadConfig { guest, current: true };
        match self.client.send(&read(guest.clone())).await {
            Ok(config) => return Ok(Some((guest, config))),
            Err(error) if error.class == Class::Gone => {}
            Err(error) => return Err(Fault::from(&error)),
        }
        let Some(guest) = self.moved(&guest).await? else { return Ok(None) };
        match self.client.send(&read(guest.clone())).await {
            Ok(config) => Ok(Some((guest, config))),
            Err(error) if error.class == Class::Gone => Ok(None),
            Err(error) => Err(Fault::from(&error)),
        }
    }

    async fn addresses_of(
        &self,
        job: &str,
        guest: &Guest,
        config: &GuestConfig,
    ) -> Result<Vec<IpAddr>, Fault> {
        let found = match guest.kind {
            // The look that saw its beacon counts: another one would not be within the node's budget.
            Kind::Lxc => match self.looked.get(guest.vmid, job) {
                Some(addresses) => addresses,
                None => self.look_at_container(job, guest.clone()).await?.addresses,
            },
            Kind::Qemu if has_agent(config) => self.look_at_machine(guest).await?.addresses,
            Kind::Qemu => Vec::new(),
        };
        Ok(found.into_iter().filter(leads_somewhere).collect())
    }

    /// Where guests send their reports.
    ///
    /// # Errors
    /// No route leads to any node.
    pub(super) async fn report_url(&self) -> Result<String, Fault> {
        if let Some(url) = &self.reports.url {
            return Ok(url.clone());
        }
        let mut last = String::new();
        for address in self.client.addresses() {
            match address.own_address_towards().await {
                Ok(own) => return Ok(self.reports.url_at(own)),
                Err(error) => last = format!("{address}: {error}"),
            }
        }
        Err(nowhere_to_report(format!("no way to a node was found ({last})")))
    }
}

fn unstamped(guest: &Guest, job: &str) -> Fault {
    let fault = Fault::new("unstamped", format!("{guest} does not carry the stamp of job {job} any more"));
    fault.with_hint(format!("put the line `{}` back into its notes, and try again", stamp::line(job)))
}

/// `agent: 1`, `agent: enabled=1,type=virtio`.
fn has_agent(config: &GuestConfig) -> bool {
    let Some(agent) = config.properties("agent") else { return false };
    agent.unnamed().or_else(|| agent.get("enabled")).is_some_and(|flag| flag == "1")
}

pub(super) fn first_mac(config: &GuestConfig) -> Option<firstlight_shared::ids::MacAddress> {
    let first = config.family("net").min_by_key(|(number, _)| *number);
    first?.1.mac()?.parse().ok()
}

fn mounts(config: &GuestConfig) -> Vec<PathBuf> {
    let mut found: Vec<_> = config.family("mp").collect();
    found.sort_by_key(|(number, _)| *number);
    found.iter().filter_map(|(_, mount)| mount.get("mp")).map(PathBuf::from).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::client::endpoint::Endpoint as _;
    use super::*;

    #[test]
    fn a_configuration_tells_agent_mac_and_mounts() {
        let config = |value| ReadConfig::read(value).unwrap();
        for (agent, expected) in [
            (json!({}), false),
            (json!({"agent": 1}), true),
            (json!({"agent": "1,fstrim_cloned_disks=1"}), true),
            (json!({"agent": "enabled=1,type=virtio"}), true),
            (json!({"agent": "0"}), false),
            (json!({"agent": "enabled=0"}), false),
        ] {
            assert_eq!(has_agent(&config(agent.clone())), expected, "{agent}");
        }
        let container = config(json!({
            "net1": "name=eth1,hwaddr=BC:24:11:00:00:02", "net0": "name=eth0,hwaddr=BC:24:11:00:00:01",
            "mp10": "local:b,mp=/srv/b", "mp9": "local:a,mp=/srv/a", "mpx": "y",
        }));
        assert_eq!(first_mac(&container), Some("bc:24:11:00:00:01".parse().unwrap()));
        assert_eq!(mounts(&container), [PathBuf::from("/srv/a"), PathBuf::from("/srv/b")]);
        assert_eq!(first_mac(&config(json!({}))), None);
    }
}

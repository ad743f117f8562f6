//! Where guests send their reports.

use std::net::IpAddr;

use super::Incus;
use super::client::Client;
use super::client::endpoint::network::ReadNetwork;
use super::wanted::nic_names;
use crate::backend::Place;
use crate::backend::link::nowhere_to_report;
use crate::outcome::Fault;

impl Incus {
    /// What the configuration says; else the address that this machine has towards the server; of a server on this very
    /// machine, its own address on the guests' network.
    pub(super) async fn url_for(&self, place: &Place) -> Result<String, Fault> {
        if let Some(url) = &self.reports.url {
            return Ok(url.clone());
        }
        let client = self.site(place)?;
        let number = self.remotes.iter().position(|remote| remote.remote() == client.remote());
        let address = match number.and_then(|number| self.hosts.get(number)?.as_ref()) {
            Some(server) => server
                .own_address_towards()
                .await
                .map_err(|error| nowhere_to_report(format!("no way to {}: {error}", server.host)))?,
            None => self.on_network(&client).await?,
        };
        Ok(self.reports.url_at(address))
    }

    async fn on_network(&self, client: &Client) -> Result<IpAddr, Fault> {
        let none = || nowhere_to_report("the guests' network has no address of this machine to report to");
        let base = self.base_over(client, Vec::new()).await?;
        let of_profiles = || {
            let name = nic_names(&base.devices).into_iter().next()?;
            let device = base.devices.get(name)?;
            device.get("network").or_else(|| device.get("parent")).cloned()
        };
        let name = self.defaults.network.clone().or_else(of_profiles).ok_or_else(none)?;
        let network = client.send(&ReadNetwork { name }).await.map_err(|error| Fault::from(&error))?;
        own_address(network.config.get("ipv4.address").map(String::as_str))
            .or_else(|| own_address(network.config.get("ipv6.address").map(String::as_str)))
            .ok_or_else(none)
    }
}

/// `10.77.0.1/24`, or `none`.
fn own_address(configured: Option<&str>) -> Option<IpAddr> {
    configured?.split('/').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_a_network_is_ours_on_it() {
        assert_eq!(own_address(Some("10.77.0.1/24")), Some("10.77.0.1".parse().unwrap()));
        for none in [None, Some("none"), Some("auto"), Some("")] {
            assert_eq!(own_address(none), None);
        }
    }
}

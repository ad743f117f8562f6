//! Where guests send their reports.

use std::net::{IpAddr, SocketAddr};

use tokio::net::{UdpSocket, lookup_host};

use super::Incus;
use super::client::Client;
use super::client::endpoint::network::ReadNetwork;
use super::wanted::nic_names;
use crate::backend::Place;
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
            Some(host) => towards(host).await?,
            None => self.on_network(&client).await?,
        };
        Ok(format!("https://{}", SocketAddr::new(address, self.reports.port)))
    }

    async fn on_network(&self, client: &Client) -> Result<IpAddr, Fault> {
        let none = || {
            Fault::new("no-report-address", "the guests' network has no address of this machine to report to")
                .with_hint("reports.url of the configuration says where guests reach the companion")
        };
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

/// Ours, as the route to the server has it. Nothing is sent.
async fn towards((host, port): &(String, u16)) -> Result<IpAddr, Fault> {
    let fault = |error: std::io::Error| {
        Fault::new("no-report-address", format!("no way to {host}: {error}"))
            .with_hint("reports.url of the configuration says where guests reach the companion")
    };
    let found = lookup_host((host.as_str(), *port)).await.map_err(fault)?.next();
    let server = found.ok_or_else(|| fault(std::io::Error::other("it has no address")))?;
    let any: SocketAddr = if server.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0; 16], 0).into() };
    let socket = UdpSocket::bind(any).await.map_err(fault)?;
    socket.connect(server).await.map_err(fault)?;
    Ok(socket.local_addr().map_err(fault)?.ip())
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

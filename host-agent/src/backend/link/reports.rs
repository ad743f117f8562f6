//! Where guests of a remote hypervisor send their reports.

use std::net::{IpAddr, SocketAddr};

use crate::outcome::Fault;

/// What the configuration says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reports {
    /// None: the address that this machine has towards the hypervisor, or on the network of its guests.
    pub url: Option<String>,
    /// The report listener's port.
    pub port: u16,
}

impl Reports {
    /// For guests that reach this machine by that address.
    pub fn url_at(&self, address: IpAddr) -> String {
        format!("https://{}", SocketAddr::new(address, self.port))
    }
}

/// No address is known at which guests reach the companion.
pub fn nowhere_to_report(why: impl Into<String>) -> Fault {
    Fault::new("no-report-address", why)
        .with_hint("`reports.url` says where guests send their reports: https://ADDRESS:PORT of this machine")
}

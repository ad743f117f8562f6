//! Asks the SSH server of this machine for its host keys, on what it listens on.
//!
//! Sparing with connections: since OpenSSH 9.8 every one that ends before authentication costs its source a second of
//! penalty, and 15 of them shut it out for a while (PerSourcePenalties, `noauth` and `min`; srclimit.c).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use firstlight_shared::error::Chain;
use tokio::net::TcpStream;

use super::handshake::{self, HandshakeError, Served};
use crate::sys::Machine;

/// For one connection, all of it. sshd under load on a small machine takes some hundred milliseconds.
const TIME_LIMIT: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub(crate) enum ProbeError {
    /// Nobody listens: costs nothing to try again.
    #[error("{0}")]
    NoAnswer(String),
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    #[error("no answer within {} seconds", TIME_LIMIT.as_secs())]
    TimedOut,
}

impl ProbeError {
    pub(crate) fn said(&self) -> String {
        Chain(self).to_string()
    }
}

/// What is served for an algorithm at the first address that answers. `host`: as a `ListenAddress` line names it.
///
/// # Errors
/// Nobody answers, or no key was proved.
pub(crate) async fn probe(
    machine: &Machine,
    host: Option<&str>,
    port: u16,
    algorithm: &str,
) -> Result<Served, ProbeError> {
    let mut problem = String::from("there is no address to try");
    for (number, address) in candidates(machine, host).into_iter().enumerate() {
        let connected = TcpStream::connect(SocketAddr::new(address, port));
        match tokio::time::timeout(TIME_LIMIT, connected).await {
            Ok(Ok(stream)) => {
                let served = tokio::time::timeout(TIME_LIMIT, handshake::served(stream, algorithm));
                return Ok(served.await.map_err(|_| ProbeError::TimedOut)??);
            }
            Ok(Err(error)) if number == 0 => problem = error.to_string(),
            Err(_) if number == 0 => problem = ProbeError::TimedOut.to_string(),
            _ => {}
        }
    }
    Err(ProbeError::NoAnswer(problem))
}

/// The address itself; for a name or every address: loopback, then this machine's others.
fn candidates(machine: &Machine, host: Option<&str>) -> Vec<IpAddr> {
    if let Some(address) = host.and_then(|host| host.parse().ok()) {
        return vec![address];
    }
    let own = machine.interfaces();
    let own = own.iter().flat_map(|interface| &interface.addresses).map(|address| address.address);
    // Link-local addresses need a scope.
    let usable = own.filter(|address| match address {
        IpAddr::V4(v4) => !v4.is_link_local(),
        IpAddr::V6(v6) => !v6.is_unicast_link_local(),
    });
    [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()].into_iter().chain(usable).collect()
}

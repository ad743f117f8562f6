//! Networks for guests that nobody else on this machine has.

use std::net::Ipv4Addr;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};

use anyhow::{Result, bail};

use crate::run;

/// `10.BLOCK.NUMBER.0/24`, kept from others for as long as this lives.
#[derive(Debug)]
pub(crate) struct Subnet {
    block: u8,
    pub(crate) number: u8,
    /// The kernel lets the number go with this process.
    _held: UnixListener,
}

impl Subnet {
    /// One of `10.BLOCK.0.0/16` without a route on this machine; `seed` says where the search begins.
    pub(crate) fn reserve(block: u8, seed: &str) -> Result<Self> {
        let routes = run::must(&mut run::command(["ip", "-4", "route", "show", "table", "all"]))?;
        let first = seed.bytes().fold(0_u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte));
        let numbers = (0..=u8::MAX).map(|step| first.wrapping_add(step));
        for number in numbers.filter(|number| !routes.contains(&format!("10.{block}.{number}."))) {
            let address = SocketAddr::from_abstract_name(format!("firstlight-subnet-{block}-{number}"))?;
            if let Ok(held) = UnixListener::bind_addr(&address) {
                return Ok(Self { block, number, _held: held });
            }
        }
        bail!("no network of 10.{block}.0.0/16 is free: the guests' network cannot be made")
    }

    pub(crate) fn host(&self, last: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, self.block, self.number, last)
    }
}

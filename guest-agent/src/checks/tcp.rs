//! `tcp`: something accepts connections there.

use std::net::SocketAddr;

use serde::Deserialize;
use tokio::net::TcpStream;

use super::Look;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tcp {
    address: SocketAddr,
}

pub(super) async fn look(keys: &Tcp) -> Look {
    match TcpStream::connect(keys.address).await {
        Ok(_) => Look::pass(format!("{} accepts", keys.address)),
        Err(error) => Look::not_yet(format!("{}: {error}", keys.address)),
    }
}

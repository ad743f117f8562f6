//! `firstlight serve`: the companion, until a signal ends it.

use std::net::SocketAddr;

use clap::Args;

use super::args::PlaceArguments;
use super::failure::{Exit, Failure};
use crate::daemon::{self, LogLevel};

#[derive(Debug, Args)]
pub(super) struct ServeArguments {
    /// Where reports are taken. Local guests use the same port inside their own network.
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = listen)]
    pub(super) listen: Option<SocketAddr>,
}

/// Guests are told the port before they start, so it cannot be left to the kernel.
fn listen(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr =
        text.parse().map_err(|_| "an IP address and a port are wanted, `0.0.0.0:7443` for one".to_owned())?;
    if address.port() == 0 { Err("port 0 is none".to_owned()) } else { Ok(address) }
}

pub(super) async fn serve(
    place: &PlaceArguments,
    serve: &ServeArguments,
    log: &LogLevel,
) -> Result<Exit, Failure> {
    let sources = place.sources().flag("--listen", "reports.listen", serve.listen);
    daemon::serve(&sources, log, Vec::new()).await?;
    Ok(Exit::Ok)
}

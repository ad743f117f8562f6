//! `firstlight serve`: the companion, until a signal ends it.

use std::net::SocketAddr;
use std::path::Path;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::failure::{Exit, Failure};
use crate::daemon::{Companion, Settings};

#[derive(Debug, Args)]
pub(super) struct ServeArguments {
    /// Where reports are taken. Local guests use the same port inside their own network.
    #[arg(long, env = "FIRSTLIGHT_LISTEN", default_value = "0.0.0.0:7443", value_name = "ADDRESS:PORT", value_parser = listen)]
    pub(super) listen: SocketAddr,
}

/// Guests are told the port before they start, so it cannot be left to the kernel.
fn listen(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr =
        text.parse().map_err(|_| "an IP address and a port are wanted, `0.0.0.0:7443` for one".to_owned())?;
    if address.port() == 0 { Err("port 0 is none".to_owned()) } else { Ok(address) }
}

pub(super) async fn serve(state: &Path, serve: &ServeArguments) -> Result<Exit, Failure> {
    let told =
        |kind| signal(kind).map_err(|error| Failure::new(Exit::Environment, format!("no signals: {error}")));
    let (mut terminate, mut interrupt) = (told(SignalKind::terminate())?, told(SignalKind::interrupt())?);
    let settings = Settings {
        state: state.to_owned(),
        listen: Some(serve.listen),
        report_port: serve.listen.port(),
        resume: true,
    };
    let companion = Companion::start(&settings).await?;
    tracing::info!(state = %state.display(), reports = %serve.listen, "serving");
    if !nix::unistd::geteuid().is_root() {
        tracing::warn!("not root: local guests cannot be brought up");
    }
    // Without systemd there is nobody to tell.
    if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Ready]) {
        tracing::debug!(%error, "systemd was not told");
    }
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping; guests live on");
    companion.stop().await;
    Ok(Exit::Ok)
}

//! `firstlight serve`: runs a companion until a signal ends it, and reloads its configuration on SIGHUP.

use std::sync::Arc;

use firstlight_shared::error::Chain;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::companion::{Companion, Purpose};
use super::error::StartError;
use super::log::LogLevel;
use super::notify;
use crate::backend::Backend;
use crate::config::{Configuration, Sources, load};

/// SIGTERM and SIGINT, SIGHUP.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

enum Told {
    Stop,
    Reload,
}

impl Signals {
    fn listen() -> Result<Self, StartError> {
        let on = |kind| signal(kind).map_err(StartError::Signals);
        Ok(Self {
            terminate: on(SignalKind::terminate())?,
            interrupt: on(SignalKind::interrupt())?,
            hang_up: on(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.terminate.recv() => Told::Stop,
            _ = self.interrupt.recv() => Told::Stop,
            _ = self.hang_up.recv() => Told::Reload,
        }
    }

    async fn stop(&mut self) {
        while matches!(self.next().await, Told::Reload) {
            tracing::info!("stopping: nothing is reloaded any more");
        }
    }
}

/// Runs the daemon; `backends` are those beside the local one. Returns when it was told to stop and has stopped.
pub async fn serve(
    sources: &Sources,
    log: &LogLevel,
    backends: Vec<Arc<dyn Backend>>,
) -> Result<(), StartError> {
    // First, so that a signal that comes early ends us in order.
    let mut signals = Signals::listen()?;
    let mut configuration = load(sources)?;
    set_level(log, &configuration);
    for variable in sources.unknown_variables() {
        tracing::warn!(variable, "this variable sets nothing: there is no such key");
    }
    let settings = &configuration.settings;
    let companion = Companion::start(settings, Purpose::Serve, backends).await?;
    tracing::info!(state = %settings.state.display(), reports = %settings.reports.listen, "serving");
    if !nix::unistd::geteuid().is_root() {
        tracing::info!("not root: local guests cannot be brought up");
    }
    notify::ready("ready");
    while let Told::Reload = signals.next().await {
        notify::reloading();
        let status = match reloaded(sources, &configuration, &companion, log) {
            Some(newer) => {
                configuration = newer;
                "ready: the configuration was read again"
            }
            None => "ready, with the configuration as it was: the new one is refused, see the log",
        };
        notify::ready(status);
    }
    let drain = configuration.settings.companion.drain;
    tracing::info!(
        ?drain,
        "stopping: steps that are under way may end, guests live on; a second signal stops at once"
    );
    notify::stopping(drain);
    tokio::select! {
        () = companion.drain(drain) => {}
        () = signals.stop() => tracing::info!("stopping at once"),
    }
    companion.stop().await;
    tracing::info!("stopped");
    Ok(())
}

/// None: the new configuration is refused as a whole, and the old one counts.
fn reloaded(
    sources: &Sources,
    old: &Configuration,
    companion: &Companion,
    log: &LogLevel,
) -> Option<Configuration> {
    let newer = match load(sources) {
        Ok(newer) => newer,
        Err(error) => {
            tracing::error!(error = %Chain(&error), "the new configuration is refused, the old one counts");
            return None;
        }
    };
    if let Err(error) = companion.reload(&newer.settings) {
        tracing::error!(error = %Chain(&error), "the new configuration is refused, the old one counts");
        return None;
    }
    set_level(log, &newer);
    let differences = old.differences(&newer);
    if !differences.restart.is_empty() {
        tracing::warn!(keys = ?differences.restart, "these count after the next start only");
    }
    tracing::info!(keys = ?differences.reload, "the configuration was read again");
    Some(newer)
}

fn set_level(log: &LogLevel, configuration: &Configuration) {
    if let Err(error) = log.set(&configuration.settings.log.level) {
        tracing::warn!(%error, "the log keeps its level");
    }
}

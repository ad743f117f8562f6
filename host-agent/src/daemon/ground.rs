//! What is bound and read before anything is done: first of all what can fail for reasons of the machine.

use std::ffi::OsString;
use std::time::Duration;

use tokio::net::TcpListener;

use super::companion::Purpose;
use super::error::StartError;
use super::identity::ListenerIdentity;
use super::lock::StateLock;
use super::policy::policy;
use crate::config::Settings;
use crate::http::Policy;
use crate::store::{Location, Store};

/// How long a daemon waits for the state folder.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);
/// For a port that is taken.
const PORT_PATIENCE: Duration = Duration::from_secs(1);

/// What is bound and read before anything is done.
pub(super) struct Ground {
    pub(super) lock: StateLock,
    pub(super) store: Store,
    pub(super) identity: ListenerIdentity,
    pub(super) policy: Policy,
    pub(super) reports: Option<TcpListener>,
    pub(super) api: Option<TcpListener>,
}

impl Ground {
    /// First what can fail for reasons of the machine.
    pub(super) async fn prepare(settings: &Settings, purpose: Purpose) -> Result<Self, StartError> {
        let credentials = credentials();
        let serves = purpose == Purpose::Serve;
        let lock = take_lock(settings, serves).await?;
        // Guests of this machine report inside their own network; those of a cluster come from outside.
        let listens =
            serves || (purpose == Purpose::Work && (settings.proxmox.is_some() || settings.incus.is_some()));
        let reports = bind(listens.then_some(settings.reports.listen)).await?;
        let tcp = settings.api.listen.as_ref().map(|tcp| tcp.address);
        let api = bind(tcp.filter(|_| serves)).await?;
        let policy = policy(&settings.api, credentials.as_deref())?;
        let mut location: Location = settings.store.url.parse()?;
        if let Some(file) = &settings.store.password {
            location = location.with_password(file.read(credentials.as_deref())?);
        }
        if let Some(certificate) = &settings.store.root_certificate {
            location = location.with_root_certificate(certificate);
        }
        let store = Store::connect(&location).await?;
        let key = settings.reports.key.as_ref();
        let identity = ListenerIdentity::load(key, credentials.as_deref(), &store).await?;
        Ok(Self { lock, store, identity, policy, reports, api })
    }
}

/// A command that looks without a daemon holds the folder for a moment; the daemon waits for it.
async fn take_lock(settings: &Settings, serves: bool) -> Result<StateLock, StartError> {
    let deadline = tokio::time::Instant::now() + if serves { LOCK_PATIENCE } else { Duration::ZERO };
    loop {
        match StateLock::take(&settings.state) {
            Err(StartError::InUse { .. }) if tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            taken => return taken,
        }
    }
}

/// Whoever listened here a moment ago may have left a child that is not yet another program: until it is, it has all sockets.
async fn bind(address: Option<std::net::SocketAddr>) -> Result<Option<TcpListener>, StartError> {
    let Some(address) = address else { return Ok(None) };
    let deadline = tokio::time::Instant::now() + PORT_PATIENCE;
    loop {
        match TcpListener::bind(address).await {
            Err(error)
                if error.kind() == std::io::ErrorKind::AddrInUse
                    && tokio::time::Instant::now() < deadline =>
            {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            bound => return bound.map(Some).map_err(|source| StartError::Listen { address, source }),
        }
    }
}

/// systemd's folder of what `LoadCredential=` gave. Source: systemd.exec(5).
pub(super) fn credentials() -> Option<OsString> {
    std::env::var_os("CREDENTIALS_DIRECTORY")
}

//! Lets a running sshd learn a key that was made after it started.
//!
//! OpenSSH before 9.8 reads its keys for every connection (sshd re-executes itself): nothing needs to be done, and that
//! is found out by asking it. Since 9.8 only the listener reads them, at its start: SIGHUP makes it close its sockets,
//! execute itself and listen again (sighup_restart in sshd.c), and connections are refused for that moment. No other
//! way was found: while its own socket lives on in another process, sshd cannot bind and ends (it sets no
//! SO_REUSEPORT). Where systemd holds the socket, the service is restarted and nobody is refused.

use std::time::Duration;

use ssh_key::HashAlg;
use tokio::sync::Notify;

use super::probe::probe;
use super::{SshdConfig, algorithm_of};
use crate::bus::{Bus, BusError};
use crate::keys::{self, KeyType};
use crate::sys::{Machine, Stopwatch, listening_sockets};

/// So long sshd may take to read its keys again; it takes some 50 ms.
const RELOAD_LIMIT: Duration = Duration::from_secs(5);
/// So long sshd may take to start before it is asked to read the new key.
const START_LIMIT: Duration = Duration::from_secs(15);
/// The running SSH server's unit, by the names of Debian and of everybody else; one is often an alias of the other.
const SERVICES: [&str; 2] = ["ssh.service", "sshd.service"];
/// Sockets that may hold its port for it.
const SOCKETS: [&str; 2] = ["ssh.socket", "sshd.socket"];

/// Told when this process has let sshd read its keys: the check that waits for that need not ask sshd all the time.
pub(crate) static KEYS_READ: Notify = Notify::const_new();

/// Lets a running sshd read the keys of these types; one that does not run reads them when it starts.
///
/// Returns when sshd listens again. Whether it serves the keys is for the readiness check to say.
///
/// # Errors
/// systemd cannot be asked, or refuses.
pub(crate) async fn let_sshd_read_keys(
    machine: &Machine,
    bus: &Bus,
    kinds: &[KeyType],
) -> Result<(), BusError> {
    let done = read_keys(machine, bus, kinds).await;
    KEYS_READ.notify_one();
    done
}

async fn read_keys(machine: &Machine, bus: &Bus, kinds: &[KeyType]) -> Result<(), BusError> {
    let Some(unit) = running(bus).await? else { return Ok(()) };
    let config = SshdConfig::load(&machine.root);
    if serves(machine, &config, kinds).await {
        return Ok(());
    }
    reload(bus, &config, unit).await
}

/// After a change of its configuration, which sshd re-reads only so.
///
/// # Errors
/// As [`let_sshd_read_keys`].
pub(crate) async fn let_sshd_read_configuration(machine: &Machine, bus: &Bus) -> Result<(), BusError> {
    let Some(unit) = running(bus).await? else { return Ok(()) };
    reload(bus, &SshdConfig::load(&machine.root), unit).await
}

/// Whether sshd serves the keys of these types that stand on the disk.
async fn serves(machine: &Machine, config: &SshdConfig, kinds: &[KeyType]) -> bool {
    let (Ok(found), Some((host, port))) = (keys::scan(&machine.root), config.endpoints().first().copied())
    else {
        return false;
    };
    for kind in kinds {
        let Some(key) = found.of_type(*kind).and_then(keys::KeyFile::key) else { return false };
        let Some(algorithm) = algorithm_of(key) else { return false };
        let served = probe(machine, host, port, algorithm).await;
        let fingerprint = |key: &ssh_key::PublicKey| key.fingerprint(HashAlg::Sha256);
        if !served.is_ok_and(|served| fingerprint(&served.key) == fingerprint(key)) {
            return false;
        }
    }
    true
}

async fn reload(bus: &Bus, config: &SshdConfig, unit: &str) -> Result<(), BusError> {
    for socket in SOCKETS {
        // sshd that took its sockets from systemd ends at SIGHUP ("Cannot bind any address", tried on Debian 13) and
        // is restarted; systemd keeps the socket meanwhile.
        if bus.active_state(socket).await?.as_deref() == Some("active") {
            return bus.restart(unit).await;
        }
    }
    let ports: Vec<u16> = config.endpoints().into_iter().map(|(_, port)| port).collect();
    let before = listening_sockets(&ports);
    bus.reload(unit).await?;
    // Nobody shall be told that this guest is ready until the moment without a socket is over.
    let watch = Stopwatch::start();
    while watch.elapsed() < RELOAD_LIMIT {
        let now = listening_sockets(&ports);
        if !now.is_empty() && now.is_disjoint(&before) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

/// The first unit that runs, once it has started: it may have read its keys before the new one was there.
async fn running(bus: &Bus) -> Result<Option<&'static str>, BusError> {
    for unit in SERVICES {
        let watch = Stopwatch::start();
        let mut state = bus.active_state(unit).await?;
        while state.as_deref() == Some("activating") && watch.elapsed() < START_LIMIT {
            tokio::time::sleep(Duration::from_millis(100)).await;
            state = bus.active_state(unit).await?;
        }
        if state.as_deref() == Some("active") {
            return Ok(Some(unit));
        }
    }
    Ok(None)
}

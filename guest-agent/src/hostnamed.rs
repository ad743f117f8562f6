//! Tells systemd-hostnamed of a name that the early phase set with files alone, or could not set.
//!
//! Source: org.freedesktop.hostname1(5). Every call and the connection itself are under one time limit: a listening bus
//! socket with nobody behind it must not hold the report.

use std::time::Duration;

use zbus::{Connection, OwnedVariant};

pub(crate) const SYSTEM_BUS: &str = "unix:path=/run/dbus/system_bus_socket";
/// hostnamed is started on demand, in its own namespaces; that takes some 100 ms.
pub(crate) const TIME_LIMIT: Duration = Duration::from_secs(5);
const NAME: &str = "org.freedesktop.hostname1";
const PATH: &str = "/org/freedesktop/hostname1";

#[derive(Debug, thiserror::Error)]
pub(crate) enum HostnamedError {
    #[error("hostnamed did not answer within {} ms", limit.as_millis())]
    Timeout { limit: Duration },
    #[error("hostnamed cannot be asked")]
    Bus(#[source] Box<zbus::Error>),
}

impl From<zbus::Error> for HostnamedError {
    fn from(error: zbus::Error) -> Self {
        Self::Bus(Box::new(error))
    }
}

/// What hostnamed says of this machine's name.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Known {
    transient: String,
    fixed: String,
}

/// The methods to call so that both names are the expected one. Pure. The fixed name first: it brings the other along.
fn missing(known: &Known, expected: &str) -> Vec<&'static str> {
    let fixed = (known.fixed != expected).then_some("SetStaticHostname");
    let transient = (known.transient != expected).then_some("SetHostname");
    fixed.into_iter().chain(transient).collect()
}

/// Makes hostnamed's names the expected one. Returns whether something had to be set.
///
/// # Errors
/// No bus, nobody behind it in time, or hostnamed refuses.
pub(crate) async fn settle(address: &str, limit: Duration, expected: &str) -> Result<bool, HostnamedError> {
    let work = async {
        let bus = zbus::connection::Builder::address(address).build().await?;
        let mut set = false;
        // A second look: setting the fixed name may have set the other one, or the kernel's may hold it back.
        for _ in 0..2 {
            let known = Known {
                transient: property(&bus, "Hostname").await?,
                fixed: property(&bus, "StaticHostname").await?,
            };
            let Some(method) = missing(&known, expected).first().copied() else { break };
            // Without asking anybody for a password.
            bus.call_method(Some(NAME), PATH, Some(NAME), method, &(expected, false)).await?;
            set = true;
        }
        Ok(set)
    };
    tokio::time::timeout(limit, work).await.unwrap_or(Err(HostnamedError::Timeout { limit }))
}

async fn property(bus: &Connection, name: &str) -> Result<String, zbus::Error> {
    let properties = Some("org.freedesktop.DBus.Properties");
    let answer = bus.call_method(Some(NAME), PATH, properties, "Get", &(NAME, name)).await?;
    let value: OwnedVariant = answer.body().deserialize()?;
    String::try_from(value)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::time::Instant;

    use super::*;

    fn run<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
    }

    #[test]
    fn only_what_differs_is_set() {
        let known = |transient: &str, fixed: &str| Known { transient: transient.into(), fixed: fixed.into() };
        for (state, methods) in [
            (known("web-01", "web-01"), vec![]),
            (known("golden", "web-01"), vec!["SetHostname"]),
            (known("web-01", ""), vec!["SetStaticHostname"]),
            (known("golden", "golden"), vec!["SetStaticHostname", "SetHostname"]),
        ] {
            assert_eq!(missing(&state, "web-01"), methods, "{state:?}");
        }
    }

    #[test]
    fn a_bus_socket_with_nobody_behind_it_does_not_hang_us() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bus");
        let _listener = UnixListener::bind(&path).unwrap();
        let started = Instant::now();
        let limit = Duration::from_millis(300);
        let answer = run(settle(&format!("unix:path={}", path.display()), limit, "web-01"));
        assert!(matches!(answer, Err(HostnamedError::Timeout { .. })), "{answer:?}");
        assert!(started.elapsed() >= limit && started.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn no_bus_is_an_error_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let address = format!("unix:path={}/none", folder.path().display());
        assert!(matches!(run(settle(&address, TIME_LIMIT, "web-01")), Err(HostnamedError::Bus(_))));
    }
}

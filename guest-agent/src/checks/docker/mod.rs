//! `docker`, `restart-policy` and `replicas`: a Docker daemon and what runs under it, over its unix socket.
//!
//! Nothing is ever pulled. Source: the Engine API, docs/api/v1.41.yaml of moby.

mod api;
mod replicas;
mod restart;
mod run;

pub(super) use replicas::{Replicas, look as look_at_replicas};
pub(super) use restart::{RestartPolicy, look as look_at_restart};

use std::time::Duration;

use serde::Deserialize;

use self::api::{Daemon, DaemonError};
use super::Look;
use super::value::{AbsolutePath, OneOrMore};
use crate::config::Span;

const RUN_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Docker {
    #[serde(default)]
    socket: Socket,
    /// Engines name the same driver differently: `overlay2`, and `overlayfs` with the containerd image store.
    storage_driver: Option<OneOrMore>,
    /// An image that is there already, run once to its end.
    run: Option<String>,
    timeout: Option<Span>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
struct Socket(AbsolutePath);

impl Default for Socket {
    fn default() -> Self {
        Self(AbsolutePath("/run/docker.sock".to_owned()))
    }
}

impl Socket {
    fn daemon(&self) -> Daemon<'_> {
        Daemon::new(&self.0.0)
    }
}

impl Docker {
    /// So long a run may take; none if nothing is run.
    pub(super) fn run_limit(&self) -> Option<Duration> {
        self.run.as_ref().map(|_| self.timeout.map_or(RUN_TIMEOUT, |span| span.0))
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Info {
    driver: String,
    #[serde(default)]
    server_version: String,
}

pub(super) async fn look(keys: &Docker) -> Look {
    let daemon = keys.socket.daemon();
    let info: Info = match daemon.get("/info").await {
        Ok(info) => info,
        Err(error) => return error.look(),
    };
    let seen = match judge(keys, &info) {
        Ok(seen) => seen,
        Err(problem) => return Look::not_yet(problem),
    };
    let Some((image, limit)) = keys.run.as_ref().zip(keys.run_limit()) else { return Look::pass(seen) };
    match run::once(&daemon, image, limit).await {
        Ok(()) => Look::pass(format!("{seen}, {image} ran")),
        Err(error) => error.look(),
    }
}

fn judge(keys: &Docker, info: &Info) -> Result<String, String> {
    let seen = format!("docker {} with storage driver {}", info.server_version, info.driver);
    match &keys.storage_driver {
        Some(wanted) if !wanted.as_slice().contains(&info.driver) => {
            Err(format!("{seen}, not {}", wanted.as_slice().join(" or ")))
        }
        _ => Ok(seen),
    }
}

impl DaemonError {
    /// A daemon that is not there fails; one that answers what we do not understand, or to which we may not speak, is
    /// unknown.
    fn look(&self) -> Look {
        use firstlight_shared::error::Chain;
        let reason = Chain(self).to_string();
        match self {
            Self::Connect { source, .. } if source.kind() != std::io::ErrorKind::PermissionDenied => {
                Look::not_yet(reason)
            }
            Self::Refused { .. } | Self::Run(_) => Look::not_yet(reason),
            _ => Look::cannot_tell(reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_of_the_wanted_storage_drivers_will_do() {
        let info = |driver: &str| Info { driver: driver.into(), server_version: "1".into() };
        let check = |keys: &str| toml::from_str::<Docker>(keys).unwrap();
        let both = check("storage_driver = [\"overlay2\", \"overlayfs\"]");
        assert!(judge(&both, &info("overlay2")).is_ok());
        assert!(judge(&both, &info("overlayfs")).is_ok());
        assert!(judge(&both, &info("vfs")).is_err());
        assert!(judge(&check("storage_driver = \"vfs\""), &info("vfs")).is_ok());
        assert!(judge(&check(""), &info("any")).is_ok());
        assert_eq!(check("").run_limit(), None);
        assert_eq!(check("run = \"x\"").run_limit(), Some(RUN_TIMEOUT));
    }
}

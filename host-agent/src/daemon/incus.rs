//! What the backend `incus` is told: reads certificates, keys and authorities, which the configuration only names.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use firstlight_shared::error::Code;

use super::pins::{AuthorityError, pin};
use crate::backend::incus::client::call::Limits;
use crate::backend::incus::client::link::{ClientCertificate, IdentityError, Place, Server};
use crate::backend::incus::client::verdict::Patience;
use crate::backend::incus::client::{Settings as ClientSettings, SettingsError};
use crate::backend::incus::{Defaults, IncusConfig};
use crate::backend::link::Reports;
use crate::config::{IncusSettings, RemotePlace, RemoteSettings, SecretError, Settings};

#[derive(Debug, thiserror::Error)]
pub enum IncusError {
    #[error("the key of the remote `{remote}` cannot be read")]
    Key {
        remote: String,
        #[source]
        source: SecretError,
    },
    #[error("the certificate {path} of the remote `{remote}` cannot be read")]
    Certificate {
        remote: String,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("certificate and key of the remote `{remote}` cannot be used")]
    Identity {
        remote: String,
        #[source]
        source: IdentityError,
    },
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    #[error("its client cannot be made")]
    Client(#[source] SettingsError),
}

impl Code for IncusError {
    fn code(&self) -> &'static str {
        match self {
            Self::Key { source, .. } => source.code(),
            Self::Certificate { .. } | Self::Identity { .. } => "incus-certificate",
            Self::Authority(_) => "incus-authority",
            Self::Client(_) => "incus-settings",
        }
    }
}

impl IncusError {
    /// What the operator can do.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Key { source: SecretError::NoCredential { .. }, .. } => {
                "only the service gets credentials: ask it (`systemctl start firstlight`), or name a file"
            }
            Self::Key { .. } => {
                "the key's file is for the companion's user alone: chmod 0600, chown firstlight"
            }
            Self::Certificate { .. } | Self::Identity { .. } => {
                "PEM is wanted, the certificate that `incus config trust list` on the server shows, and its key"
            }
            Self::Authority(_) => {
                "`ca` and `server_certificate` name files of PEM that the companion's user can read"
            }
            Self::Client(_) => {
                "`firstlight config check` shows the values of [incus] and where they came from"
            }
        }
    }
}

/// None: the configuration has no `[incus]`. `credentials` is systemd's folder, if there is one.
///
/// # Errors
/// A file that is named cannot be used.
pub fn incus_config(
    settings: &Settings,
    credentials: Option<&OsStr>,
) -> Result<Option<IncusConfig>, IncusError> {
    let Some(incus) = &settings.incus else { return Ok(None) };
    let remotes = incus.remotes.iter().map(|remote| remote_config(remote, credentials));
    let remotes = remotes.collect::<Result<Vec<_>, _>>()?;
    let reports = Reports { url: settings.reports.url.clone(), port: settings.reports.listen.port() };
    Ok(Some(IncusConfig { remotes, defaults: defaults(incus), reports }))
}

fn remote_config(
    settings: &RemoteSettings,
    credentials: Option<&OsStr>,
) -> Result<ClientSettings, IncusError> {
    let remote = settings.name.clone();
    let place = match &settings.place {
        RemotePlace::Socket(path) => Place::Socket(path.clone()),
        RemotePlace::Server { address, pin: known_by, certificate, key, proxy } => {
            let key =
                key.read(credentials).map_err(|source| IncusError::Key { remote: remote.clone(), source })?;
            let pem = read(&remote, certificate)?;
            let certificate = ClientCertificate::parse(&pem, &key)
                .map_err(|source| IncusError::Identity { remote: remote.clone(), source })?;
            Place::Server(Server {
                address: address.clone(),
                pin: pin(known_by)?,
                certificate,
                proxy: proxy.clone(),
            })
        }
    };
    Ok(ClientSettings {
        name: remote,
        place,
        project: settings.project.clone(),
        limits: Limits::default(),
        patience: Patience::default(),
    })
}

fn read(remote: &str, path: &Path) -> Result<Vec<u8>, IncusError> {
    std::fs::read(path).map_err(|source| IncusError::Certificate {
        remote: remote.to_owned(),
        path: path.to_owned(),
        source,
    })
}

fn defaults(incus: &IncusSettings) -> Defaults {
    Defaults { profiles: incus.profiles.clone(), pool: incus.pool.clone(), network: incus.network.clone() }
}

//! What the backend `proxmox` is told: reads its token and authority, which the configuration only names.

use std::ffi::OsStr;

use firstlight_shared::error::Code;

use super::pins::{AuthorityError, pin};
use crate::backend::link::Reports;
use crate::backend::proxmox::client::call::Limits;
use crate::backend::proxmox::client::link::{ApiToken, TokenError};
use crate::backend::proxmox::client::verdict::Patience;
use crate::backend::proxmox::client::{Settings as ClientSettings, SettingsError};
use crate::backend::proxmox::{Defaults, ProxmoxConfig};
use crate::config::{ProxmoxSettings, SecretError, SecretFile, Settings};

#[derive(Debug, thiserror::Error)]
pub enum ProxmoxError {
    #[error("its token cannot be read")]
    Token(#[source] SecretError),
    #[error("{place} holds no token")]
    BadToken {
        place: SecretFile,
        #[source]
        source: TokenError,
    },
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    #[error("its client cannot be made")]
    Client(#[source] SettingsError),
}

impl Code for ProxmoxError {
    fn code(&self) -> &'static str {
        match self {
            Self::Token(error) => error.code(),
            Self::BadToken { .. } => "proxmox-token",
            Self::Authority(_) => "proxmox-authority",
            Self::Client(_) => "proxmox-settings",
        }
    }
}

impl ProxmoxError {
    /// What the operator can do.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Token(SecretError::NoCredential { .. }) => {
                "only the service gets credentials: ask it (`systemctl start firstlight`), or name a file with proxmox.token"
            }
            Self::Token(_) => {
                "proxmox.token names a file that only the companion's user may read: chmod 0600, chown firstlight"
            }
            Self::BadToken { .. } => {
                "one line is wanted, USER@REALM!NAME=SECRET: `pveum user token add` shows the secret once"
            }
            Self::Authority(_) => {
                "proxmox.ca names a copy of a node's /etc/pve/pve-root-ca.pem, readable for the companion's user"
            }
            Self::Client(_) => {
                "`firstlight config check` shows the values of [proxmox] and where they came from"
            }
        }
    }
}

/// None: the configuration has no `[proxmox]`. `credentials` is systemd's folder, if there is one.
///
/// # Errors
/// A file that is named cannot be used.
pub fn proxmox_config(
    settings: &Settings,
    credentials: Option<&OsStr>,
) -> Result<Option<ProxmoxConfig>, ProxmoxError> {
    let Some(proxmox) = &settings.proxmox else { return Ok(None) };
    let secret = proxmox.token.read(credentials).map_err(ProxmoxError::Token)?;
    let token = ApiToken::parse(&secret)
        .map_err(|source| ProxmoxError::BadToken { place: proxmox.token.clone(), source })?;
    let client = ClientSettings {
        addresses: proxmox.addresses.clone(),
        pin: pin(&proxmox.pin)?,
        token,
        limits: Limits::default(),
        patience: Patience::default(),
    };
    let reports = Reports { url: settings.reports.url.clone(), port: settings.reports.listen.port() };
    Ok(Some(ProxmoxConfig { client, defaults: defaults(proxmox), reports }))
}

fn defaults(proxmox: &ProxmoxSettings) -> Defaults {
    Defaults {
        node: proxmox.node.clone(),
        storage: proxmox.storage.clone(),
        pool: proxmox.pool.clone(),
        bridge: proxmox.bridge.clone(),
        vmids: proxmox.vmids.clone(),
        tags: proxmox.tags.clone(),
        allow_root_lines: proxmox.allow_root_lines,
    }
}

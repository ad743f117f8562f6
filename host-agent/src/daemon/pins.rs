//! What servers are known by, as the configuration says: reads the files of authorities, which it only names.

use std::path::PathBuf;

use crate::backend::link::pin::{Pin, PinError};
use crate::config::PinSettings;

/// Of a file of PEM: an authority's, or servers' own certificates.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    #[error("the authority's file {path} cannot be read")]
    Unreadable {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the authority's file {path} cannot be used")]
    Unusable {
        path: PathBuf,
        #[source]
        source: PinError,
    },
}

/// Of PEM.
type Read = fn(&[u8]) -> Result<Pin, PinError>;

pub(super) fn pin(settings: &PinSettings) -> Result<Pin, AuthorityError> {
    let (path, read) = match settings {
        PinSettings::Keys(keys) => return Ok(Pin::Keys(keys.clone())),
        PinSettings::Leaves(leaves) => return Ok(Pin::Leaves(leaves.clone())),
        PinSettings::Authority(path) => (path, Pin::authority as Read),
        PinSettings::Servers(path) => (path, Pin::servers as Read),
    };
    let pem =
        std::fs::read(path).map_err(|source| AuthorityError::Unreadable { path: path.clone(), source })?;
    read(&pem).map_err(|source| AuthorityError::Unusable { path: path.clone(), source })
}

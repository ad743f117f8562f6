//! Secrets as a spec writes them. Pure: no source is looked at.

use std::path::{Path, PathBuf};

use firstlight_shared::ids::GuestName;
use serde::Deserialize;

use super::SpecError;
use super::entry::Place;
use crate::backend::{FileMode, Owner, SecretPlan, SecretSource, secrets_problem};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SecretEntry {
    path: PathBuf,
    file: Option<PathBuf>,
    command: Option<Vec<String>>,
    mode: Option<String>,
    owner: Option<String>,
    allow_env: Option<bool>,
}

/// A relative `file` is looked for beside the spec.
pub(super) fn resolve_secrets(
    entries: &[SecretEntry],
    folder: &Path,
    place: &Place<'_>,
) -> Result<Vec<SecretPlan>, SpecError> {
    let secrets = entries.iter().map(|entry| entry.resolve(folder, place)).collect::<Result<Vec<_>, _>>()?;
    match secrets_problem(&secrets) {
        None => Ok(secrets),
        Some((field, value, problem)) => Err(place.wrong(field, value, &problem)),
    }
}

/// `{name}` in sources is this guest's.
pub(super) fn secrets_of(secrets: &[SecretPlan], name: &GuestName) -> Vec<SecretPlan> {
    let of_guest =
        |secret: &SecretPlan| SecretPlan { source: secret.source.of_guest(name), ..secret.clone() };
    secrets.iter().map(of_guest).collect()
}

impl SecretEntry {
    fn resolve(&self, folder: &Path, place: &Place<'_>) -> Result<SecretPlan, SpecError> {
        let shown = self.path.to_string_lossy();
        let source = match (&self.file, &self.command) {
            (Some(file), None) => SecretSource::File(folder.join(file)),
            (None, Some(words)) => SecretSource::Command(words.clone()),
            (Some(_), Some(_)) => {
                return Err(place.wrong("secrets", shown, "`file` and `command` exclude each other"));
            }
            (None, None) => {
                let problem = "every secret comes from a `file` or a `command` of the companion's machine";
                return Err(place.wrong("secrets", shown, problem));
            }
        };
        let mode = match &self.mode {
            Some(text) => {
                text.parse::<FileMode>().map_err(|problem| place.wrong("secrets.mode", text, problem))?
            }
            None => FileMode::default(),
        };
        let owner = match &self.owner {
            Some(text) => {
                text.parse::<Owner>().map_err(|problem| place.wrong("secrets.owner", text, problem))?
            }
            None => Owner::default(),
        };
        let allow_env = self.allow_env.unwrap_or_default();
        Ok(SecretPlan { path: self.path.clone(), mode, owner, source, allow_env })
    }
}

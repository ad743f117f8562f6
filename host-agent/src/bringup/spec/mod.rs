//! The spec: what the operator wants, in TOML. Unknown keys are errors that show the line.
//!
//! `[[guest]]` names guests by `name`, by a `name` with `{n}` and `count` (and `first`), or by the list `names`.
//! `[defaults]` holds keys that guests have unless they say otherwise; a table (`readiness`) is taken key by key, a list
//! whole. The result is resolved: nothing in a [`GuestSpec`] depends on where it was read, so that two applications of
//! one file can be compared.

mod change;
mod entry;
mod seat;
mod secrets;
mod units;

use std::path::{Path, PathBuf};

use firstlight_shared::error::Code;
use firstlight_shared::ids::IdError;
use serde::{Deserialize, Serialize};

pub use self::change::Change;
pub(super) use self::change::ChangeSpec;
use self::entry::Entry;
pub use self::units::{parse_duration, parse_size, parse_span};
use crate::backend::{Adopted, GuestPlan};

/// In bytes.
const MAX_SPEC: u64 = 1 << 20;

/// One guest, resolved: what a job's journal keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct GuestSpec {
    pub backend: String,
    pub plan: GuestPlan,
    pub keep_on_failure: bool,
    /// How long to wait for the report, in milliseconds from the guest's start.
    pub timeout_ms: u64,
    pub require: Vec<String>,
    /// How long the whole bring-up may take, in milliseconds from its first step's start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
    /// How long the guest lives from when it is ready, in milliseconds. None: until somebody destroys it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destroy_after_ms: Option<u64>,
    /// What the golden looked like when the job was made (see [`crate::backend::Backend::golden_mark`]). Set by the
    /// companion, never by whoever submits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub golden_mark: Option<String>,
    /// The guest that somebody else made, as it was found when the job was made: it is only waited for. Set by the
    /// companion, never by whoever submits; see [`super::WaitFor`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub adopt: Option<Adopted>,
    /// SHA-256 of reports that do not count any more, in hexadecimal digits (the first 24 of one that only a beacon named):
    /// what was on record when the guest was to be waited for again. Set by the companion.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub newer_than: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    #[error("{path} cannot be read")]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{path} is not a spec")]
    Toml {
        path: PathBuf,
        #[source]
        source: Box<toml::de::Error>,
    },
    #[error("{path}: a spec needs at least one [[guest]]")]
    Empty { path: PathBuf },
    /// `whose` is a guest as the spec names it, or `[defaults]`.
    #[error("{path}: {whose}: {field} = {value}: {problem}")]
    Value { path: PathBuf, whose: String, field: &'static str, value: String, problem: String },
    #[error("{path}: guest `{guest}`")]
    Name {
        path: PathBuf,
        guest: String,
        #[source]
        source: IdError,
    },
    #[error("{path}: two guests are called `{guest}`")]
    Twice { path: PathBuf, guest: String },
}

impl Code for SpecError {
    fn code(&self) -> &'static str {
        match self {
            Self::Read { .. } => "spec-missing",
            Self::Toml { .. } => "spec-syntax",
            Self::Empty { .. } => "spec-empty",
            Self::Value { .. } | Self::Name { .. } => "spec-value",
            Self::Twice { .. } => "spec-duplicate",
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SpecFile {
    #[serde(default)]
    defaults: Entry,
    #[serde(default)]
    guest: Vec<Entry>,
}

/// Reads a spec file; a relative golden is looked for beside it.
pub fn load_spec(path: &Path) -> Result<Vec<GuestSpec>, SpecError> {
    let text = read(path).map_err(|source| SpecError::Read { path: path.to_owned(), source })?;
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = folder.canonicalize().map_err(|source| SpecError::Read { path: path.to_owned(), source })?;
    parse_spec(&text, path, &folder)
}

/// A regular file of a sensible size: a device or a fifo would hold us for ever.
fn read(path: &Path) -> std::io::Result<String> {
    let found = std::fs::metadata(path)?;
    if !found.is_file() {
        return Err(std::io::Error::other("it is not a file"));
    }
    if found.len() > MAX_SPEC {
        return Err(std::io::Error::other("it is larger than 1 MiB"));
    }
    std::fs::read_to_string(path)
}

/// Parses a spec. `path` is for messages, `folder` for relative goldens.
pub fn parse_spec(text: &str, path: &Path, folder: &Path) -> Result<Vec<GuestSpec>, SpecError> {
    let file: SpecFile = toml::from_str(text)
        .map_err(|source| SpecError::Toml { path: path.to_owned(), source: Box::new(source) })?;
    file.defaults.check_defaults(path)?;
    let mut guests: Vec<GuestSpec> = Vec::new();
    let mut names = std::collections::HashSet::new();
    let mut numbers = std::collections::HashSet::new();
    for entry in file.guest {
        for guest in entry.over(&file.defaults).resolve(path, folder)? {
            if !names.insert(guest.plan.name.clone()) {
                return Err(SpecError::Twice { path: path.to_owned(), guest: guest.plan.name.to_string() });
            }
            if let Some(vmid) = guest.plan.place.vmid
                && !numbers.insert((guest.backend.clone(), vmid))
            {
                return Err(SpecError::Twice { path: path.to_owned(), guest: vmid.to_string() });
            }
            guests.push(guest);
        }
    }
    if guests.is_empty() {
        return Err(SpecError::Empty { path: path.to_owned() });
    }
    Ok(guests)
}

#[cfg(test)]
mod tests;

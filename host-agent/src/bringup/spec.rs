//! The spec: what the operator wants, in TOML. Unknown keys are errors that show the line.

use std::path::{Path, PathBuf};
use std::time::Duration;

use firstlight_shared::error::Code;
use firstlight_shared::ids::{GuestName, IdError};
use firstlight_shared::wire::Intent;
use serde::{Deserialize, Serialize};

use crate::backend::{GuestPlan, Mount, Size};

/// The largest `count`; a typing error must not fill a disk.
const MAX_COUNT: u32 = 100;
/// In bytes.
const MAX_SPEC: u64 = 1 << 20;

/// One guest, resolved: what a job's journal keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct GuestSpec {
    pub backend: String,
    pub plan: GuestPlan,
    #[schema(value_type = String, example = "provision")]
    pub intent: Intent,
    pub keep_on_failure: bool,
    /// How long to wait for the report, in milliseconds from the guest's start.
    pub timeout_ms: u64,
    pub require: Vec<String>,
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
    #[error("{path}: guest `{guest}`: {field} = {value}: {problem}")]
    Value { path: PathBuf, guest: String, field: &'static str, value: String, problem: String },
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
    guest: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    count: Option<u32>,
    #[serde(default = "local")]
    backend: String,
    golden: PathBuf,
    cores: Option<u32>,
    memory: Option<String>,
    disk: Option<String>,
    #[serde(default)]
    mounts: Vec<MountEntry>,
    #[serde(default)]
    intent: Intent,
    #[serde(default)]
    on_failure: OnFailure,
    #[serde(default)]
    readiness: Readiness,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MountEntry {
    path: PathBuf,
    size: Option<String>,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum OnFailure {
    #[default]
    Rollback,
    Keep,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Readiness {
    timeout: Option<String>,
    #[serde(default)]
    require: Vec<String>,
}

fn local() -> String {
    "local".to_owned()
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
    let mut guests: Vec<GuestSpec> = Vec::new();
    for entry in &file.guest {
        for guest in entry.resolve(path, folder)? {
            if guests.iter().any(|other| other.plan.name == guest.plan.name) {
                return Err(SpecError::Twice { path: path.to_owned(), guest: guest.plan.name.to_string() });
            }
            guests.push(guest);
        }
    }
    if guests.is_empty() {
        return Err(SpecError::Empty { path: path.to_owned() });
    }
    Ok(guests)
}

impl Entry {
    fn resolve(&self, path: &Path, folder: &Path) -> Result<Vec<GuestSpec>, SpecError> {
        let wrong = |field, value: &str, problem: &str| SpecError::Value {
            path: path.to_owned(),
            guest: self.name.clone(),
            field,
            value: format!("{value:?}"),
            problem: problem.to_owned(),
        };
        let size = |field, text: &Option<String>| match text {
            Some(text) => match parse_size(text) {
                Some(bytes) => Ok(Some(bytes)),
                None => Err(wrong(field, text, "a number with K, M, G or T is wanted, `512M` for one")),
            },
            None => Ok(None),
        };
        let timeout = self.readiness.timeout.as_deref().unwrap_or("120s");
        let timeout = parse_duration(timeout)
            .ok_or_else(|| wrong("readiness.timeout", timeout, "1s to 24h is wanted, `90s` for one"))?;
        if self.backend != "local" {
            return Err(wrong("backend", &self.backend, "this version knows `local` only"));
        }
        let mut mounts = Vec::new();
        for mount in &self.mounts {
            let shown = mount.path.display().to_string();
            let clean = mount.path.is_absolute()
                && mount
                    .path
                    .components()
                    .skip(1)
                    .all(|part| matches!(part, std::path::Component::Normal(_)))
                && !shown.contains([':', '\n'])
                && shown.len() > 1;
            if !clean {
                return Err(wrong(
                    "mounts.path",
                    &shown,
                    "an absolute path below `/` without `..` and `:` is wanted",
                ));
            }
            if mounts.iter().any(|other: &Mount| other.path == mount.path) {
                return Err(wrong("mounts.path", &shown, "two volumes cannot be mounted at one place"));
            }
            mounts.push(Mount { path: mount.path.clone(), size_bytes: size("mounts.size", &mount.size)? });
        }
        let plan_size = Size {
            cores: self.cores,
            memory_bytes: size("memory", &self.memory)?,
            disk_bytes: size("disk", &self.disk)?,
        };

        let names = self.names(path)?;
        let guest = |name| GuestSpec {
            backend: self.backend.clone(),
            plan: GuestPlan {
                name,
                golden: folder.join(&self.golden),
                mounts: mounts.clone(),
                size: plan_size.clone(),
            },
            intent: self.intent,
            keep_on_failure: self.on_failure == OnFailure::Keep,
            timeout_ms: u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX),
            require: self.readiness.require.clone(),
        };
        Ok(names.into_iter().map(guest).collect())
    }

    /// `web-{n}` with `count = 3` is web-01, web-02, web-03.
    fn names(&self, path: &Path) -> Result<Vec<GuestName>, SpecError> {
        let name = |text: String| {
            text.parse().map_err(|source| SpecError::Name {
                path: path.to_owned(),
                guest: text.clone(),
                source,
            })
        };
        let wrong = |value: u32, problem: &str| SpecError::Value {
            path: path.to_owned(),
            guest: self.name.clone(),
            field: "count",
            value: value.to_string(),
            problem: problem.to_owned(),
        };
        match (self.name.contains("{n}"), self.count) {
            (false, None | Some(1)) => Ok(vec![name(self.name.clone())?]),
            (false, Some(count)) => {
                Err(wrong(count, "several guests need `{n}` in their name, `web-{n}` for one"))
            }
            (true, None) => Err(SpecError::Value {
                path: path.to_owned(),
                guest: self.name.clone(),
                field: "count",
                value: "(nothing)".to_owned(),
                problem: "a name with `{n}` needs a count".to_owned(),
            }),
            (true, Some(count)) if count == 0 || count > MAX_COUNT => {
                Err(wrong(count, &format!("1 to {MAX_COUNT} is wanted")))
            }
            (true, Some(count)) => {
                (1..=count).map(|n| name(self.name.replace("{n}", &format!("{n:02}")))).collect()
            }
        }
    }
}

/// `512M`: K, M, G, T are powers of 1024, as on Proxmox.
fn parse_size(text: &str) -> Option<u64> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let factor = match unit {
        "K" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        "T" => 1u64 << 40,
        _ => return None,
    };
    digits.parse::<u64>().ok().filter(|number| *number > 0)?.checked_mul(factor)
}

/// `90s`, `5m`, `1h`; up to a day.
fn parse_duration(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let factor = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return None,
    };
    let seconds = digits.parse::<u64>().ok()?.checked_mul(factor)?;
    (1..=86_400).contains(&seconds).then(|| Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests;

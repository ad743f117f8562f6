//! One `[[guest]]` as it is written, and the guests that it means.

use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use firstlight_shared::ids::GuestName;
use firstlight_shared::wire::Intent;
use serde::Deserialize;

use super::units::{parse_duration, parse_size};
use super::{GuestSpec, SpecError};
use crate::backend::{GuestPlan, Mount, Place as Seat, Size};

/// The largest `count`; a typing error must not fill a disk.
const MAX_COUNT: u32 = 100;
/// The largest number in a name.
const MAX_NUMBER: u32 = 99_999;
const TIMEOUT: Duration = Duration::from_secs(120);
/// What a bring-up may take beside the wait for its report, where the spec says nothing.
const WORK: Duration = Duration::from_secs(2 * 3600);

/// Keys of `[[guest]]`, and, without those that name guests, of `[defaults]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    name: Option<String>,
    names: Option<Vec<String>>,
    count: Option<u32>,
    first: Option<u32>,
    backend: Option<String>,
    golden: Option<PathBuf>,
    cores: Option<u32>,
    memory: Option<String>,
    disk: Option<String>,
    mounts: Option<Vec<MountEntry>>,
    intent: Option<Intent>,
    on_failure: Option<OnFailure>,
    deadline: Option<String>,
    #[serde(default)]
    readiness: Readiness,
    /// Keys that other backends will serve: known, so that they are refused for what they are.
    kind: Option<toml::Value>,
    nics: Option<toml::Value>,
    lifecycle: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct MountEntry {
    path: PathBuf,
    size: Option<String>,
    backup: Option<bool>,
}

#[derive(Debug, Clone, Copy, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum OnFailure {
    Rollback,
    Keep,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Readiness {
    timeout: Option<String>,
    require: Option<Vec<String>>,
}

/// For messages.
struct Place<'a> {
    path: &'a Path,
    whose: String,
}

impl Place<'_> {
    fn wrong(&self, field: &'static str, value: impl std::fmt::Debug, problem: &str) -> SpecError {
        SpecError::Value {
            path: self.path.to_owned(),
            whose: self.whose.clone(),
            field,
            value: format!("{value:?}"),
            problem: problem.to_owned(),
        }
    }

    fn size(&self, field: &'static str, text: Option<&String>) -> Result<Option<u64>, SpecError> {
        let Some(text) = text else { return Ok(None) };
        let bytes = parse_size(text);
        let bytes = bytes
            .ok_or_else(|| self.wrong(field, text, "a number with K, M, G or T is wanted, `512M` for one"))?;
        Ok(Some(bytes))
    }

    fn duration(&self, field: &'static str, text: Option<&String>) -> Result<Option<Duration>, SpecError> {
        let Some(text) = text else { return Ok(None) };
        let parsed = parse_duration(text);
        Ok(Some(parsed.ok_or_else(|| self.wrong(field, text, "1s to 24h is wanted, `90s` for one"))?))
    }

    fn name(&self, text: String) -> Result<GuestName, SpecError> {
        text.parse().map_err(|source| SpecError::Name { path: self.path.to_owned(), guest: text, source })
    }
}

impl Entry {
    /// Defaults that name a guest would make all guests the same one.
    pub(super) fn check_defaults(&self, path: &Path) -> Result<(), SpecError> {
        let naming = [
            ("name", self.name.is_some()),
            ("names", self.names.is_some()),
            ("count", self.count.is_some()),
            ("first", self.first.is_some()),
        ];
        match naming.into_iter().find(|(_, given)| *given) {
            None => Ok(()),
            Some((field, _)) => Err(SpecError::Value {
                path: path.to_owned(),
                whose: "[defaults]".to_owned(),
                field,
                value: "...".to_owned(),
                problem: "guests are named in [[guest]] only".to_owned(),
            }),
        }
    }

    /// With what the defaults say where this says nothing.
    pub(super) fn over(self, defaults: &Self) -> Self {
        let theirs = defaults.clone();
        Self {
            name: self.name,
            names: self.names,
            count: self.count,
            first: self.first,
            backend: self.backend.or(theirs.backend),
            golden: self.golden.or(theirs.golden),
            cores: self.cores.or(theirs.cores),
            memory: self.memory.or(theirs.memory),
            disk: self.disk.or(theirs.disk),
            mounts: self.mounts.or(theirs.mounts),
            intent: self.intent.or(theirs.intent),
            on_failure: self.on_failure.or(theirs.on_failure),
            deadline: self.deadline.or(theirs.deadline),
            readiness: Readiness {
                timeout: self.readiness.timeout.or(theirs.readiness.timeout),
                require: self.readiness.require.or(theirs.readiness.require),
            },
            kind: self.kind.or(theirs.kind),
            nics: self.nics.or(theirs.nics),
            lifecycle: self.lifecycle.or(theirs.lifecycle),
        }
    }

    pub(super) fn resolve(&self, path: &Path, folder: &Path) -> Result<Vec<GuestSpec>, SpecError> {
        let shown = self.name.clone().or_else(|| self.names.as_ref()?.first().cloned());
        let whose = format!("guest `{}`", shown.unwrap_or_default());
        let place = Place { path, whose };
        let names = self.guest_names(&place)?;
        self.refuse_unserved(&place)?;
        let golden = self.golden.as_ref().ok_or_else(|| {
            place.wrong("golden", "", "every guest is made from a golden: name its archive")
        })?;
        let golden = folder.join(golden).into_os_string().into_string();
        let golden = golden.map_err(|path| place.wrong("golden", path, "its path is not UTF-8"))?;
        let size = Size {
            cores: self.cores,
            memory_bytes: place.size("memory", self.memory.as_ref())?,
            disk_bytes: place.size("disk", self.disk.as_ref())?,
        };
        let mounts = self.resolve_mounts(&place)?;
        let timeout =
            place.duration("readiness.timeout", self.readiness.timeout.as_ref())?.unwrap_or(TIMEOUT);
        let deadline = place.duration("deadline", self.deadline.as_ref())?.unwrap_or(timeout + WORK);
        if deadline <= timeout {
            let problem = "the guest alone may take longer: it must be more than readiness.timeout";
            return Err(place.wrong("deadline", self.deadline.as_deref().unwrap_or_default(), problem));
        }
        let plan = |name| GuestPlan {
            name,
            golden: golden.clone(),
            intent: self.intent.unwrap_or_default(),
            kind: None,
            place: Seat::default(),
            nics: Vec::new(),
            mounts: mounts.clone(),
            size: size.clone(),
            tags: Vec::new(),
            onboot: None,
        };
        let guest = |name| GuestSpec {
            backend: self.backend.clone().unwrap_or_else(|| "local".to_owned()),
            plan: plan(name),
            keep_on_failure: self.on_failure == Some(OnFailure::Keep),
            timeout_ms: milliseconds(timeout),
            require: self.readiness.require.clone().unwrap_or_default(),
            deadline_ms: Some(milliseconds(deadline)),
            golden_mark: None,
            adopt: None,
        };
        Ok(names.into_iter().map(guest).collect())
    }

    /// What no backend of this version can do is refused, not ignored.
    fn refuse_unserved(&self, place: &Place<'_>) -> Result<(), SpecError> {
        if let Some(backend) = self.backend.as_ref().filter(|backend| *backend != "local") {
            return Err(place.wrong("backend", backend, "this version knows `local` only"));
        }
        if let Some(kind) = &self.kind {
            let problem =
                "the local backend has one kind of guest, systemd-nspawn containers: leave `kind` out";
            return Err(place.wrong("kind", kind.to_string(), problem));
        }
        if let Some(nics) = &self.nics {
            let problem = "a local guest has one interface in the companion's own network: leave `nics` out";
            return Err(place.wrong("nics", nics.to_string(), problem));
        }
        match self.lifecycle.as_deref() {
            None | Some("keep") => Ok(()),
            Some(other) => {
                let problem = "this version knows `keep` only: a guest stays until it is destroyed";
                Err(place.wrong("lifecycle", other, problem))
            }
        }
    }

    fn resolve_mounts(&self, place: &Place<'_>) -> Result<Vec<Mount>, SpecError> {
        let mut mounts: Vec<Mount> = Vec::new();
        for mount in self.mounts.iter().flatten() {
            let shown = mount.path.display().to_string();
            let plain = mount.path.components().skip(1).all(|part| matches!(part, Component::Normal(_)));
            if !mount.path.is_absolute() || !plain || has_unfit(&shown) || shown.len() < 2 {
                let problem = "an absolute path below `/` without `..`, `:` and control characters is wanted";
                return Err(place.wrong("mounts.path", shown, problem));
            }
            if mounts.iter().any(|other| other.path == mount.path) {
                let problem = "two volumes cannot be mounted at one place";
                return Err(place.wrong("mounts.path", shown, problem));
            }
            if let Some(backup) = mount.backup {
                let problem = "the local backend makes no backups: leave `backup` out";
                return Err(place.wrong("mounts.backup", backup, problem));
            }
            let size_bytes = place.size("mounts.size", mount.size.as_ref())?;
            mounts.push(Mount { path: mount.path.clone(), size_bytes, storage: None, backup: None });
        }
        Ok(mounts)
    }

    /// `web-{n}` with `count = 3` is web-01, web-02, web-03.
    fn guest_names(&self, place: &Place<'_>) -> Result<Vec<GuestName>, SpecError> {
        match (&self.name, &self.names) {
            (Some(_), Some(_)) => Err(place.wrong("names", "...", "`name` and `names` exclude each other")),
            (None, None) => Err(place.wrong("name", "", "every [[guest]] needs `name` or `names`")),
            (None, Some(names)) => {
                if self.count.is_some() || self.first.is_some() {
                    let problem = "a list needs no numbers: `count` and `first` go with `name = \"web-{n}\"`";
                    return Err(place.wrong("count", "...", problem));
                }
                if names.is_empty() {
                    return Err(place.wrong("names", names, "the list is empty"));
                }
                names.iter().map(|name| place.name(name.clone())).collect()
            }
            (Some(name), None) => self.numbered(name, place),
        }
    }

    fn numbered(&self, name: &str, place: &Place<'_>) -> Result<Vec<GuestName>, SpecError> {
        let first = self.first.unwrap_or(1);
        match (name.contains("{n}"), self.count) {
            (false, _) if self.first.is_some() => {
                Err(place.wrong("first", first, "numbers need `{n}` in the name, `web-{n}` for one"))
            }
            (false, None | Some(1)) => Ok(vec![place.name(name.to_owned())?]),
            (false, Some(count)) => {
                Err(place.wrong("count", count, "several guests need `{n}` in their name, `web-{n}` for one"))
            }
            (true, None) => Err(place.wrong("count", "", "a name with `{n}` needs a count")),
            (true, Some(count)) if count == 0 || count > MAX_COUNT => {
                Err(place.wrong("count", count, &format!("1 to {MAX_COUNT} is wanted")))
            }
            (true, Some(_)) if first > MAX_NUMBER => {
                Err(place.wrong("first", first, &format!("0 to {MAX_NUMBER} is wanted")))
            }
            (true, Some(count)) => (first..first + count)
                .map(|number| place.name(name.replace("{n}", &format!("{number:02}"))))
                .collect(),
        }
    }
}

fn has_unfit(path: &str) -> bool {
    path.contains(|letter: char| letter == ':' || letter.is_control())
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

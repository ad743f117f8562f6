//! One `[[guest]]` as it is written, and the guests that it means.

use std::path::Path;
use std::time::Duration;

use firstlight_shared::ids::GuestName;
use firstlight_shared::wire::Intent;
use serde::Deserialize;

use super::seat::{MountEntry, NicEntry, check_tags, resolve_mounts, resolve_nics, resolve_seat};
use super::secrets::{SecretEntry, resolve_secrets, secrets_of};
use super::units::{parse_duration, parse_size, parse_span};
use super::{GuestSpec, SpecError};
use crate::backend::{GuestPlan, Kind, Place as Seat, Size};

/// The largest `count`; a typing error must not fill a disk.
const MAX_COUNT: u32 = 100;
/// The largest number in a name.
const MAX_NUMBER: u32 = 99_999;
/// The backend of guests that name none.
const LOCAL: &str = "local";
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
    golden: Option<String>,
    kind: Option<Kind>,
    node: Option<String>,
    storage: Option<String>,
    pool: Option<String>,
    vmid: Option<u32>,
    remote: Option<String>,
    project: Option<String>,
    nics: Option<Vec<NicEntry>>,
    cores: Option<u32>,
    memory: Option<String>,
    disk: Option<String>,
    mounts: Option<Vec<MountEntry>>,
    intent: Option<Intent>,
    on_failure: Option<OnFailure>,
    deadline: Option<String>,
    #[serde(default)]
    readiness: Readiness,
    tags: Option<Vec<String>>,
    onboot: Option<bool>,
    secrets: Option<Vec<SecretEntry>>,
    lifecycle: Option<Lifecycle>,
    destroy_after: Option<String>,
}

#[derive(Debug, Clone, Copy, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum OnFailure {
    Rollback,
    Keep,
}

/// What a guest is once it stops.
#[derive(Debug, Clone, Copy, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Lifecycle {
    Keep,
    /// Gone.
    Ephemeral,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Readiness {
    timeout: Option<String>,
    require: Option<Vec<String>>,
}

/// For messages.
pub(super) struct Place<'a> {
    path: &'a Path,
    whose: String,
}

impl Place<'_> {
    pub(super) fn wrong(&self, field: &'static str, value: impl std::fmt::Debug, problem: &str) -> SpecError {
        SpecError::Value {
            path: self.path.to_owned(),
            whose: self.whose.clone(),
            field,
            value: format!("{value:?}"),
            problem: problem.to_owned(),
        }
    }

    pub(super) fn size(&self, field: &'static str, text: Option<&String>) -> Result<Option<u64>, SpecError> {
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
            ("vmid", self.vmid.is_some()),
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
            node: self.node.or(theirs.node),
            storage: self.storage.or(theirs.storage),
            pool: self.pool.or(theirs.pool),
            vmid: self.vmid,
            remote: self.remote.or(theirs.remote),
            project: self.project.or(theirs.project),
            nics: self.nics.or(theirs.nics),
            tags: self.tags.or(theirs.tags),
            onboot: self.onboot.or(theirs.onboot),
            secrets: self.secrets.or(theirs.secrets),
            lifecycle: self.lifecycle.or(theirs.lifecycle),
            destroy_after: self.destroy_after.or(theirs.destroy_after),
        }
    }

    pub(super) fn resolve(&self, path: &Path, folder: &Path) -> Result<Vec<GuestSpec>, SpecError> {
        let shown = self.name.clone().or_else(|| self.names.as_ref()?.first().cloned());
        let whose = format!("guest `{}`", shown.unwrap_or_default());
        let place = Place { path, whose };
        let names = self.guest_names(&place)?;
        let backend = self.resolve_backend(&place)?;
        let golden = self.resolve_golden(&backend, folder, &place)?;
        let seat = self.resolve_seat(names.len(), &place)?;
        let nics = resolve_nics(self.nics.as_deref().unwrap_or_default(), names.len(), &place)?;
        let tags = check_tags(self.tags.as_deref().unwrap_or_default(), &place)?;
        let size = Size {
            cores: self.cores,
            memory_bytes: place.size("memory", self.memory.as_ref())?,
            disk_bytes: place.size("disk", self.disk.as_ref())?,
        };
        let mounts = resolve_mounts(self.mounts.as_deref().unwrap_or_default(), &place)?;
        let timeout =
            place.duration("readiness.timeout", self.readiness.timeout.as_ref())?.unwrap_or(TIMEOUT);
        let deadline = place.duration("deadline", self.deadline.as_ref())?.unwrap_or(timeout + WORK);
        if deadline <= timeout {
            let problem = "the guest alone may take longer: it must be more than readiness.timeout";
            return Err(place.wrong("deadline", self.deadline.as_deref().unwrap_or_default(), problem));
        }
        let secrets = resolve_secrets(self.secrets.as_deref().unwrap_or_default(), folder, &place)?;
        let destroy_after = self.resolve_destroy_after(&place)?;
        let plan = |name| GuestPlan {
            secrets: secrets_of(&secrets, &name),
            name,
            golden: golden.clone(),
            intent: self.intent.unwrap_or_default(),
            kind: self.kind,
            place: seat.clone(),
            nics: nics.clone(),
            mounts: mounts.clone(),
            size: size.clone(),
            tags: tags.clone(),
            onboot: self.onboot,
            ephemeral: self.lifecycle == Some(Lifecycle::Ephemeral),
        };
        let guest = |name| GuestSpec {
            backend: backend.clone(),
            plan: plan(name),
            keep_on_failure: self.on_failure == Some(OnFailure::Keep),
            timeout_ms: milliseconds(timeout),
            require: self.readiness.require.clone().unwrap_or_default(),
            deadline_ms: Some(milliseconds(deadline)),
            destroy_after_ms: destroy_after.map(milliseconds),
            golden_mark: None,
            adopt: None,
            newer_than: Vec::new(),
        };
        Ok(names.into_iter().map(guest).collect())
    }

    /// Which ones there are, the companion knows.
    fn resolve_backend(&self, place: &Place<'_>) -> Result<String, SpecError> {
        let backend = self.backend.as_deref().unwrap_or(LOCAL);
        let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if backend.is_empty() || !backend.bytes().all(word) {
            return Err(place.wrong("backend", backend, "`local`, `proxmox` or `incus` is wanted"));
        }
        Ok(backend.to_owned())
    }

    /// An archive of this machine is looked for beside the spec; what others call theirs is theirs.
    fn resolve_golden(&self, backend: &str, folder: &Path, place: &Place<'_>) -> Result<String, SpecError> {
        let golden = self.golden.as_deref().unwrap_or_default();
        if golden.is_empty() {
            let problem = "every guest is made from a golden: name its archive";
            return Err(place.wrong("golden", golden, problem));
        }
        if backend != LOCAL {
            return match golden.chars().any(char::is_control) {
                true => Err(place.wrong("golden", golden, "it has control characters")),
                false => Ok(golden.to_owned()),
            };
        }
        let golden = folder.join(golden).into_os_string().into_string();
        golden.map_err(|path| place.wrong("golden", path, "its path is not UTF-8"))
    }

    fn resolve_seat(&self, guests: usize, place: &Place<'_>) -> Result<Seat, SpecError> {
        let seat = Seat {
            node: self.node.clone(),
            storage: self.storage.clone(),
            pool: self.pool.clone(),
            vmid: self.vmid,
            remote: self.remote.clone(),
            project: self.project.clone(),
        };
        resolve_seat(seat, guests, place)
    }

    /// `never` takes back what the defaults say.
    fn resolve_destroy_after(&self, place: &Place<'_>) -> Result<Option<Duration>, SpecError> {
        match self.destroy_after.as_deref() {
            None | Some("never") => Ok(None),
            Some(text) => parse_span(text).map(Some).ok_or_else(|| {
                place.wrong("destroy_after", text, "1s to 366d is wanted, `2h` for one, or `never`")
            }),
        }
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

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

//! The companion's configuration: where it comes from, what wins, and what is wrong with it.
//!
//! `firstlight.toml`, then `firstlight.toml.d/*.toml` in the order of their names, then variables, then flags: the later
//! one wins, key by key; `[[tables]]` with a `name` are merged by it; `""` takes a value back. Every value remembers where
//! it came from. Nothing here does anything but read, apart from [`pins`]; secrets are only named ([`SecretFile`]).

mod incus;
mod keys;
mod merge;
pub mod names;
mod origin;
pub mod pins;
mod proxmox;
mod read;
mod secret;
mod settings;
mod ssh_ca;
mod url;
mod value;
mod webhook;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Serialize;

pub use keys::{KEYS, Key};
use merge::{KeyPath, Located, Merged};
pub use origin::{ConfigError, Origin, Problem};
pub(crate) use read::log_directives;
pub use secret::{SecretError, SecretFile};
pub use settings::{
    ApiSettings, CompanionSettings, IncusSettings, LocalSettings, LogSettings, OtelSettings, PeerSettings,
    PinSettings, ProxmoxSettings, RemotePlace, RemoteSettings, ReportSettings, RetentionSettings, Settings,
    SshCaSettings, StoreSettings, TcpApiSettings, TokenSettings, WebhookSettings,
};
pub use url::{Url, UrlError};
pub use value::{Role, Value, parse_duration};

/// Where the configuration is, if nobody says otherwise.
pub const CONFIG_FILE: &str = "/etc/firstlight/firstlight.toml";

/// In bytes.
const MAX_FILE: u64 = 1 << 20;

/// Variables that stand for flags, and the guest's own.
const OF_COMMANDS: [&str; 6] = [
    "FIRSTLIGHT_CONFIG",
    "FIRSTLIGHT_URL",
    "FIRSTLIGHT_TOKEN_FILE",
    "FIRSTLIGHT_PIN",
    "FIRSTLIGHT_CA",
    "FIRSTLIGHT_CLAIM",
];

/// What is read.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// Its fragments are in the folder of the same name with `.d`.
    pub file: PathBuf,
    /// The operator named the file: it must be there.
    pub file_is_named: bool,
    pub variables: BTreeMap<String, String>,
    pub flags: Vec<Flag>,
    /// The default of `companion.name`.
    pub host_name: String,
}

/// A value given on the command line.
#[derive(Debug, Clone)]
pub struct Flag {
    /// As typed, `--listen`.
    pub flag: &'static str,
    /// The key that it sets, `reports.listen`.
    pub key: &'static str,
    pub value: String,
}

impl Sources {
    /// This machine's: the usual file (or the one that was named), and the process's variables.
    pub fn of_machine(file: Option<&Path>) -> Self {
        let host_name = nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned());
        Self {
            file: file.unwrap_or(Path::new(CONFIG_FILE)).to_owned(),
            file_is_named: file.is_some(),
            variables: std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
                .collect(),
            flags: Vec::new(),
            host_name: host_name.unwrap_or_else(|_| "localhost".to_owned()),
        }
    }

    /// Adds what was typed, if it was.
    #[must_use]
    pub fn flag(mut self, flag: &'static str, key: &'static str, value: Option<impl ToString>) -> Self {
        self.flags.extend(value.map(|value| Flag { flag, key, value: value.to_string() }));
        self
    }

    /// Variables that look like ours, and are no key's: they do nothing.
    pub fn unknown_variables(&self) -> Vec<&str> {
        let known: BTreeSet<String> = keys::variables().map(|(variable, _)| variable).collect();
        let names = self.variables.keys().map(String::as_str);
        let ours = names.filter(|name| name.starts_with("FIRSTLIGHT_"));
        ours.filter(|name| !known.contains(*name) && !OF_COMMANDS.contains(name)).collect()
    }

    fn merge(&self) -> Merged {
        let mut merged = Merged::default();
        self.add_file(&self.file, self.file_is_named, &mut merged);
        for fragment in self.fragments(&mut merged) {
            self.add_file(&fragment, true, &mut merged);
        }
        for (variable, key) in keys::variables() {
            if let Some(value) = self.variables.get(&variable) {
                merged.set(read::path(key), Value::Text(value.clone()), Origin::Environment(variable));
            }
        }
        for flag in &self.flags {
            let origin = Origin::Flag(flag.flag.to_owned());
            merged.set(read::path(flag.key), Value::Text(flag.value.clone()), origin);
        }
        merged
    }

    /// Its files come after the main one, in the order of their names.
    pub fn fragment_folder(&self) -> PathBuf {
        let mut folder = self.file.clone().into_os_string();
        folder.push(".d");
        PathBuf::from(folder)
    }

    fn fragments(&self, merged: &mut Merged) -> Vec<PathBuf> {
        let folder = self.fragment_folder();
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
            Err(error) => {
                merged.problem(Origin::File { path: folder, line: 1 }, format!("cannot be listed: {error}"));
                return Vec::new();
            }
        };
        let named = |path: &PathBuf| {
            path.extension().is_some_and(|end| end == "toml")
                && path.file_name().is_some_and(|name| !name.as_encoded_bytes().starts_with(b"."))
        };
        let mut fragments: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(named).collect();
        fragments.sort();
        fragments
    }

    fn add_file(&self, path: &Path, must_exist: bool, merged: &mut Merged) {
        match read_file(path) {
            Ok(text) => merged.add_toml(path, &text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !must_exist => {}
            Err(error) => merged
                .problem(Origin::File { path: path.to_owned(), line: 1 }, format!("cannot be read: {error}")),
        }
    }
}

/// A regular file of a sensible size: a device or a fifo would hold us for ever.
fn read_file(path: &Path) -> std::io::Result<String> {
    let found = std::fs::metadata(path)?;
    if !found.is_file() || found.len() > MAX_FILE {
        return Err(std::io::Error::other("it is no file, or larger than 1 MiB"));
    }
    std::fs::read_to_string(path)
}

/// Settings, with the place of each.
#[derive(Debug, Clone)]
pub struct Configuration {
    pub settings: Settings,
    values: BTreeMap<KeyPath, Located>,
}

/// One value that counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    pub key: String,
    /// As it would be written; secrets are only ever named by their file.
    pub value: String,
    /// `FILE:LINE`, `$VARIABLE`, a flag, or `default`.
    pub origin: String,
}

/// Keys whose values differ.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Differences {
    /// They count at once.
    pub reload: Vec<String>,
    /// They count after the next start.
    pub restart: Vec<String>,
}

/// Reads all sources.
///
/// # Errors
/// Everything that is wrong, each with its place.
pub fn load(sources: &Sources) -> Result<Configuration, ConfigError> {
    let mut merged = sources.merge();
    let settings = Settings::read(&mut merged, &sources.host_name)?;
    Ok(Configuration { settings, values: merged.values })
}

/// The control socket, for whoever only asks a companion: with everything that is wrong elsewhere, which does not matter
/// to that one.
///
/// # Errors
/// The file that was named cannot be read, or it is `state` or `api.socket` that is wrong.
pub fn socket(sources: &Sources) -> Result<(PathBuf, Option<ConfigError>), ConfigError> {
    let mut merged = sources.merge();
    match Settings::read(&mut merged, &sources.host_name) {
        Ok(settings) => Ok((settings.api.socket, None)),
        Err(error) if sources.file_is_named && read_file(&sources.file).is_err() => Err(error),
        Err(error) => match read::socket(&merged) {
            Some(socket) => Ok((socket, Some(error))),
            None => Err(error),
        },
    }
}

/// The merged result, for `firstlight config check`.
///
/// # Errors
/// As [`load`].
pub fn check(sources: &Sources) -> Result<Vec<Row>, ConfigError> {
    Ok(load(sources)?.rows())
}

impl Configuration {
    /// Every value that counts, by key.
    pub fn rows(&self) -> Vec<Row> {
        let row = |(path, found): (&KeyPath, &Located)| Row {
            key: merge::shown(path),
            value: found.value.to_string(),
            origin: found.origin.to_string(),
        };
        self.values.iter().map(row).collect()
    }

    /// What `newer` changes.
    pub fn differences(&self, newer: &Self) -> Differences {
        let value = |values: &BTreeMap<KeyPath, Located>, path: &KeyPath| {
            values.get(path).map(|found| found.value.clone())
        };
        let paths: BTreeSet<&KeyPath> = self.values.keys().chain(newer.values.keys()).collect();
        let mut differences = Differences::default();
        for path in paths.into_iter().filter(|path| value(&self.values, path) != value(&newer.values, path)) {
            let reloads = keys::find(path).is_some_and(|key| key.reloads);
            let list = if reloads { &mut differences.reload } else { &mut differences.restart };
            list.push(merge::shown(path));
        }
        differences
    }
}

#[cfg(test)]
mod tests;

//! The fragment in which `firstlight trust` keeps the keys of Proxmox's nodes: the only file of the configuration that is
//! written by a program.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use firstlight_shared::error::Code;
use firstlight_shared::pin::SpkiPin;

use super::merge::Located;
use super::origin::Origin;
use super::read::path;
use super::value::{Value, list_of};
use super::{Sources, read_file};

/// In the folder of fragments.
pub const PIN_FILE: &str = "50-proxmox-pin.toml";

const HEAD: &str = "\
# Keys of the nodes of Proxmox VE, compared by an operator and kept by `firstlight trust`. They outlive certificates.
";

/// What became of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PinFile {
    pub path: PathBuf,
    pub kept: Kept,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    Known,
    /// With as many other keys of the same address gone.
    Added {
        replaced: usize,
    },
}

#[derive(Debug, thiserror::Error)]
pub enum PinFileError {
    /// One kind of pin, never two.
    #[error("{key} is set at {origin}: the nodes are known by that, not by keys")]
    OtherKind { key: &'static str, origin: Origin },
    /// What we would write would not count.
    #[error("proxmox.keys is set at {origin}, which counts more than {}", path.display())]
    Shadowed { origin: Origin, path: PathBuf },
    #[error("proxmox.keys at {origin} is no list of keys")]
    Unreadable { origin: Origin },
    #[error("{} has something else in it than proxmox.keys", path.display())]
    NotOurs { path: PathBuf },
    #[error("{} cannot be written", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{} cannot be read", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
}

impl Code for PinFileError {
    fn code(&self) -> &'static str {
        match self {
            Self::OtherKind { .. }
            | Self::Shadowed { .. }
            | Self::Unreadable { .. }
            | Self::NotOurs { .. } => "pin-conflict",
            Self::Write { .. } | Self::Read { .. } => "pin-file",
        }
    }
}

impl PinFileError {
    /// What the operator can do.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::OtherKind { .. } => "take that one out of the configuration first, or leave it as it is",
            Self::Shadowed { .. } => "add the key there by hand, or take that list out and try again",
            Self::Unreadable { .. } => "mend that list first: what stands there would be lost",
            Self::NotOurs { .. } => "add the key there by hand, or move the rest of it to another fragment",
            Self::Write { .. } | Self::Read { .. } => {
                "run it as root, or name a configuration that you may write with --config FILE"
            }
        }
    }
}

/// Keeps the key of the node at `address` beside those that are pinned, in [`PIN_FILE`]; a key that the same address had
/// there goes.
///
/// # Errors
/// It would not count, or the file cannot be written; nothing was changed.
pub fn keep(sources: &Sources, address: &str, key: SpkiPin) -> Result<PinFile, PinFileError> {
    let file = sources.fragment_folder().join(PIN_FILE);
    let merged = sources.merge();
    let found = |key: &str| merged.values.get(&path(key));
    for other in ["proxmox.ca", "proxmox.fingerprints"] {
        if let Some(Located { origin, .. }) = found(other) {
            return Err(PinFileError::OtherKind { key: other, origin: origin.clone() });
        }
    }
    let own = own_keys(&file)?;
    let counting: Vec<SpkiPin> = match found("proxmox.keys") {
        None => Vec::new(),
        Some(Located { origin, .. }) if !yields(origin, sources, &file) => {
            return Err(PinFileError::Shadowed { origin: origin.clone(), path: file });
        }
        Some(Located { value, origin }) => {
            keys_of(value).ok_or_else(|| PinFileError::Unreadable { origin: origin.clone() })?
        }
    };
    if counting.contains(&key) {
        return Ok(PinFile { path: file, kept: Kept::Known });
    }
    let stale = |old: &SpkiPin| own.get(&old.to_string()).is_some_and(|whose| whose == address);
    let mut lines: Vec<(String, String)> = counting
        .iter()
        .filter(|old| !stale(old))
        .map(|old| (old.to_string(), own.get(&old.to_string()).cloned().unwrap_or_default()))
        .collect();
    let replaced = counting.len() - lines.len();
    lines.push((key.to_string(), address.to_owned()));
    write(&file, &render(&lines)).map_err(|source| PinFileError::Write { path: file.clone(), source })?;
    Ok(PinFile { path: file, kept: Kept::Added { replaced } })
}

/// Whether a list from there yields to one in our file.
fn yields(origin: &Origin, sources: &Sources, file: &Path) -> bool {
    match origin {
        Origin::File { path, .. } => *path == sources.file || path.as_path() <= file,
        Origin::Default => true,
        Origin::Environment(_) | Origin::Flag(_) => false,
    }
}

fn keys_of(value: &Value) -> Option<Vec<SpkiPin>> {
    list_of(value, |text| text.parse().ok())
}

/// The keys in our file, each with the address that the comment behind it names.
fn own_keys(file: &Path) -> Result<BTreeMap<String, String>, PinFileError> {
    let text = match read_file(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(source) => return Err(PinFileError::Read { path: file.to_owned(), source }),
    };
    let not_ours = || PinFileError::NotOurs { path: file.to_owned() };
    let table: toml::Table = text.parse().map_err(|_| not_ours())?;
    let proxmox = table.get("proxmox").and_then(toml::Value::as_table);
    let only_keys = table.len() == usize::from(proxmox.is_some())
        && proxmox.is_none_or(|proxmox| proxmox.keys().all(|key| key == "keys"));
    if !only_keys {
        return Err(not_ours());
    }
    let keys = proxmox.and_then(|proxmox| proxmox.get("keys")).and_then(toml::Value::as_array);
    let keys = keys.into_iter().flatten().filter_map(toml::Value::as_str);
    let whose = |key: &str| {
        let line = text.lines().find(|line| line.contains(key)).unwrap_or_default();
        line.rsplit_once("# ").map_or_else(String::new, |(_, whose)| whose.trim().to_owned())
    };
    Ok(keys.map(|key| (key.to_owned(), whose(key))).collect())
}

fn render(lines: &[(String, String)]) -> String {
    let line = |(key, whose): &(String, String)| {
        let comment = if whose.is_empty() { String::new() } else { format!(" # {whose}") };
        format!("    \"{key}\",{comment}\n")
    };
    format!("{HEAD}[proxmox]\nkeys = [\n{}]\n", lines.iter().map(line).collect::<String>())
}

/// Whole or not at all; others may read it: a pin is no secret.
fn write(file: &Path, text: &str) -> std::io::Result<()> {
    let folder = file.parent().ok_or_else(|| std::io::Error::other("it has no folder"))?;
    std::fs::create_dir_all(folder)?;
    let mut new = tempfile::Builder::new().prefix(".pin-").tempfile_in(folder)?;
    new.write_all(text.as_bytes())?;
    new.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
    new.as_file().sync_all()?;
    new.persist(file)?;
    std::fs::File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{PinSettings, load};

    const FIRST: &str = "sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
    const REST: &str = "[proxmox]\naddresses = [\"pve1\"]\ntoken = \"/t\"\n";

    fn key(byte: u8) -> SpkiPin {
        SpkiPin::of(&[byte])
    }

    fn sources(main: &str) -> (tempfile::TempDir, Sources) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("firstlight.toml");
        std::fs::write(&file, main).unwrap();
        (folder, Sources { file, host_name: "x".into(), ..Sources::default() })
    }

    fn pinned(sources: &Sources) -> Vec<SpkiPin> {
        match load(sources).unwrap().settings.proxmox.unwrap().pin {
            PinSettings::Keys(keys) => keys,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn keys_of_other_nodes_stay_and_those_of_the_same_go() {
        let (_folder, sources) = sources(REST);
        let keep = |address: &str, byte: u8| keep(&sources, address, key(byte)).unwrap();
        assert_eq!(keep("pve1:8006", 1).kept, Kept::Added { replaced: 0 });
        assert_eq!(keep("pve2:8006", 2).kept, Kept::Added { replaced: 0 });
        assert_eq!(keep("pve1:8006", 1).kept, Kept::Known);
        assert_eq!(pinned(&sources), [key(1), key(2)]);
        let made = keep("pve1:8006", 3);
        assert_eq!((made.kept, pinned(&sources)), (Kept::Added { replaced: 1 }, vec![key(2), key(3)]));
        let mode = std::fs::metadata(&made.path).unwrap().permissions().mode() & 0o777;
        let left = std::fs::read_dir(made.path.parent().unwrap()).unwrap().count();
        assert_eq!((mode, left), (0o644, 1));
    }

    #[test]
    fn keys_of_the_main_file_are_taken_along() {
        let (_folder, sources) = sources(&format!("{REST}keys = [\"{FIRST}\"]\n"));
        keep(&sources, "pve2:8006", key(2)).unwrap();
        assert_eq!(pinned(&sources), [FIRST.parse().unwrap(), key(2)]);
    }

    #[test]
    fn what_would_not_count_is_refused_and_changes_nothing() {
        for (main, fragment, text, code) in [
            (format!("{REST}ca = \"/x\"\n"), None, "", "pin-conflict"),
            (format!("{REST}fingerprints = [\"AA\"]\n"), None, "", "pin-conflict"),
            (format!("{REST}keys = [\"sha256//x\"]\n"), None, "", "pin-conflict"),
            (REST.to_owned(), Some("60-x.toml"), "[proxmox]\nkeys = []\n", "pin-conflict"),
            (REST.to_owned(), Some(PIN_FILE), "[proxmox]\nkeys = []\nnode = \"a\"\n", "pin-conflict"),
            (REST.to_owned(), Some(PIN_FILE), "[log]\n", "pin-conflict"),
            (REST.to_owned(), Some(PIN_FILE), "= broken", "pin-conflict"),
        ] {
            let (folder, sources) = sources(&main);
            if let Some(fragment) = fragment {
                std::fs::create_dir(sources.fragment_folder()).unwrap();
                std::fs::write(sources.fragment_folder().join(fragment), text).unwrap();
            }
            let error = keep(&sources, "pve1:8006", key(1)).unwrap_err();
            assert_eq!(error.code(), code, "{main} {fragment:?}");
            let file = folder.path().join("firstlight.toml.d").join(PIN_FILE);
            let after = std::fs::read_to_string(file).unwrap_or_default();
            assert_eq!(after, if fragment == Some(PIN_FILE) { text } else { "" });
        }
        let (_folder, mut sources) = sources(REST);
        sources.variables.insert("FIRSTLIGHT_PROXMOX_KEYS".into(), FIRST.into());
        assert_eq!(keep(&sources, "a:1", key(1)).unwrap_err().code(), "pin-conflict");
    }
}

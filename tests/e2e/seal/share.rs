//! What a root has of its own by the identity table, and what two roots have alike.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use firstlight_shared::items::{self, Detect, EntryKind, Finding, Item, Severity};

/// Item and path, and the bytes that are the identity.
pub(super) type Identities = BTreeMap<String, Vec<u8>>;

/// Rows that clones may have alike: what cloud-init says of a clone that nobody gave data, and what people left.
const ALIKE: [&str; 3] = ["cloud-init-instance", "authorized-keys", "logs"];

/// Every identity in a root, but for what is only worth knowing.
pub(super) fn of(root: &Path) -> Identities {
    let mut found = Identities::new();
    let counts = |item: &&Item| {
        item.detect != Detect::Elsewhere && item.severity != Severity::Info && !ALIKE.contains(&item.name)
    };
    for item in items::all().filter(counts) {
        for path in
            item.paths.iter().flat_map(|pattern| matching(root, pattern)).filter(|path| item.owns(path))
        {
            let at = root.join(&path);
            let Ok(facts) = fs::symlink_metadata(&at) else { continue };
            let kind = match facts.file_type() {
                kind if kind.is_symlink() => EntryKind::Symlink,
                kind if kind.is_dir() => EntryKind::Folder,
                _ => EntryKind::File,
            };
            let bytes = if kind == EntryKind::File { fs::read(&at).unwrap_or_default() } else { Vec::new() };
            let name = path.rsplit('/').next().unwrap_or_default();
            if item.detect.judge(name, kind, (kind == EntryKind::File).then_some(&bytes)) == Finding::Carried
            {
                found.insert(format!("{} /{path}", item.name), identity(item.detect, bytes));
            }
        }
    }
    found
}

/// Of a file of many lines only those that are the identity.
fn identity(rule: Detect, bytes: Vec<u8>) -> Vec<u8> {
    let Detect::HasValue(keys) = rule else { return bytes };
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let lines = text.lines().filter(|line| keys.iter().any(|key| line.trim_start().starts_with(key)));
    lines.collect::<Vec<_>>().join("\n").into_bytes()
}

/// Names of what two of them have alike.
pub(super) fn shared(roots: &[Identities]) -> Vec<String> {
    let mut found = Vec::new();
    for (at, one) in roots.iter().enumerate() {
        for other in &roots[at + 1..] {
            let alike = one.iter().filter(|(name, bytes)| other.get(*name) == Some(bytes));
            found.extend(alike.map(|(name, _)| name.clone()));
        }
    }
    found.sort();
    found.dedup();
    found
}

/// Paths below a root that a pattern means.
fn matching(root: &Path, pattern: &str) -> Vec<String> {
    let mut paths = vec![String::new()];
    for part in pattern.split('/') {
        let mut deeper = Vec::new();
        for folder in &paths {
            let join =
                |name: &str| if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
            if items::is_literal(part) {
                deeper.push(join(part));
                continue;
            }
            let entries = fs::read_dir(root.join(folder)).into_iter().flatten().flatten();
            let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
            deeper.extend(names.filter(|name| items::matches(part, name)).map(|name| join(&name)));
        }
        paths = deeper;
    }
    paths
}

#[test]
fn what_two_roots_have_alike_is_found() {
    let folder = || {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in [
            ("etc/machine-id", "0123456789abcdef0123456789abcdef\n"),
            ("etc/ssh/ssh_host_ed25519_key", "key"),
            ("etc/postfix/main.cf", "# comment\nmyhostname = golden\n"),
        ] {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    };
    let (one, other) = (folder(), folder());
    fs::write(other.path().join("etc/postfix/main.cf"), "# other\nmyhostname = golden\n").unwrap();
    fs::write(other.path().join("etc/ssh/ssh_host_ed25519_key"), "another").unwrap();
    let alike = shared(&[of(one.path()), of(other.path())]);
    assert_eq!(alike, ["machine-id /etc/machine-id", "postfix-host-name /etc/postfix/main.cf"]);
}

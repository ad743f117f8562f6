//! Walks the table over a root. Reads only; bounded, and safe on a hostile root.

use std::collections::BTreeMap;
use std::error::Error;
use std::io;
use std::rc::Rc;

use firstlight_shared::error::Chain;
use firstlight_shared::items::{self, Detect, EntryKind, Finding, FirstBoot, Item};
use serde::{Serialize, Serializer};

use crate::sys::{Kind, Root, SysError};

/// Paths that one pattern may match; a folder with more is not what it should be.
const MAX_MATCHES: usize = 100;
/// Findings in all: they go into a report.
const MAX_FOUND: usize = 200;
/// In an image; one with more was made to fill memory.
const MAX_IN_IMAGE: usize = 20_000;

/// An item at a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Found {
    #[serde(serialize_with = "by_name")]
    pub item: &'static Item,
    /// Relative to the root.
    pub path: String,
    #[serde(skip)]
    pub finding: Finding,
    #[serde(skip)]
    pub kind: Kind,
    /// The first boot changes it; else it is only reported.
    pub renew: bool,
}

/// What a walk found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Scan {
    pub found: Vec<Found>,
    /// Where the walk could not look, one line each: never taken for "nothing is there".
    pub unknown: Vec<String>,
}

/// What a first boot cares for. Folders that may wait for the network are not in it.
pub(crate) fn find_at_first_boot(root: &Root) -> Scan {
    find(root, items::all().filter(|item| item.is_sought_at_first_boot()))
}

/// Looks for these items.
pub(crate) fn find(root: &Root, items: impl Iterator<Item = &'static Item>) -> Scan {
    find_up_to(root, items, (MAX_MATCHES, MAX_FOUND))
}

/// As [`find`], for an image that is to be clean: all there is, and not only what a report has room for.
pub(crate) fn find_all(root: &Root, items: impl Iterator<Item = &'static Item>) -> Scan {
    find_up_to(root, items, (MAX_IN_IMAGE, MAX_IN_IMAGE))
}

fn find_up_to(root: &Root, items: impl Iterator<Item = &'static Item>, limits: (usize, usize)) -> Scan {
    let mut walk = Walk { root, folders: BTreeMap::new(), scan: Scan::default(), limits };
    for item in items {
        for pattern in item.paths {
            for path in walk.expand(pattern) {
                if item.owns(&path) {
                    walk.judge(item, path);
                }
            }
        }
    }
    walk.scan
}

struct Walk<'r> {
    root: &'r Root,
    /// Names of the folders that were listed: most patterns share theirs, and most folders are not there.
    folders: BTreeMap<String, Rc<[String]>>,
    scan: Scan,
    /// Of matches per pattern, and of findings.
    limits: (usize, usize),
}

impl Walk<'_> {
    /// The paths that are there, of those that a pattern means.
    fn expand(&mut self, pattern: &str) -> Vec<String> {
        let mut paths = vec![String::new()];
        for component in pattern.split('/') {
            let mut deeper = Vec::new();
            for folder in &paths {
                let names = self.names(folder);
                let join =
                    |name: &str| if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
                if items::is_literal(component) {
                    let found = names.binary_search_by(|name| name.as_str().cmp(component)).is_ok();
                    deeper.extend(found.then(|| join(component)));
                } else {
                    let matching = names.iter().filter(|name| items::matches(component, name));
                    deeper.extend(matching.take(self.limits.0 + 1).map(|name| join(name)));
                }
            }
            let limit = self.limits.0;
            if deeper.len() > limit {
                deeper.truncate(limit);
                self.scan
                    .unknown
                    .push(format!("more than {limit} paths match /{pattern}: the rest was not looked at"));
            }
            paths = deeper;
        }
        paths
    }

    fn names(&mut self, folder: &str) -> Rc<[String]> {
        if let Some(names) = self.folders.get(folder) {
            return Rc::clone(names);
        }
        let listed = self.root.list(if folder.is_empty() { "." } else { folder });
        let names: Rc<[String]> = listed
            .unwrap_or_else(|error| {
                self.scan.unknown.push(Chain(&error).to_string());
                Vec::new()
            })
            .into();
        self.folders.insert(folder.to_owned(), Rc::clone(&names));
        names
    }

    fn judge(&mut self, item: &'static Item, path: String) {
        let Some(kind) = self.root.kind(&path) else {
            // Listed, and not to be found: gone meanwhile, or a name that is no text.
            self.scan.unknown.push(format!("/{path} cannot be looked at"));
            return;
        };
        let name = path.rsplit('/').next().unwrap_or_default();
        let finding = match self.bytes(item.detect, &path, kind) {
            Ok(bytes) => item.detect.judge(name, entry_kind(kind), bytes.as_deref()),
            Err(error) if item.detect == Detect::NonEmpty && is_too_large(&error) => Finding::Carried,
            Err(error) => {
                self.scan.unknown.push(Chain(&error).to_string());
                return;
            }
        };
        let is_due = finding == Finding::Emptied && matches!(item.first_boot, FirstBoot::Fresh(_));
        if finding != Finding::Carried && !is_due {
            return;
        }
        let limit = self.limits.1;
        if self.scan.found.len() == limit {
            self.scan.unknown.push(format!("more than {limit} items: /{path} and others are left out"));
        }
        if self.scan.found.len() < limit {
            // What a symlink leads to is somebody else's: a read-only store, a shared volume.
            let renew = item.changes_at_first_boot() && kind == Kind::File && !self.is_in_use(item);
            self.scan.found.push(Found { item, path, finding, kind, renew });
        }
    }

    fn is_in_use(&mut self, item: &Item) -> bool {
        item.in_use.iter().any(|pattern| !self.expand(pattern).is_empty())
    }

    fn bytes(&self, rule: Detect, path: &str, kind: Kind) -> Result<Option<Vec<u8>>, SysError> {
        if rule == Detect::NonEmpty && kind == Kind::File {
            // Logs and data bases are large, and one byte says as much as all of them.
            return Ok(Some(if self.root.size(path) == Some(0) { Vec::new() } else { vec![b' '] }));
        }
        let readable = matches!(kind, Kind::File | Kind::Symlink);
        if rule.needs_bytes() && readable { self.root.read(path) } else { Ok(None) }
    }
}

fn entry_kind(kind: Kind) -> EntryKind {
    match kind {
        Kind::File => EntryKind::File,
        Kind::Symlink => EntryKind::Symlink,
        Kind::Folder => EntryKind::Folder,
        Kind::Other => EntryKind::Other,
    }
}

fn is_too_large(error: &SysError) -> bool {
    let cause = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    cause.is_some_and(|cause| cause.kind() == io::ErrorKind::FileTooLarge)
}

fn by_name<S: Serializer>(item: &&'static Item, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(item.name)
}

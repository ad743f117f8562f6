//! What a reader hands over, entry by entry, and what is kept of it: little, whatever the golden holds.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};

use firstlight_shared::items::{EntryKind, Item};
use firstlight_shared::text::escape;

use super::mark::Mark;
use super::place::{Layout, Place, target};
use super::secret;
use super::wanted::{TEXT, Wanted, canonical};
use crate::packing::{Broken, read_up_to};

/// Of all that is kept: a golden with more of it was made to fill memory.
const KEPT_BYTES: usize = 24 << 20;
const KEPT_ENTRIES: u64 = 100_000;
/// Secrets that are named; more are counted with them.
const SECRETS: usize = 500;
/// How often a golden is read: each time links may lead further.
pub(super) const PASSES: usize = 4;

/// Bounds of what is read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Unpacked bytes.
    pub(crate) bytes: u64,
    pub(crate) entries: u64,
}

/// An entry as its reader knows it. The path is relative to what is read, see [`super::place::relative`].
#[derive(Debug)]
pub(super) struct Raw<'a> {
    pub(super) path: &'a str,
    pub(super) kind: EntryKind,
    pub(super) mode: u32,
    pub(super) size: u64,
    /// Where a symlink leads, or the path of the entry that a hard link shares its bytes with.
    pub(super) link: Option<&'a str>,
}

/// One that is kept.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(super) kind: EntryKind,
    pub(super) mode: u32,
    /// The beginning of a file that a rule reads.
    pub(super) bytes: Option<Vec<u8>>,
    /// Within the root: of a symlink, or a hard link.
    pub(super) link: Option<String>,
    /// As the golden has it; the key may be another spelling.
    pub(super) at: String,
    /// Rows of the identity table that have this path.
    pub(super) items: Vec<&'static Item>,
    /// Of the agent: the version that stands in it.
    pub(super) version: Option<String>,
}

/// A part in a format that is not read here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sealed {
    /// In the golden; empty: all of it.
    pub(super) path: String,
    /// Its name, with an article.
    pub(super) what: String,
    /// What to do instead.
    pub(super) next: &'static str,
}

/// Everything that rules judge.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    pub(super) layout: Layout,
    /// By their paths in one spelling.
    pub(super) entries: BTreeMap<String, Entry>,
    /// Files that hold a secret, with its kind.
    pub(super) secrets: BTreeMap<String, &'static str>,
    /// Texts about the guest: a configuration of Proxmox, an index of Incus.
    pub(super) documents: BTreeMap<&'static str, String>,
    /// Where nothing could be seen, and why.
    pub(super) unseen: Vec<(String, String)>,
    pub(super) sealed: Vec<Sealed>,
    pub(super) read_entries: u64,
    pub(super) read_bytes: u64,
}

/// What links told a pass to look for in the next one.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Leads {
    /// Folders that are also seen under another path: where it really is, what it is called too.
    folders: BTreeSet<(String, String)>,
    files: BTreeSet<String>,
}

#[derive(Debug)]
pub(super) struct Collector {
    pub(super) facts: Facts,
    limits: Limits,
    wanted: Wanted,
    leads: Leads,
    /// Symlinks above wanted paths, and where they lead; in a chain of them each under the first one's name.
    detours: BTreeSet<(String, String)>,
    kept_bytes: usize,
    buffer: Vec<u8>,
}

impl Collector {
    pub(super) fn new(limits: Limits, leads: Leads) -> Self {
        let wanted = Wanted::new(&leads.files);
        let (facts, detours) = (Facts::default(), BTreeSet::new());
        Self { facts, limits, wanted, leads, detours, kept_bytes: 0, buffer: vec![0; TEXT] }
    }

    /// Takes one entry; reads of its body what somebody wants to know.
    pub(super) fn take(&mut self, raw: &Raw<'_>, body: &mut dyn Read) -> Result<(), Broken> {
        self.facts.read_entries += 1;
        self.facts.read_bytes = self.facts.read_bytes.saturating_add(raw.size);
        if self.facts.read_entries > self.limits.entries {
            return Err(Broken::TooMuch { what: "entries", limit: self.limits.entries });
        }
        if self.facts.read_bytes > self.limits.bytes {
            return Err(Broken::TooMuch { what: "bytes", limit: self.limits.bytes });
        }
        match self.facts.layout.place(raw.path) {
            Place::Root(path) => self.take_of_root(raw, &path, body),
            Place::Document(name) => {
                let read = self.read(body, TEXT)?;
                let text = String::from_utf8_lossy(&self.buffer[..read]).into_owned();
                self.facts.documents.insert(name, text);
                Ok(())
            }
            Place::Sealed(path) => {
                let next = "export it without `--optimized-storage`; of a machine lint the root that its disk was made of";
                let what = "a disk or a stream of a storage driver".to_owned();
                self.facts.sealed.push(Sealed { path, what, next });
                Ok(())
            }
            Place::Elsewhere => Ok(()),
        }
    }

    fn take_of_root(&mut self, raw: &Raw<'_>, at: &str, body: &mut dyn Read) -> Result<(), Broken> {
        let path = canonical(at);
        let mut names = vec![path.clone()];
        for (real, called) in &self.leads.folders {
            match path.strip_prefix(real.as_str()) {
                Some("") => names.push(called.clone()),
                Some(rest) if rest.starts_with('/') => names.push(format!("{called}{rest}")),
                _ => {}
            }
        }
        let link = raw.link.map(|link| match raw.kind {
            EntryKind::Symlink => canonical(&target(at, link)),
            _ => canonical(link),
        });
        self.facts.secrets.remove(&path);
        let found: Vec<_> = names.into_iter().map(|name| (self.wanted.look(&name), name)).collect();
        let need = found.iter().map(|(found, _)| found.want.bytes).max().unwrap_or(0);
        let is_file = raw.kind == EntryKind::File && raw.link.is_none();
        let mut mark = Mark::default();
        let mut seen = 0;
        if is_file && (need > 0 || (raw.size > 0 && raw.size <= secret::LARGEST)) {
            // No more than there is: a file is then read at once.
            let most = usize::try_from(raw.size).unwrap_or(TEXT).clamp(1, TEXT);
            seen = self.read(body, most)?;
            let bytes = &self.buffer[..seen];
            if let Some(kind) = secret::recognise(&path, bytes)
                && self.facts.secrets.len() < SECRETS
            {
                self.facts.secrets.insert(path, kind);
            }
            if found.iter().any(|(found, _)| found.want.scan) {
                mark.feed(bytes);
                self.scan(&mut mark, body)?;
            }
        }
        for (matched, name) in found {
            for length in matched.above {
                self.imply(&name[..length])?;
            }
            if matched.leads_on
                && raw.kind == EntryKind::Symlink
                && let Some(link) = &link
            {
                self.detours.insert((name.clone(), link.clone()));
            }
            if matched.want.keep {
                let read = is_file && matched.want.bytes > 0;
                let entry = Entry {
                    kind: raw.kind,
                    mode: raw.mode,
                    bytes: read.then(|| self.buffer[..seen.min(matched.want.bytes)].to_vec()),
                    link: link.clone(),
                    at: at.to_owned(),
                    items: matched.want.items,
                    version: mark.version(),
                };
                self.keep(name, entry)?;
            }
        }
        Ok(())
    }

    /// A folder that only shows by what is in it.
    fn imply(&mut self, folder: &str) -> Result<(), Broken> {
        if self.facts.entries.contains_key(folder) {
            return Ok(());
        }
        let items = self.wanted.look(folder).want.items;
        let at = folder.to_owned();
        let entry =
            Entry { kind: EntryKind::Folder, mode: 0o755, bytes: None, link: None, at, items, version: None };
        self.keep(folder.to_owned(), entry)
    }

    /// The last one of a path counts, as it does for who unpacks.
    fn keep(&mut self, path: String, entry: Entry) -> Result<(), Broken> {
        let weight = |entry: &Entry| entry.bytes.as_ref().map_or(0, Vec::len) + entry.at.len();
        self.kept_bytes += weight(&entry) + path.len();
        if let Some(old) = self.facts.entries.insert(path, entry) {
            self.kept_bytes = self.kept_bytes.saturating_sub(weight(&old));
        }
        let count = self.facts.entries.len() as u64;
        if count > KEPT_ENTRIES || self.kept_bytes > KEPT_BYTES {
            return Err(Broken::TooMuch { what: "entries that a rule looks at", limit: KEPT_ENTRIES });
        }
        Ok(())
    }

    fn read(&mut self, body: &mut dyn Read, most: usize) -> Result<usize, Broken> {
        let buffer = &mut self.buffer[..most];
        read_up_to(&mut &mut *body, buffer).map_err(|source| Broken::Unreadable { source })
    }

    fn scan(&mut self, mark: &mut Mark, body: &mut dyn Read) -> Result<(), Broken> {
        /// No agent is larger.
        const LARGEST: usize = 128 << 20;
        let mut piece = vec![0; TEXT];
        let mut total = 0;
        while total < LARGEST && mark.version().is_none() {
            let count =
                read_up_to(&mut &mut *body, &mut piece).map_err(|source| Broken::Unreadable { source })?;
            if count == 0 {
                break;
            }
            mark.feed(&piece[..count]);
            total += count;
        }
        Ok(())
    }

    /// A place that could not be looked at.
    pub(super) fn unseen(&mut self, path: &str, why: &io::Error) {
        const MOST: usize = 200;
        if self.facts.unseen.len() < MOST {
            self.facts.unseen.push((format!("/{path}"), escape(&why.to_string(), 200)));
        }
    }

    /// What the next pass has to look for; none: everything is known.
    pub(super) fn leads(&mut self, last: bool) -> Option<Leads> {
        let mut leads = self.leads.clone();
        for (name, real) in &self.detours {
            let outside = ["", "dev", "proc", "sys", "run"].iter().any(|top| first_of(real) == *top);
            if !outside && !self.wanted.covers(real, name) {
                leads.folders.insert((real.clone(), name.clone()));
            }
        }
        for entry in self.facts.entries.values() {
            let reads = entry.items.iter().any(|item| item.detect.needs_bytes()) || entry.items.is_empty();
            if let Some(link) = entry.link.as_ref().filter(|_| reads)
                && !["", "dev", "proc", "sys", "run"].contains(&first_of(link))
                && !self.facts.entries.contains_key(link)
                // Looked for already, and not there.
                && !self.wanted.look(link).want.keep
            {
                leads.files.insert(link.clone());
            }
        }
        if leads == self.leads {
            return None;
        }
        if last {
            for file in leads.files.difference(&self.leads.files) {
                self.facts.unseen.push((format!("/{file}"), "too many links lead there".to_owned()));
            }
            return None;
        }
        Some(leads)
    }
}

fn first_of(path: &str) -> &str {
    path.split('/').next().unwrap_or_default()
}

impl Facts {
    /// What stands at a path, links followed; none where they lead nowhere.
    pub(super) fn file(&self, path: &str) -> Option<&Entry> {
        let mut entry = self.entries.get(&canonical(path))?;
        for _ in 0..8 {
            match &entry.link {
                Some(link) => entry = self.entries.get(link)?,
                None => return Some(entry),
            }
        }
        None
    }

    /// Whether anything stands there, be it a link that leads nowhere.
    pub(super) fn has(&self, path: &str) -> bool {
        self.entries.contains_key(&canonical(path))
    }

    pub(super) fn text(&self, path: &str) -> Option<String> {
        Some(String::from_utf8_lossy(self.file(path)?.bytes.as_deref()?).into_owned())
    }
}

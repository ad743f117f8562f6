//! A tar, however it was compressed.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read};

use firstlight_shared::items::EntryKind;
use firstlight_shared::text::escape;

use super::super::collect::{Collector, Raw};
use super::super::place::relative;
use crate::packing::{Broken, Tee, walk};

pub(super) fn read(source: impl Read, collector: &mut Collector) -> Result<(), Broken> {
    let mut trap = Trap::default();
    walk(Tee::new(source, io::sink()), |entry, shown| {
        let kind = entry.header().entry_type();
        let sparse_name = sparse_name(entry);
        let is_sparse = sparse_name.is_some();
        let bytes = sparse_name.unwrap_or_else(|| entry.path_bytes().into_owned());
        let corrupt =
            |reason: &str| Broken::Corrupt { last: Some(shown.to_owned()), reason: reason.to_owned() };
        let path = relative(&bytes).ok_or_else(|| corrupt("a name that no file can have"))?;
        trap.check(&path, kind.is_symlink(), shown)?;
        let link = entry.link_name_bytes().map(|link| String::from_utf8_lossy(&link).into_owned());
        let (kind, link) = match kind {
            kind if kind.is_symlink() => (EntryKind::Symlink, link),
            kind if kind.is_hard_link() => (EntryKind::File, link.and_then(|link| relative(link.as_bytes()))),
            kind if kind.is_dir() => (EntryKind::Folder, None),
            kind if kind.is_file() || kind.is_contiguous() || kind.is_gnu_sparse() => (EntryKind::File, None),
            kind if kind.is_pax_global_extensions() => return Ok(()),
            _ => (EntryKind::Other, None),
        };
        let raw = Raw {
            path: &path,
            kind,
            mode: entry.header().mode().unwrap_or(0),
            size: entry.size(),
            link: link.as_deref(),
        };
        // Its map comes first, so the bytes are not those of the file.
        if is_sparse { collector.take(&raw, &mut io::empty()) } else { collector.take(&raw, entry) }
    })
    .map(drop)
}

/// The name of a sparse file in the format of PAX: the header's own is made up.
fn sparse_name<R: Read>(entry: &mut tar::Entry<'_, R>) -> Option<Vec<u8>> {
    let extensions = entry.pax_extensions().ok()??;
    let named = extensions.flatten().find(|extension| extension.key_bytes() == b"GNU.sparse.name");
    named.map(|extension| extension.value_bytes().to_vec())
}

/// Knows the symlinks that have come, to tell an entry that would be written through one of them. Digests only: an
/// archive may have millions.
#[derive(Debug, Default)]
struct Trap {
    state: RandomState,
    links: HashSet<u64>,
    /// The folder that was checked last.
    folder: Option<String>,
}

impl Trap {
    /// 8 bytes each.
    const MOST: usize = 1 << 20;

    fn check(&mut self, path: &str, is_link: bool, shown: &str) -> Result<(), Broken> {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        if self.folder.as_deref() != Some(folder) {
            let ends = folder.match_indices('/').map(|(end, _)| end).chain([folder.len()]);
            for end in ends {
                let above = &folder[..end];
                if self.links.contains(&self.state.hash_one(above)) {
                    return Err(Broken::UnsafePath {
                        entry: shown.to_owned(),
                        what: "a folder above it",
                        why: "is a symlink of the same archive",
                        path: escape(above, 200),
                    });
                }
            }
            self.folder = Some(folder.to_owned());
        }
        if is_link {
            self.links.insert(self.state.hash_one(path));
            self.folder = None;
            if self.links.len() > Self::MOST {
                return Err(Broken::TooMuch { what: "symlinks", limit: Self::MOST as u64 });
            }
        }
        Ok(())
    }
}

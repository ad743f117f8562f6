//! A disk image, raw or qcow2: the ext2, ext3 or ext4 file system in it that is a root. Read with `ext4-view`: nothing is
//! mounted, no device is made, no tool is run, and the image is opened for reading alone.

mod partitions;
mod qcow2;

use std::fmt::Display;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use ext4_view::{Ext4, Ext4Error, Ext4Read, FileType};
use firstlight_shared::items::EntryKind;
use firstlight_shared::text::escape;

use self::qcow2::Qcow2;
use super::super::collect::{Collector, Raw, Sealed};
use super::super::place::{Layout, relative};
use super::formats;
use crate::packing::Broken;

/// Of ext2 to ext4: in the super block, which begins at 1024.
pub(super) const EXT_MAGIC: (usize, [u8; 2]) = (1080, [0x53, 0xef]);

#[derive(Debug)]
enum Image {
    Raw(File),
    Qcow2(Qcow2),
}

impl Image {
    /// # Errors
    /// It cannot be read; `Unsupported`: in a form of qcow2 that is not read here.
    fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let mut magic = [0; 4];
        file.read_exact_at(&mut magic, 0)?;
        if magic == qcow2::MAGIC { Qcow2::open(file).map(Self::Qcow2) } else { Ok(Self::Raw(file)) }
    }

    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        match self {
            Self::Raw(file) => file.read_exact_at(buffer, offset),
            Self::Qcow2(image) => image.read_at(offset, buffer),
        }
    }
}

/// From a byte on.
struct Part {
    image: Image,
    start: u64,
}

impl Ext4Read for Part {
    fn read(
        &mut self,
        start: u64,
        buffer: &mut [u8],
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let start =
            self.start.checked_add(start).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.image.read_at(start, buffer)?)
    }
}

pub(super) fn read(path: &Path, collector: &mut Collector) -> Result<(), Broken> {
    collector.facts.layout = Layout::Root;
    let sealed = |collector: &mut Collector, what: Sealed| {
        collector.facts.sealed.push(what);
        Ok(())
    };
    let mut image = match Image::open(path) {
        Ok(image) => image,
        Err(error) if error.kind() == io::ErrorKind::Unsupported => {
            return sealed(collector, formats::image(error.to_string()));
        }
        Err(error) => return Err(damaged(&error)),
    };
    let partitions = partitions::find(&mut |offset, buffer| image.read_at(offset, buffer));
    let mut others = Vec::new();
    let mut foreign = Vec::new();
    let mut root = None;
    for part in &partitions {
        let mut magic = [0; 2];
        let at = part.start.saturating_add(EXT_MAGIC.0 as u64);
        if image.read_at(at, &mut magic).is_err() || magic != EXT_MAGIC.1 {
            let mut has = |at: u64, mark: &[u8]| {
                let mut bytes = vec![0; mark.len()];
                let at = part.start.saturating_add(at);
                image.read_at(at, &mut bytes).is_ok() && bytes == mark
            };
            match formats::on_disk(&mut has) {
                Some(format) => foreign.push((part.name.as_str(), format)),
                None => others.push(part.name.clone()),
            }
            continue;
        }
        let part_image = Image::open(path).map_err(|error| damaged(&error))?;
        match Ext4::load(Box::new(Part { image: part_image, start: part.start })) {
            Ok(system) if root.is_none() && system.exists("/etc").unwrap_or(false) => root = Some(system),
            Ok(_) => others.push(part.name.clone()),
            Err(error @ Ext4Error::Incompatible(_)) => {
                let what = format!("a file system of the ext family, with features ({error}),");
                return sealed(collector, formats::file_system(what));
            }
            Err(error) => return Err(damaged(&error)),
        }
    }
    match root {
        Some(root) => {
            for name in others {
                collector.unseen(&name, &io::Error::other("another part of the disk than its root"));
            }
            let named = |(name, format): (&str, Sealed)| Sealed { path: name.to_owned(), ..format };
            collector.facts.sealed.extend(foreign.into_iter().map(named));
            walk(&root, collector)
        }
        None => sealed(collector, formats::no_root(&foreign)),
    }
}

fn damaged(error: &dyn Display) -> Broken {
    Broken::Corrupt { last: None, reason: escape(&error.to_string(), 200) }
}

fn walk(system: &Ext4, collector: &mut Collector) -> Result<(), Broken> {
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        let listed = match system.read_dir(format!("/{folder}").as_str()) {
            Ok(listed) => listed,
            Err(error) => {
                collector.unseen(&folder, &io::Error::other(error.to_string()));
                continue;
            }
        };
        for entry in listed {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    collector.unseen(&folder, &io::Error::other(error.to_string()));
                    break;
                }
            };
            let file_name = entry.file_name();
            let Ok(name) = file_name.as_str() else {
                let shown = format!("{folder}/{}", file_name.display());
                collector.unseen(&shown, &io::Error::other("its name is not UTF-8"));
                continue;
            };
            if matches!(name, "." | "..") {
                continue;
            }
            let path = if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
            // Longer than any path, as in a folder that holds itself.
            if relative(path.as_bytes()).as_deref() != Some(path.as_str()) {
                return Err(damaged(&"a path that no file can have"));
            }
            let about = entry.metadata().map(|about| (about.file_type(), about.mode(), about.len()));
            let taken = match about {
                Ok(about) => take(system, &path, about, collector),
                Err(error) => Err(Broken::Unreadable { source: io::Error::other(error.to_string()) }),
            };
            match taken {
                Ok(true) => folders.push(path),
                Ok(false) => {}
                Err(Broken::Unreadable { source }) => collector.unseen(&path, &source),
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

/// Whether it is a folder.
fn take(
    system: &Ext4,
    path: &str,
    (kind, mode, length): (FileType, u16, u64),
    collector: &mut Collector,
) -> Result<bool, Broken> {
    let absolute = format!("/{path}");
    let kind = match kind {
        FileType::Regular => EntryKind::File,
        FileType::Directory => EntryKind::Folder,
        FileType::Symlink => EntryKind::Symlink,
        _ => EntryKind::Other,
    };
    let unreadable = |error: Ext4Error| Broken::Unreadable { source: io::Error::other(error.to_string()) };
    let link = match kind {
        EntryKind::Symlink => {
            Some(system.read_link(absolute.as_str()).map_err(unreadable)?.display().to_string())
        }
        _ => None,
    };
    let size = if kind == EntryKind::File { length } else { 0 };
    let raw = Raw { path, kind, mode: u32::from(mode), size, link: link.as_deref() };
    collector.take(&raw, &mut Lazy { system, path: &absolute, file: None })?;
    Ok(kind == EntryKind::Folder)
}

/// Opened only when somebody reads.
struct Lazy<'a> {
    system: &'a Ext4,
    path: &'a str,
    file: Option<ext4_view::File>,
}

impl Read for Lazy<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let failed = |error: Ext4Error| io::Error::other(error.to_string());
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(self.system.open(self.path).map_err(failed)?),
        };
        file.read_bytes(buffer).map_err(failed)
    }
}

#[cfg(test)]
pub(super) mod tests;

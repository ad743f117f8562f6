//! A root as a folder. No link is followed, nothing of another file system is entered, and no access time is set where the
//! kernel lets it be.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use firstlight_shared::items::EntryKind;
use nix::libc;

use super::super::collect::{Collector, Raw};
use super::super::place::Layout;
use crate::packing::Broken;

pub(super) fn read(root: &Path, collector: &mut Collector) -> Result<(), Broken> {
    let unreadable = |source| Broken::Unreadable { source };
    let device = fs::metadata(root).map_err(unreadable)?.dev();
    let is_image = root.join("metadata.yaml").is_file() && root.join("rootfs").is_dir();
    collector.facts.layout = if is_image { Layout::Image } else { Layout::Root };
    // A name may be no text: how it is shown, and where it is.
    let mut folders = vec![(String::new(), root.to_owned())];
    while let Some((folder, place)) = folders.pop() {
        let listed = match fs::read_dir(&place) {
            Ok(listed) => listed,
            Err(error) if folder.is_empty() => return Err(unreadable(error)),
            Err(error) => {
                collector.unseen(&folder, &error);
                continue;
            }
        };
        for entry in listed {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    collector.unseen(&folder, &error);
                    break;
                }
            };
            let file_name = entry.file_name();
            let name = file_name.to_string_lossy();
            let path = if folder.is_empty() { name.into_owned() } else { format!("{folder}/{name}") };
            let place = entry.path();
            match entry.metadata() {
                Ok(about) => {
                    take(&place, &path, &about, collector)?;
                    if about.is_dir() && about.dev() == device {
                        folders.push((path, place));
                    } else if about.is_dir() {
                        collector.unseen(&path, &io::Error::other("another file system is mounted there"));
                    }
                }
                Err(error) => collector.unseen(&path, &error),
            }
        }
    }
    Ok(())
}

fn take(place: &Path, path: &str, about: &Metadata, collector: &mut Collector) -> Result<(), Broken> {
    let kind = match about.file_type() {
        kind if kind.is_file() => EntryKind::File,
        kind if kind.is_dir() => EntryKind::Folder,
        kind if kind.is_symlink() => EntryKind::Symlink,
        _ => EntryKind::Other,
    };
    let link = match kind {
        EntryKind::Symlink => match fs::read_link(place) {
            Ok(link) => Some(link.to_string_lossy().into_owned()),
            Err(error) => {
                collector.unseen(path, &error);
                return Ok(());
            }
        },
        _ => None,
    };
    let size = if kind == EntryKind::File { about.size() } else { 0 };
    let raw = Raw { path, kind, mode: about.mode(), size, link: link.as_deref() };
    let mut body = Lazy { place, file: None };
    match collector.take(&raw, &mut body) {
        // One file that cannot be read does not hide the others.
        Err(Broken::Unreadable { source }) => {
            collector.unseen(path, &source);
            Ok(())
        }
        other => other,
    }
}

/// Opened only when somebody reads.
struct Lazy<'a> {
    place: &'a Path,
    file: Option<File>,
}

impl io::Read for Lazy<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(open(self.place)?),
        };
        file.read(buffer)
    }
}

/// Not through a link, and never waiting for a pipe that took the file's place.
fn open(path: &Path) -> io::Result<File> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

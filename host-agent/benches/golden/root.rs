//! A root to look at: real files in real sizes, from this machine's `/usr`, below a name of their own where it has to be read twice.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

#[derive(Debug, Default)]
pub(crate) struct Size {
    pub(crate) bytes: u64,
    pub(crate) files: u64,
}

pub(crate) fn make(root: &Path, bytes: u64) -> PathBuf {
    fs::create_dir_all(root.join("etc/ssh")).unwrap();
    fs::write(root.join("etc/machine-id"), "").unwrap();
    fs::write(root.join("etc/ssh/ssh_host_ed25519_key"), "x").unwrap();
    let mut left = bytes;
    // What every golden has, whatever else this machine has before it in the alphabet.
    for first in ["usr/lib/systemd", "usr/lib/os-release"] {
        let (source, place) = (Path::new("/").join(first), root.join(first));
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        match source.is_dir() {
            true => copy(&source, &place, &mut left),
            false => drop(fs::copy(&source, &place).unwrap()),
        }
    }
    for round in 0..100 {
        let to = if round == 0 { root.join("usr") } else { root.join(format!("opt/{round}")) };
        copy(Path::new("/usr"), &to, &mut left);
        if left == 0 {
            return root.to_owned();
        }
    }
    panic!("/usr is empty");
}

/// A builder's machine has programs of hundreds of megabytes, and then a gigabyte is a handful of files.
const LARGEST: u64 = 4 << 20;

/// Until nothing is left to copy.
fn copy(from: &Path, to: &Path, left: &mut u64) {
    fs::create_dir_all(to).unwrap();
    let mut names: Vec<_> = fs::read_dir(from).unwrap().flatten().collect();
    names.sort_by_key(fs::DirEntry::file_name);
    for entry in names {
        let (source, place) = (entry.path(), to.join(entry.file_name()));
        let Ok(about) = entry.metadata() else { continue };
        if *left == 0 {
            return;
        } else if about.is_dir() {
            copy(&source, &place, left);
        } else if fs::symlink_metadata(&place).is_ok() || about.len() > LARGEST {
            continue;
        } else if about.is_symlink() {
            symlink(fs::read_link(&source).unwrap(), &place).unwrap();
        } else if about.is_file() && about.len() <= *left && fs::copy(&source, &place).is_ok() {
            *left -= about.len();
        } else if about.is_file() && *left < 1 << 20 {
            *left = 0;
        }
    }
}

pub(crate) fn size(folder: &Path) -> Size {
    let mut size = Size::default();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let about = entry.metadata().unwrap();
            if about.is_dir() {
                folders.push(entry.path());
            } else if about.is_file() {
                size.bytes += about.len();
                size.files += 1;
            }
        }
    }
    size
}

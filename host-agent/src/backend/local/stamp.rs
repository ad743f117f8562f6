//! Whose a guest's folder is. The stamp is on disk before anything else of the guest, and goes last.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use firstlight_shared::ids::{GuestName, MacAddress};
use firstlight_shared::text::escape;
use serde::{Deserialize, Serialize};

use super::names::Names;
use super::netns;
use crate::backend::Placement;
use crate::outcome::Fault;

/// More than any stamp; what is longer is not ours.
const STAMP_LIMIT: u64 = 64 << 10;

/// Contents of `stamp.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp {
    pub job: String,
    pub mac: MacAddress,
    pub addresses: Vec<IpAddr>,
}

/// Whose the name is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    Free,
    Ours,
    /// Says whose it seems to be.
    Other(String),
}

/// Whose the name is, for whom no job is ours; none: it is free.
pub(super) fn namesake(names: &Names, name: &GuestName) -> Option<String> {
    match standing_of(names, name, None) {
        Standing::Other(whose) => Some(whose),
        Standing::Ours => None,
        Standing::Free => {
            netns::lives(&names.guest(name)).then(|| "a network namespace without a folder".to_owned())
        }
    }
}

/// Looks at the guest's folder.
pub(super) fn standing(names: &Names, guest: &Placement) -> Standing {
    standing_of(names, &guest.plan.name, Some(&guest.job))
}

fn standing_of(names: &Names, name: &GuestName, job: Option<&str>) -> Standing {
    let folder = names.folder(name);
    match fs::symlink_metadata(&folder.path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Standing::Free,
        Err(error) => return Standing::Other(format!("a folder that cannot be read ({error})")),
        Ok(metadata) if !metadata.is_dir() => return Standing::Other("not a folder".to_owned()),
        Ok(_) => {}
    }
    match read(&folder.stamp()) {
        Some(stamp) if Some(stamp.job.as_str()) == job => Standing::Ours,
        Some(stamp) => Standing::Other(format!("job {}", escape(&stamp.job, 100))),
        None => Standing::Other("a folder without a readable stamp".to_owned()),
    }
}

/// The fault for work on a name that is not ours.
pub(super) fn foreign(names: &Names, guest: &Placement, whose: &str) -> Fault {
    let folder = names.folder(&guest.plan.name).path;
    Fault::new(
        "foreign-guest",
        format!("guest `{}` is there already and belongs to: {whose}", guest.plan.name),
    )
    .with_hint(format!("destroy that guest or choose another name; its folder is {}", folder.display()))
}

/// Reads a stamp; what cannot be read as one is none.
pub(super) fn read(file: &Path) -> Option<Stamp> {
    let mut text = Vec::new();
    let file = OpenOptions::new().read(true).custom_flags(libc_flags()).open(file).ok()?;
    file.take(STAMP_LIMIT).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

fn libc_flags() -> i32 {
    use nix::fcntl::OFlag;
    (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits()
}

/// Makes the guest's folder with the stamp in it, in one step: it is made under the job's own name and renamed.
///
/// # Idempotence
/// A folder that carries the job's stamp already is left as it is.
pub(super) fn ensure_stamped(names: &Names, guest: &Placement) -> Result<(), Fault> {
    match standing(names, guest) {
        Standing::Ours => return Ok(()),
        Standing::Other(whose) => return Err(foreign(names, guest, &whose)),
        Standing::Free => {}
    }
    let stamp = Stamp {
        job: guest.job.clone(),
        mac: guest.allocation.mac,
        addresses: guest.allocation.addresses.clone(),
    };
    let new = names.transit(&guest.plan.name, &guest.job, "new");
    let folder = names.folder(&guest.plan.name);
    let made = (|| {
        create_private_folder(&names.guests_folder())?;
        if new.exists() {
            fs::remove_dir_all(&new)?; // a crash between making and renaming; holds a stamp at most
        }
        create_private_folder(&new)?;
        write_private(&new.join("stamp.json"), &serde_json::to_vec(&stamp).map_err(io::Error::other)?)?;
        fs::rename(&new, &folder.path)?;
        sync_folder(&names.guests_folder())
    })();
    made.map_err(|error| file_fault("make the guest's folder", &folder.path, &error))
}

/// A folder that only root may enter: roots of guests hold set-uid programs.
pub(super) fn create_private_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Writes a file that only root may read, durably, replacing what was there in one step.
pub(super) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let partial = path.with_extension("partial");
    match fs::remove_file(&partial) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&partial, path)?;
    path.parent().map_or(Ok(()), sync_folder)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// A fault for what the file system refused.
pub(super) fn file_fault(what: &str, path: &Path, error: &io::Error) -> Fault {
    let fault = Fault::new("file-system", format!("cannot {what} ({}): {error}", path.display()));
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            fault.with_hint("free some space there, or give another folder with --state")
        }
        _ => fault,
    }
}

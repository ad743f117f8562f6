//! Puts fresh keys in place so that a crash at any point leaves no mixed pair.
//!
//! The new set is staged in full and made durable; then everything old goes, public halves first; then private
//! halves are renamed, then public ones. At every moment a private key stands alone or beside its own public half.
//! The folders are synchronized at the end; the caller writes the stamp last.

use std::collections::BTreeSet;

use super::{HostKeys, KeyFile, MadeKey, Place};
use crate::sys::{Root, SysError};

/// Installs `fresh` where `found` says that keys of their types belong, and removes `old` (whole file sets, of any type).
///
/// # Errors
/// Any effect failed. Run again: everything staged is made anew, everything old is still found by name.
pub(crate) fn install(
    root: &Root,
    found: &HostKeys,
    fresh: &[MadeKey],
    old: &[&KeyFile],
) -> Result<(), SysError> {
    if fresh.is_empty() && old.is_empty() {
        return Ok(());
    }
    let fresh: Vec<(&MadeKey, Place)> = fresh.iter().map(|key| (key, found.place_of(key.kind))).collect();
    let mut staged = Vec::new();
    for (key, place) in &fresh {
        for (path, mode, bytes) in [
            (&place.private, 0o600, key.private.as_bytes()),
            (&place.public, 0o644, key.public_line.as_bytes()),
        ] {
            root.make_folder(folder_of(path))?;
            staged.push(root.stage(path, mode, bytes)?);
        }
    }
    root.sync(&staged)?;
    let mut folders = BTreeSet::new();
    for key in old {
        let replaced = fresh.iter().any(|(_, place)| place.private == key.place.private);
        // The private file last; one that is replaced stays for the rename over it.
        for file in key.files.iter().filter(|file| !replaced || **file != key.place.private) {
            root.remove(file)?;
            folders.insert(folder_of(file));
        }
    }
    for (_, place) in &fresh {
        root.commit(&place.private)?;
        folders.insert(folder_of(&place.private));
    }
    for (_, place) in &fresh {
        root.commit(&place.public)?;
        folders.insert(folder_of(&place.public));
    }
    for folder in folders {
        root.sync_folder_of(&format!("{folder}/."))?;
    }
    super::certificate::remove_stale_drop_in(root)
}

fn folder_of(path: &str) -> &str {
    path.rsplit_once('/').map_or(".", |(folder, _)| folder)
}

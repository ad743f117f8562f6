//! Puts fresh keys in place so that a crash at any point leaves no mixed pair.
//!
//! The new set is staged in full and made durable; then everything old goes, public halves first; then private
//! halves are renamed, then public ones. At every moment a private key stands alone or beside its own public half.
//! The caller synchronizes the folder once and writes the stamp last.

use super::{KeyFile, MadeKey, path_of};
use crate::sys::{Root, SysError};

/// Installs `fresh` and removes `old` (whole file sets, of any type).
///
/// # Errors
/// Any effect failed. Run again: everything staged is made anew, everything old is still found by name.
pub(crate) fn install(root: &Root, fresh: &[MadeKey], old: &[&KeyFile]) -> Result<(), SysError> {
    if fresh.is_empty() && old.is_empty() {
        return Ok(());
    }
    let mut staged = Vec::new();
    for key in fresh {
        root.make_folder(crate::paths::SSH_DIR)?;
        let private = path_of(&key.kind.file_name());
        staged.push(root.stage(&private, 0o600, key.private.as_bytes())?);
        staged.push(root.stage(&format!("{private}.pub"), 0o644, key.public_line.as_bytes())?);
    }
    root.sync(&staged)?;
    for key in old {
        let replaced = fresh.iter().any(|new| new.kind.file_name() == key.name);
        remove_file_set(root, key, replaced)?;
    }
    for key in fresh {
        root.commit(&path_of(&key.kind.file_name()))?;
    }
    for key in fresh {
        root.commit(&path_of(&format!("{}.pub", key.kind.file_name())))?;
    }
    root.sync_folder_of(&path_of("."))
}

/// Removes a key's files, the private one last. With `keep_private` the private file stays for the rename over it.
///
/// # Errors
/// A file cannot be removed.
fn remove_file_set(root: &Root, key: &KeyFile, keep_private: bool) -> Result<(), SysError> {
    for file in key.files.iter().filter(|file| **file != key.name) {
        root.remove(&path_of(file))?;
    }
    if keep_private || !key.files.contains(&key.name) {
        return Ok(());
    }
    root.remove(&path_of(&key.name))
}

//! A secret in a file of the companion's machine.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::Mode;
use zeroize::Zeroizing;

use super::{MOST, SecretRules, companions_user};
use crate::outcome::Fault;

/// Whether it can be read now. It is not.
pub(super) fn look(path: &Path, rules: &SecretRules) -> Result<(), Fault> {
    open(path, rules).map(drop)
}

pub(super) fn read(path: &Path, rules: &SecretRules) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let file = open(path, rules)?;
    // Room for all of it at once: no copy is left behind by growing.
    let mut content = Zeroizing::new(Vec::with_capacity(MOST + 1));
    file.take(MOST as u64 + 1).read_to_end(&mut content).map_err(|error| unreadable(&error))?;
    if content.len() > MOST { Err(too_large()) } else { Ok(content) }
}

/// The open file is judged: nobody puts another in its place in between.
fn open(path: &Path, rules: &SecretRules) -> Result<File, Fault> {
    let file = open_within(path, rules).map_err(|error| unreadable(&error))?;
    let found = file.metadata().map_err(|error| unreadable(&error))?;
    if !found.is_file() {
        return Err(Fault::new("secret-no-file", "it is no regular file"));
    }
    let mode = found.mode() & 0o7777;
    if mode & 0o077 != 0 {
        let message = format!("others may read it (mode {mode:04o})");
        return Err(Fault::new("secret-exposed", message).with_hint(format!("chmod 0600 {}", path.display())));
    }
    let own = nix::unistd::geteuid().as_raw();
    if found.uid() != 0 && found.uid() != own {
        let message = format!("it belongs to user {}, who could change it", found.uid());
        let hint = format!("chown {} {}", companions_user(), path.display());
        return Err(Fault::new("secret-exposed", message).with_hint(hint));
    }
    if found.len() > MOST as u64 { Err(too_large()) } else { Ok(file) }
}

/// Links never lead out of the folder that is allowed. A fifo does not hold us.
fn open_within(path: &Path, rules: &SecretRules) -> io::Result<File> {
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let SecretRules::Only { folders, .. } = rules else {
        return Ok(File::from(openat(AT_FDCWD, path, flags, Mode::empty())?));
    };
    let inside = folders.iter().find_map(|folder| Some((folder, path.strip_prefix(folder).ok()?)));
    let (folder, rest) = inside.ok_or(io::ErrorKind::PermissionDenied)?;
    let folder = openat(
        AT_FDCWD,
        folder.as_path(),
        OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC,
        Mode::empty(),
    )?;
    let how = OpenHow::new()
        .flags(flags)
        .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    Ok(File::from(openat2(&folder, rest, how)?))
}

fn unreadable(error: &io::Error) -> Fault {
    let message = format!("the companion (user {}) cannot read it: {error}", companions_user());
    Fault::new("secret-unreadable", message).with_hint(
        "sources are files of the machine on which the companion runs, read by its user when the guest is made; \
         links must stay below the allowed folder",
    )
}

fn too_large() -> Fault {
    Fault::new("secret-too-large", format!("it has more than {MOST} bytes"))
}

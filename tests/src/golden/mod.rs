//! Real Debian 13 goldens: a base made by mmdebstrap, cleaned as the field cleans it, and variants of it that differ
//! by a small layer appended to the archive.
//!
//! A base costs about half a minute and is kept until its recipe changes. A variant costs one copy of the archive and
//! is made anew whenever the layer (the guest's binary, its units) or its base changes. Every file appears by a rename
//! under a lock, so that runs side by side never see half of one.

mod base;
pub mod image;
mod layer;
mod variants;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::fcntl::{Flock, FlockArg};

use crate::{paths, run};
pub use layer::{Entry, Layer};
pub use variants::{BAKED_HOSTNAME, BAKED_MACHINE_ID, HOSTILE_NSSWITCH, Variant};

/// Name of the private key whose public half may log in as root to every golden.
pub const LOGIN_KEY: &str = "login_key";

/// Makes the wanted variants and gives their folder.
pub fn ensure(guest: &Path, wanted: &[Variant]) -> Result<PathBuf> {
    let (folder, _held) = cache()?;
    login_key(&folder)?;
    let mut kept = Vec::new();
    for variant in wanted {
        let base = base::ensure(&folder, variant.flavour())?;
        variants::ensure(*variant, &base, guest, &folder)?;
        kept.push(base);
    }
    base::forget_others(&folder, &kept)?;
    Ok(folder)
}

/// Makes what the variants stand on: all that needs no guest's binary.
pub fn ensure_bases(wanted: &[Variant]) -> Result<()> {
    let (folder, _held) = cache()?;
    for variant in wanted {
        base::ensure(&folder, variant.flavour())?;
    }
    Ok(())
}

/// The folder of the goldens, and the right to change it.
fn cache() -> Result<(PathBuf, Flock<File>)> {
    let folder = paths::goldens();
    fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let lock = File::create(folder.join("lock")).context("the lock of the golden cache cannot be opened")?;
    let held = Flock::lock(lock, FlockArg::LockExclusiveNonblock)
        .or_else(|(lock, _)| {
            eprintln!("waiting for another run that builds goldens");
            Flock::lock(lock, FlockArg::LockExclusive)
        })
        .map_err(|(_, error)| error)
        .context("the golden cache cannot be locked")?;
    Ok((folder, held))
}

/// Path of one golden in the folder.
pub fn archive(folder: &Path, variant: Variant) -> PathBuf {
    folder.join(format!("{}.tar", variant.name()))
}

fn login_key(folder: &Path) -> Result<()> {
    let key = folder.join(LOGIN_KEY);
    if !key.is_file() {
        run::must(
            run::command(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "firstlight-demo", "-f"])
                .arg(key),
        )?;
    }
    Ok(())
}

//! axe-core, the judge of accessibility: one file from npm, of a pinned version and digest.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest as _, Sha512};

use crate::{packages, paths, run};

const VERSION: &str = "4.14.1";
/// Of the package, as npm's registry has it.
const SHA512: &str =
    "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ==";

/// `axe.min.js`; fetched once.
///
/// # Errors
/// There is no npm, no way to the package, or it is another one.
pub fn ensure_script() -> Result<PathBuf> {
    let folder = paths::scratch().join("tools").join(format!("axe-core-{VERSION}"));
    let script = folder.join("axe.min.js");
    if script.is_file() {
        return Ok(script);
    }
    packages::ensure(packages::NPM)?;
    let fresh = tempfile::tempdir()?;
    run::must(
        run::command(["npm", "pack", "--silent", "--ignore-scripts"])
            .arg(format!("axe-core@{VERSION}"))
            .current_dir(fresh.path()),
    )
    .context("axe-core cannot be fetched from npm")?;
    let archive = fresh.path().join(format!("axe-core-{VERSION}.tgz"));
    let digest = BASE64_STANDARD.encode(Sha512::digest(std::fs::read(&archive)?));
    ensure!(digest == SHA512, "axe-core {VERSION} from npm has the SHA-512 {digest}, not {SHA512}");
    run::must(
        run::command(["tar", "-xzf"]).arg(&archive).arg("-C").arg(fresh.path()).arg("package/axe.min.js"),
    )?;
    std::fs::create_dir_all(&folder)?;
    // Whole or not there: two runs may fetch at once.
    let partial = folder.join("axe.min.js.partial");
    std::fs::copy(fresh.path().join("package/axe.min.js"), &partial)?;
    std::fs::rename(&partial, &script)?;
    Ok(script)
}

//! PyPI's `fakepve`: a server that speaks Proxmox's API and the schema it checks requests with, both made by others.
//!
//! It is licensed under the AGPL: installed for tests, beside the repository, and never a part of it.

use std::path::PathBuf;

use anyhow::Result;

use crate::python;

/// Exactly these: what they check must not change under the tests.
const REQUIREMENTS: [&str; 2] = ["fakepve==0.5.0", "aiohttp==3.14.5"];

/// A Python that has the package; made once, from PyPI.
///
/// # Errors
/// There is no Python, or no way to the packages.
pub fn ensure() -> Result<PathBuf> {
    python::environment(&REQUIREMENTS, "import fakepve.server")
}

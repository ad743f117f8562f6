//! Ansible itself, for the tasks that docs/wait.md shows.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::python;

/// `ansible-playbook`; made once, from PyPI.
///
/// # Errors
/// There is no Python, or no way to the packages.
pub fn ensure() -> Result<PathBuf> {
    let python = python::environment(&["ansible-core==2.19.14"], "import ansible.cli.playbook")?;
    let folder = python.parent().context("an environment has a folder of programs")?;
    Ok(folder.join("ansible-playbook"))
}

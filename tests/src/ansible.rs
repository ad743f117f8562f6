//! Ansible itself: for the tasks that docs/wait.md shows, and as a peer of ours.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::python;

const CORE: &str = "ansible-core==2.19.14";
/// The release that goes with that core. Of its hundred collections only one is wanted; it is on PyPI in no other form.
const COLLECTIONS: &str = "ansible==12.3.0";
const COLLECTION: &str = "ansible_collections/community/proxmox";

/// `ansible-playbook`; made once, from PyPI.
///
/// # Errors
/// There is no Python, or no way to the packages.
pub fn ensure() -> Result<PathBuf> {
    playbook(&python::environment(&[CORE], "import ansible.cli.playbook")?)
}

/// Ansible with the collection for Proxmox VE.
#[derive(Debug)]
pub struct Proxmox {
    /// `ansible-playbook`.
    pub playbook: PathBuf,
    /// The folder where it finds the collection.
    pub collections: PathBuf,
    /// The collection's.
    pub version: String,
}

/// For a benchmark alone; made once, from PyPI: 55 MB to fetch, 80 MB to keep.
///
/// # Errors
/// There is no Python, or no way to the packages.
pub fn proxmox() -> Result<Proxmox> {
    let requirements = ["proxmoxer==2.3.0", "requests==2.34.2", CORE];
    let python = python::environment(&requirements, "import ansible.cli.playbook, proxmoxer, requests")?;
    let collections = python::part(&python, COLLECTIONS, COLLECTION)?;
    let manifest = collections.join(COLLECTION).join("MANIFEST.json");
    let text = std::fs::read_to_string(&manifest).with_context(|| manifest.display().to_string())?;
    let manifest: Value = serde_json::from_str(&text)?;
    let version = manifest["collection_info"]["version"].as_str().context("a collection has a version")?;
    Ok(Proxmox { playbook: playbook(&python)?, collections, version: version.to_owned() })
}

fn playbook(python: &Path) -> Result<PathBuf> {
    let folder = python.parent().context("an environment has a folder of programs")?;
    Ok(folder.join("ansible-playbook"))
}

//! One Debian in two roles: with the agent and a cloud-init that is switched off, and the other way round. Every boot of it is a
//! first one.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::golden::{self, Variant};
use crate::guest::{Boot, bare};
use crate::run;

/// Who is at work in the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Agent,
    CloudInit,
}

/// Debian's own, without what the golden of the tests does to it.
const NSSWITCH: &str = "passwd: files systemd\ngroup: files systemd\nshadow: files systemd\ngshadow: files systemd\n\
    hosts: files myhostname dns\nnetworks: files\nprotocols: db files\nservices: db files\n";
/// What boots leave outside of /etc.
const LEFT: [&str; 6] = [
    "var/lib/firstlight",
    "var/lib/cloud",
    "var/log/cloud-init.log",
    "var/log/cloud-init-output.log",
    "var/log/journal",
    "home/debian",
];

#[derive(Debug)]
pub(super) struct Image {
    root: bare::Root,
    /// /etc before the first boot.
    etc: TempDir,
}

impl Image {
    pub(super) fn new(goldens: &Path, side: Side) -> Result<Self> {
        let root = bare::Root::unpack(&golden::archive(goldens, Variant::Cloud))?;
        let etc = tempfile::Builder::new().prefix("firstlight-etc-").tempdir()?;
        let image = Self { root, etc };
        image.put("etc/nsswitch.conf", NSSWITCH)?;
        // The guest's address is given from outside, and nobody waits for another.
        image.systemctl_disable(&["systemd-networkd.service", "systemd-networkd.socket"])?;
        image.systemctl_disable(&["systemd-networkd-wait-online.service"])?;
        image.remove("etc/systemd/network/10-eth0.network")?;
        image.put(
            "etc/cloud/cloud.cfg.d/99-firstlight-test.cfg",
            "datasource_list: [NoCloud]\nnetwork: {config: disabled}\n",
        )?;
        match side {
            Side::Agent => image.put("etc/cloud/cloud-init.disabled", "")?,
            Side::CloudInit => {
                image.systemctl_disable(&["firstlight-identity.service", "firstlight-report.service"])?;
                image.remove("etc/cloud/cloud.cfg.d/95-firstlight.cfg")?;
            }
        }
        copy(&image.root.path().join("etc"), &image.etc.path().join("etc"))?;
        Ok(image)
    }

    /// As it was before its first boot.
    pub(super) fn renew(&self) -> Result<()> {
        let root = self.root.path();
        for left in LEFT.map(|left| root.join(left)).iter().filter(|left| left.exists()) {
            let removed = if left.is_dir() { fs::remove_dir_all(left) } else { fs::remove_file(left) };
            removed.with_context(|| left.display().to_string())?;
        }
        // Debian keeps its journal on the disk where this folder is.
        fs::create_dir_all(root.join("var/log/journal"))?;
        fs::remove_dir_all(root.join("etc")).context("/etc of an earlier boot")?;
        copy(&self.etc.path().join("etc"), &root.join("etc"))
    }

    pub(super) fn boot(&self, boot: &Boot) -> Result<bare::Booted> {
        self.root.boot_as(boot)
    }

    pub(super) fn put(&self, path: &str, text: &str) -> Result<()> {
        let path = self.root.path().join(path);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        }
        fs::write(&path, text).with_context(|| path.display().to_string())
    }

    /// Type and base64 of each host key on the disk, in order.
    pub(super) fn keys(&self) -> Result<Vec<String>> {
        let mut keys = Vec::new();
        for entry in fs::read_dir(self.root.path().join("etc/ssh"))?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with("ssh_host_") && name.ends_with("_key.pub") {
                keys.extend(bare_key(&fs::read_to_string(entry.path())?));
            }
        }
        keys.sort();
        Ok(keys)
    }

    fn remove(&self, path: &str) -> Result<()> {
        fs::remove_file(self.root.path().join(path)).with_context(|| format!("the golden has no {path}"))
    }

    /// By the root's own systemd, in its files only.
    fn systemctl_disable(&self, units: &[&str]) -> Result<()> {
        let mut command = run::command(["chroot"]);
        run::must(command.arg(self.root.path()).args(["systemctl", "--quiet", "disable"]).args(units))?;
        Ok(())
    }
}

/// A public key without its comment; None of what is no key.
pub(super) fn bare_key(line: &str) -> Option<String> {
    let mut words = line.split_whitespace();
    let (kind, key) = (words.next()?, words.next()?);
    Some(format!("{kind} {key}"))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    run::must(run::command(["cp", "--archive", "--no-target-directory"]).args([from, to]))?;
    Ok(())
}

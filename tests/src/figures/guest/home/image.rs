//! One Debian in three roles: with the agent, with cloud-init, or with units of shell at work, and the others switched off. Every
//! boot of it is a first one.

use std::fs;
use std::path::{Path, PathBuf};

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
    Shell,
}

const AGENTS: [&str; 2] = ["firstlight-identity.service", "firstlight-report.service"];
/// Keys as in the golden of the floor, and the script that tells them, which people write.
const SHELL: [(&str, &str); 3] = [
    (
        "etc/systemd/system/shell-keys.service",
        "[Unit]\nBefore=ssh.service\n[Service]\nType=oneshot\nExecStart=/bin/sh /etc/shell/keys\n\
         [Install]\nRequiredBy=ssh.service\n",
    ),
    (
        "etc/systemd/system/shell-post.service",
        "[Unit]\nAfter=ssh.service\n[Service]\nType=exec\nExecStart=/bin/bash /etc/shell/post\n\
         [Install]\nWantedBy=multi-user.target\n",
    ),
    (
        "etc/shell/post",
        r#"read address port instance < /etc/shell/place
body="instance_id=$instance&hostname=$(uname -n)"
for key in /etc/ssh/ssh_host_*_key.pub; do
    body="$body&pub_key_$(basename "$key" .pub)=$(sed 's/+/%2B/g; s/ /+/g' "$key")"
done
exec 3<>"/dev/tcp/$address/$port"
printf 'POST / HTTP/1.1\r\nhost: %s\r\ncontent-length: %d\r\n\r\n%s' "$address" "${#body}" "$body" >&3
cat <&3
"#,
    ),
];

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
    /// /etc of each role before its first boot.
    etc: TempDir,
}

impl Image {
    pub(super) fn new(goldens: &Path) -> Result<Self> {
        let root = bare::Root::unpack(&golden::archive(goldens, Variant::Cloud))?;
        let etc = tempfile::Builder::new().prefix("firstlight-etc-").tempdir()?;
        let image = Self { root, etc };
        image.put("etc/nsswitch.conf", NSSWITCH)?;
        // The guest's address is given from outside, and nobody waits for another.
        image.systemctl("disable", &["systemd-networkd.service", "systemd-networkd.socket"])?;
        image.systemctl("disable", &["systemd-networkd-wait-online.service"])?;
        image.remove("etc/systemd/network/10-eth0.network")?;
        image.put(
            "etc/cloud/cloud.cfg.d/99-firstlight-test.cfg",
            "datasource_list: [NoCloud]\nnetwork: {config: disabled}\n",
        )?;
        let common = image.etc.path().join("common");
        copy(&image.root.path().join("etc"), &common)?;
        for side in [Side::Agent, Side::CloudInit, Side::Shell] {
            image.put_back(&common)?;
            image.prepare(side)?;
            copy(&image.root.path().join("etc"), &image.etc_of(side))?;
        }
        Ok(image)
    }

    fn prepare(&self, side: Side) -> Result<()> {
        if side != Side::CloudInit {
            self.put("etc/cloud/cloud-init.disabled", "")?;
        }
        if side != Side::Agent {
            self.systemctl("disable", &AGENTS)?;
            self.remove("etc/cloud/cloud.cfg.d/95-firstlight.cfg")?;
        }
        if side == Side::Shell {
            for (path, text) in SHELL {
                self.put(path, text)?;
            }
            self.systemctl("enable", &["shell-keys.service", "shell-post.service"])?;
        }
        Ok(())
    }

    fn etc_of(&self, side: Side) -> PathBuf {
        self.etc.path().join(format!("{side:?}"))
    }

    fn put_back(&self, etc: &Path) -> Result<()> {
        let place = self.root.path().join("etc");
        fs::remove_dir_all(&place).context("/etc of an earlier boot")?;
        copy(etc, &place)
    }

    /// As it is before its first boot in this role.
    pub(super) fn renew(&self, side: Side) -> Result<()> {
        let root = self.root.path();
        for left in LEFT.map(|left| root.join(left)).iter().filter(|left| left.exists()) {
            let removed = if left.is_dir() { fs::remove_dir_all(left) } else { fs::remove_file(left) };
            removed.with_context(|| left.display().to_string())?;
        }
        // Debian keeps its journal on the disk where this folder is.
        fs::create_dir_all(root.join("var/log/journal"))?;
        self.put_back(&self.etc_of(side))
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
    fn systemctl(&self, word: &str, units: &[&str]) -> Result<()> {
        let mut command = run::command(["chroot"]);
        run::must(command.arg(self.root.path()).args(["systemctl", "--quiet", word]).args(units))?;
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

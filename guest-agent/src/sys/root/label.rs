//! Security labels: a new file gets the one of the file that it replaces, else of its like, else of its folder.
//!
//! A file that is renamed over another keeps its own label, and a label that does not fit keeps a confined sshd from
//! its keys. Where nothing has a label (no SELinux, no SMACK), nothing is done.

use std::os::fd::AsFd;

use nix::fcntl::OFlag;
use rustix::fs::{XattrFlags, fgetxattr, flistxattr, fsetxattr};

use super::{Kind, Root};

const SELINUX: &str = "security.selinux";
/// Attributes that belong to the name and not to the bytes. Not among them: `security.ima` and `security.evm` (of the
/// old bytes), ACLs (the mode that the caller asks for is the whole word), `trusted.*` (overlayfs's own).
const KEPT: [&str; 3] = [SELINUX, "security.SMACK64", "user."];
/// The type of SSH host keys in the reference policy, for the first key in a labelled folder.
const HOST_KEY_TYPE: &str = "sshd_key_t";
/// Longer lists and values are no labels.
const MAX: usize = 4096;

/// Names and values.
type Labels = Vec<(String, Vec<u8>)>;

impl Root {
    /// Gives the new file `file` the labels that belong to `path`. Returns what could not be done.
    pub(super) fn label(&self, file: impl AsFd, path: &str) -> Option<String> {
        let replaced = self.labels_of(path, OFlag::O_RDONLY);
        let (labels, own_is_better) = match replaced {
            Some(labels) => (labels, false),
            None => match self.like(path) {
                Some(label) => (vec![(SELINUX.to_owned(), label)], false),
                None => (self.folder_label(path).into_iter().collect(), true),
            },
        };
        let failed: Vec<_> = labels
            .iter()
            // What the kernel's policy gave to a new file is better than a guess from its folder.
            .filter(|(name, _)| !own_is_better || value(&file, name).is_none())
            .filter(|(name, wanted)| value(&file, name).as_ref() != Some(wanted))
            .filter_map(|(name, wanted)| {
                let set = fsetxattr(&file, name.as_str(), wanted, XattrFlags::empty());
                set.err().map(|errno| format!("{name}: {errno}"))
            })
            .collect();
        // A guess that is refused is no loss.
        (!failed.is_empty() && !own_is_better)
            .then(|| format!("/{path} did not get the label that belongs there: {}", failed.join(", ")))
    }

    /// The kept attributes of a regular file; none if there is no such file.
    fn labels_of(&self, path: &str, flags: OFlag) -> Option<Labels> {
        (self.kind(path) == Some(Kind::File)).then_some(())?;
        let file = self.open_in(path, flags | OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW).ok()?;
        let mut list = [0; MAX];
        let length = flistxattr(&file, &mut list).ok()?;
        let names = list[..length].split(|byte| *byte == 0).filter_map(|name| std::str::from_utf8(name).ok());
        let kept = names.filter(|name| KEPT.iter().any(|kept| name.starts_with(kept)));
        Some(kept.filter_map(|name| Some((name.to_owned(), value(&file, name)?))).collect())
    }

    /// For a host key: the label of another host key, else the folder's with the type that the policy has for keys.
    fn like(&self, path: &str) -> Option<Vec<u8>> {
        let (folder, name) = path.rsplit_once('/')?;
        let is_key = |name: &str| name.starts_with("ssh_host_") && name.contains("_key");
        if !is_key(name) {
            return None;
        }
        let others = self.list(folder).ok()?.into_iter().filter(|other| is_key(other) && other != name);
        let label_of = |other: &str| {
            let labels = self.labels_of(&format!("{folder}/{other}"), OFlag::O_RDONLY)?;
            labels.into_iter().find(|(name, _)| name == SELINUX).map(|(_, label)| label)
        };
        // A key of the same half first: some policies tell them apart.
        let (same, other): (Vec<_>, Vec<_>) =
            others.partition(|o| o.ends_with(".pub") == name.ends_with(".pub"));
        same.iter().chain(&other).find_map(|other| label_of(other)).or_else(|| {
            let (_, label) = self.folder_label(path)?;
            with_type(&label, HOST_KEY_TYPE)
        })
    }

    /// What a new file in this folder inherits.
    fn folder_label(&self, path: &str) -> Option<(String, Vec<u8>)> {
        let (folder, _) = path.rsplit_once('/').unwrap_or((".", path));
        let folder = self.open_in(folder, OFlag::O_RDONLY | OFlag::O_DIRECTORY).ok()?;
        Some((SELINUX.to_owned(), value(&folder, SELINUX)?))
    }
}

fn value(file: impl AsFd, name: &str) -> Option<Vec<u8>> {
    let mut value = [0; MAX];
    let length = fgetxattr(file, name, &mut value).ok()?;
    Some(value[..length].to_vec())
}

/// `system_u:object_r:etc_t:s0` with another third field; none for what is no such label.
fn with_type(label: &[u8], kind: &str) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(label).ok()?.trim_end_matches('\0');
    let mut fields: Vec<&str> = text.splitn(4, ':').collect();
    (fields.len() >= 3).then_some(())?;
    fields[2] = kind;
    Some(format!("{}\0", fields.join(":")).into_bytes())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use rustix::fs::{getxattr, setxattr};

    use super::*;
    use crate::sys::Fuse;

    const KEY: &[u8] = b"system_u:object_r:sshd_key_t:s0\0";
    const ETC: &[u8] = b"system_u:object_r:etc_t:s0\0";

    fn set(path: impl AsRef<Path>, name: &str, label: &[u8]) {
        // As root, without SELinux: any value is taken. A file system without attributes fails the test.
        setxattr(path.as_ref(), name, label, XattrFlags::empty()).unwrap();
    }

    fn get(path: impl AsRef<Path>, name: &str) -> Option<Vec<u8>> {
        let mut value = [0; 256];
        getxattr(path.as_ref(), name, &mut value).ok().map(|length| value[..length].to_vec())
    }

    #[test]
    fn a_replaced_file_keeps_its_labels_and_no_seal_of_the_old_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::open(folder.path(), Fuse::intact()).unwrap();
        let file = folder.path().join("machine-id");
        std::fs::write(&file, "old").unwrap();
        set(&file, SELINUX, b"system_u:object_r:machineid_t:s0\0");
        set(&file, "user.note", b"mine");
        set(&file, "security.ima", b"\x01sum");
        root.replace("machine-id", 0o444, b"new").unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"new");
        assert_eq!(get(&file, SELINUX).unwrap(), b"system_u:object_r:machineid_t:s0\0");
        assert_eq!(get(&file, "user.note").unwrap(), b"mine");
        assert_eq!(get(&file, "security.ima"), None);
        assert_eq!(root.take_notes(), Vec::<String>::new());
    }

    #[test]
    fn a_new_host_key_is_labelled_as_its_like_or_as_the_policy_does() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::open(folder.path(), Fuse::intact()).unwrap();
        let ssh = folder.path().join("etc/ssh");
        std::fs::create_dir_all(&ssh).unwrap();
        set(&ssh, SELINUX, ETC);
        root.replace("etc/ssh/ssh_host_ed25519_key", 0o600, b"x").unwrap();
        assert_eq!(get(ssh.join("ssh_host_ed25519_key"), SELINUX).unwrap(), KEY);
        set(ssh.join("ssh_host_ed25519_key"), SELINUX, b"u:r:own_key_t:s0\0");
        root.replace("etc/ssh/ssh_host_ecdsa_key", 0o600, b"x").unwrap();
        assert_eq!(get(ssh.join("ssh_host_ecdsa_key"), SELINUX).unwrap(), b"u:r:own_key_t:s0\0");
        root.replace("etc/ssh/notes", 0o644, b"x").unwrap();
        assert_eq!(get(ssh.join("notes"), SELINUX).unwrap(), ETC, "another file: as its folder");
        root.replace("etc/ssh/deep/notes", 0o644, b"x").unwrap();
        assert_eq!(get(ssh.join("deep"), SELINUX).unwrap(), ETC);
        assert_eq!(get(ssh.join("deep/notes"), SELINUX).unwrap(), ETC);
    }

    #[test]
    fn without_labels_none_are_made() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::open(folder.path(), Fuse::intact()).unwrap();
        symlink("/nowhere", folder.path().join("ssh_host_rsa_key")).unwrap();
        root.replace("etc/ssh/ssh_host_ed25519_key", 0o600, b"x").unwrap();
        root.replace("ssh_host_rsa_key", 0o600, b"x").unwrap();
        assert_eq!(get(folder.path().join("etc/ssh/ssh_host_ed25519_key"), SELINUX), None);
        assert_eq!(with_type(b"odd", "x"), None);
        assert_eq!(with_type(b"u:r:t:s0:c1,c2", "k").unwrap(), b"u:r:k:s0:c1,c2\0");
    }
}

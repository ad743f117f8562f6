//! Where the files of one host key stand. A name that is a symlink is followed inside the root, so that a layout with
//! the keys on another volume keeps working; but never to a file that is no key.

use super::path_of;
use firstlight_shared::error::Chain;

use crate::paths;
use crate::sys::{Kind, Root, SysError, staged_name};

/// Longer chains of symlinks are given up: sshd's own limit is the kernel's, 40.
const MAX_LINKS: usize = 8;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// File name in /etc/ssh, else the absolute path that sshd was told.
    pub name: String,
    /// Paths below the root.
    pub private: String,
    pub public: String,
    pub certificate: String,
}

impl Place {
    /// The files themselves, by their names in /etc/ssh.
    pub(super) fn in_ssh_dir(name: &str) -> Self {
        let private = path_of(name);
        Self {
            name: name.to_owned(),
            public: format!("{private}.pub"),
            certificate: format!("{private}-cert.pub"),
            private,
        }
    }

    /// Of an absolute path as sshd knows it.
    pub(super) fn of(root: &Root, path: &str) -> Self {
        let path = path.trim_start_matches('/');
        let below = path.strip_prefix(paths::SSH_DIR).and_then(|rest| rest.strip_prefix('/'));
        let name = match below.map(|rest| rest.trim_start_matches('/')) {
            Some(name) if !name.contains('/') && !name.is_empty() => name.to_owned(),
            _ => format!("/{path}"),
        };
        Self {
            private: followed(root, path, is_private_key),
            public: followed(root, &format!("{path}.pub"), is_public_key),
            certificate: format!("{path}-cert.pub"),
            name,
        }
    }

    /// Why this place is left alone, if it is: only a key file may ever be replaced.
    ///
    /// # Errors
    /// Something is there and cannot be read: never taken for "nothing there".
    pub(super) fn problem(&self, root: &Root, has_agent: bool) -> Result<Option<String>, SysError> {
        let name = &self.name;
        let by_agent = || {
            format!(
                "the host key {name} is held by an agent: whether it is this machine's own cannot be told"
            )
        };
        Ok(match root.kind(&self.private) {
            None if has_agent && root.kind(&self.public).is_some() => Some(by_agent()),
            None => None,
            Some(Kind::File | Kind::Symlink) => {
                let bytes = match root.read(&self.private) {
                    Ok(bytes) => bytes.map(zeroize::Zeroizing::new),
                    // sshd cannot load it either.
                    Err(error) if error.cannot_be_a_key() => {
                        return Ok(Some(format!(
                            "{name} is named as a host key: {}: left alone",
                            Chain(&error)
                        )));
                    }
                    Err(error) => return Err(error),
                };
                let is_key = bytes.as_ref().is_none_or(|bytes| is_private_key(bytes));
                let is_public = bytes.is_some_and(|bytes| is_public_key(&bytes));
                match (is_key, is_public && has_agent) {
                    (true, _) => None,
                    (false, true) => Some(by_agent()),
                    // In /etc/ssh under a key's name: sshd refuses it, and it is ours to replace.
                    (false, false) if name.starts_with("ssh_host_") => None,
                    (false, false) => Some(format!("{name} is named as a host key and is none: left alone")),
                }
            }
            Some(Kind::Folder | Kind::Other) => {
                Some(format!("{name} is named as a host key and is no file: left alone"))
            }
        })
    }

    /// Temporary files that an earlier run left beside files outside of /etc/ssh.
    pub(super) fn leftovers(&self, root: &Root) -> Vec<String> {
        let staged = |path: &String| {
            let (folder, name) = path.rsplit_once('/').unwrap_or((".", path));
            format!("/{folder}/{}", staged_name(name))
        };
        let elsewhere =
            |path: &&String| path.rsplit_once('/').is_none_or(|(folder, _)| folder != paths::SSH_DIR);
        let all = [&self.private, &self.public].into_iter().filter(elsewhere).map(staged);
        all.filter(|path| root.kind(path.trim_start_matches('/')).is_some()).collect()
    }
}

/// The end of a chain of symlinks if something fitting is there, or nothing in an existing folder; else the path itself.
fn followed(root: &Root, path: &str, fits: fn(&[u8]) -> bool) -> String {
    let mut at = path.to_owned();
    for _ in 0..MAX_LINKS {
        let folder = at.rsplit_once('/').map_or(".", |(folder, _)| folder);
        let follow = match root.kind(&at) {
            Some(Kind::Symlink) => {
                let Some(target) = root.link_target(&at) else { break };
                at = match target.strip_prefix('/') {
                    Some(absolute) => absolute.trim_start_matches('/').to_owned(),
                    None => format!("{folder}/{target}"),
                };
                continue;
            }
            Some(Kind::File) => {
                let bytes = root.read(&at).ok().flatten().map(zeroize::Zeroizing::new);
                bytes.is_some_and(|bytes| fits(&bytes))
            }
            Some(Kind::Folder | Kind::Other) => false,
            None => root.kind(&format!("{folder}/.")) == Some(Kind::Folder),
        };
        return if follow { at } else { path.to_owned() };
    }
    path.to_owned()
}

/// Or an empty file, as a crash leaves it.
fn is_private_key(bytes: &[u8]) -> bool {
    // PEM may have words before it (`openssl pkcs12` writes bag attributes), and a certificate is PEM, too.
    let text = String::from_utf8_lossy(bytes);
    text.lines().any(|line| {
        line.strip_prefix("-----BEGIN ").is_some_and(|rest| rest.trim_end().ends_with("PRIVATE KEY-----"))
    })
}

fn is_public_key(bytes: &[u8]) -> bool {
    let text = bytes.trim_ascii_start();
    ["ssh-", "ecdsa-", "sk-"].iter().any(|prefix| text.starts_with(prefix.as_bytes()))
}

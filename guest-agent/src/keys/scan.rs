//! What host keys stand in /etc/ssh. Reads only; a key that cannot be understood is kept apart from one that is torn.

use ssh_key::{HashAlg, PrivateKey, PublicKey};
use zeroize::Zeroizing;

use super::path_of;
use crate::paths;
use crate::sys::{Kind, Root, SysError};

/// State of a private key file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Private {
    Absent,
    /// Empty, or an OpenSSH key that breaks off: sshd would refuse it.
    Torn,
    /// Whole, as far as can be told, but of a form that this program does not read (PKCS#1, encrypted, ...).
    Opaque,
    Readable(Box<PublicKey>),
}

/// One private key file and what belongs to it by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyFile {
    /// `ssh_host_ed25519_key`, for one.
    pub name: String,
    pub private: Private,
    pub public: Option<PublicKey>,
    pub private_mode: Option<u32>,
    /// File names of everything that is there: private, public, certificate.
    pub files: Vec<String>,
}

impl KeyFile {
    /// The public key as the private file has it, else as the public file says.
    pub(crate) fn key(&self) -> Option<&PublicKey> {
        match &self.private {
            Private::Readable(key) => Some(key),
            _ => self.public.as_ref(),
        }
    }

    pub(crate) fn fingerprint(&self) -> Option<String> {
        Some(self.key()?.fingerprint(HashAlg::Sha256).to_string())
    }

    /// Private readable, public there and derived from it, private for root only.
    pub(crate) fn is_whole(&self) -> bool {
        let halves_match = match (&self.private, &self.public) {
            (Private::Readable(own), Some(public)) => own.key_data() == public.key_data(),
            _ => false,
        };
        halves_match && self.private_mode == Some(0o600)
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct HostKeys {
    pub keys: Vec<KeyFile>,
    /// Temporary files that an earlier run left.
    pub leftovers: Vec<String>,
}

impl HostKeys {
    pub(crate) fn named(&self, name: &str) -> Option<&KeyFile> {
        self.keys.iter().find(|key| key.name == name)
    }
}

/// # Errors
/// The folder or a file in it cannot be read. An absent folder has no keys.
pub(crate) fn scan(root: &Root) -> Result<HostKeys, SysError> {
    let mut found = HostKeys::default();
    for file in root.list(paths::SSH_DIR)? {
        if file.starts_with(".ssh_host_") && file.ends_with(crate::sys::STAGED) {
            found.leftovers.push(file);
            continue;
        }
        let Some(name) = key_name(&file) else { continue };
        if !matches!(root.kind(&path_of(&file)), Some(Kind::File | Kind::Symlink)) {
            continue;
        }
        match found.keys.iter_mut().find(|key| key.name == name) {
            Some(key) => key.files.push(file),
            None => found.keys.push(KeyFile {
                name: name.to_owned(),
                private: Private::Absent,
                public: None,
                private_mode: None,
                files: vec![file],
            }),
        }
    }
    for key in &mut found.keys {
        let private = path_of(&key.name);
        key.private = match root.read(&private)?.map(Zeroizing::new) {
            Some(bytes) => read_private(&bytes),
            None => Private::Absent,
        };
        key.private_mode = root.mode(&private);
        let public = root.read(&path_of(&format!("{}.pub", key.name)))?;
        key.public = public.and_then(|bytes| PublicKey::from_openssh(std::str::from_utf8(&bytes).ok()?).ok());
    }
    Ok(found)
}

/// `ssh_host_X_key` of `ssh_host_X_key`, `ssh_host_X_key.pub` and `ssh_host_X_key-cert.pub`; none for other files.
fn key_name(file: &str) -> Option<&str> {
    let name = file.strip_suffix(".pub").unwrap_or(file);
    let name = if file.ends_with("-cert.pub") { name.strip_suffix("-cert")? } else { name };
    let kind = name.strip_prefix("ssh_host_")?;
    (kind.ends_with("_key") || kind == "key").then_some(name)
}

pub(crate) fn read_private(bytes: &[u8]) -> Private {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(key) = PrivateKey::from_openssh(text.as_bytes()) {
        if key.is_encrypted() {
            return Private::Opaque;
        }
        return Private::Readable(Box::new(key.public_key().clone()));
    }
    let whole = text.contains("-----BEGIN ") && text.contains("-----END ");
    if whole { Private::Opaque } else { Private::Torn }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_sorted_to_their_key() {
        for (file, name) in [
            ("ssh_host_rsa_key", Some("ssh_host_rsa_key")),
            ("ssh_host_rsa_key.pub", Some("ssh_host_rsa_key")),
            ("ssh_host_rsa_key-cert.pub", Some("ssh_host_rsa_key")),
            ("ssh_host_key", Some("ssh_host_key")),
            ("ssh_host_ed25519_key.pub.old", None),
            ("sshd_config", None),
            ("ssh_host_rsa", None),
        ] {
            assert_eq!(key_name(file), name, "{file}");
        }
    }

    #[test]
    fn torn_keys_are_told_from_foreign_forms() {
        assert_eq!(read_private(b""), Private::Torn);
        assert_eq!(read_private(b"-----BEGIN OPENSSH PRIVATE KEY-----\nb3Blb"), Private::Torn);
        let foreign = b"-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\n";
        assert_eq!(read_private(foreign), Private::Opaque);
    }
}

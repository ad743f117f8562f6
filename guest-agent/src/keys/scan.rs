//! What host keys there are: in /etc/ssh by name, and wherever `HostKey` lines say. Reads only; a key that cannot be
//! understood is kept apart from one that is torn, and a file that is no key is never taken for one.

use ssh_key::{Algorithm, HashAlg, PrivateKey, PublicKey};
use zeroize::Zeroizing;

use super::place::Place;
use super::{KeyType, certificate, path_of};
use crate::paths;
use crate::sshd::SshdConfig;
use crate::sys::{Kind, Root, STAGED, SysError};

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
    /// `ssh_host_ed25519_key`, for one; the absolute path of a key elsewhere than in /etc/ssh.
    pub name: String,
    pub place: Place,
    pub private: Private,
    pub public: Option<PublicKey>,
    pub private_mode: Option<u32>,
    /// Everything that is there, private half last: paths below the root.
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

    /// sshd can serve it.
    pub(crate) fn is_usable(&self) -> bool {
        matches!(self.private, Private::Readable(_) | Private::Opaque)
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct HostKeys {
    pub keys: Vec<KeyFile>,
    /// Temporary files that an earlier run left; names as [`path_of`] takes them.
    pub leftovers: Vec<String>,
    /// What is odd about the places that sshd is told to look at.
    pub problems: Vec<String>,
    /// Where a key of each type belongs, in the order in which sshd loads them: it serves the first of a type.
    wanted: Vec<(KeyType, Place)>,
    /// `HostKey` lines say what sshd loads.
    is_configured: bool,
}

impl HostKeys {
    pub(crate) fn named(&self, name: &str) -> Option<&KeyFile> {
        self.keys.iter().find(|key| key.name == name)
    }

    /// Where a key of this type belongs; in /etc/ssh under its usual name, if sshd is not told of any such key.
    pub(crate) fn place_of(&self, kind: KeyType) -> Place {
        let told = self.wanted.iter().find(|(wanted, _)| *wanted == kind);
        told.map_or_else(|| Place::in_ssh_dir(&kind.file_name()), |(_, place)| place.clone())
    }

    /// The key of this type that sshd would serve, if there is one.
    pub(crate) fn of_type(&self, kind: KeyType) -> Option<&KeyFile> {
        self.named(&self.place_of(kind).name)
    }

    /// The types of the `HostKey` lines; none where there are none, or none of a type that can be told.
    pub(crate) fn told_types(&self) -> Option<Vec<KeyType>> {
        let told: Vec<KeyType> = self.wanted.iter().map(|(kind, _)| *kind).collect();
        (self.is_configured && !told.is_empty()).then_some(told)
    }
}

/// # Errors
/// A folder or a file cannot be read. An absent folder has no keys.
pub(crate) fn scan(root: &Root) -> Result<HostKeys, SysError> {
    let config = SshdConfig::load(root);
    if config.is_cut_off {
        // A `HostKey` line may be in the part that was not read.
        let problem = std::io::Error::other(config.problems.join("; "));
        return Err(SysError::new("read the whole configuration of sshd below", paths::SSH_DIR, problem));
    }
    let mut found = HostKeys {
        problems: config.problems.clone(),
        is_configured: config.names_host_keys(),
        ..HostKeys::default()
    };
    let mut places = Vec::new();
    for path in config.host_key_paths() {
        let place = Place::of(root, &path);
        match place.problem(root, config.host_key_agent.is_some())? {
            Some(problem) => found.problems.push(problem),
            None => add(&mut places, place),
        }
    }
    let configured = places.len();
    for file in root.list(paths::SSH_DIR)? {
        if file.starts_with(".ssh_host_") && file.ends_with(STAGED) {
            found.leftovers.push(file);
            continue;
        }
        let Some(name) = key_name(&file) else { continue };
        if matches!(root.kind(&path_of(&file)), Some(Kind::File | Kind::Symlink)) {
            add(&mut places, Place::of(root, &format!("/{}", path_of(name))));
        }
    }
    for (number, place) in places.into_iter().enumerate() {
        found.leftovers.extend(place.leftovers(root));
        let key = read_key(root, &place)?;
        if number < configured {
            match type_of(&place, &key) {
                Some(kind) if found.wanted.iter().all(|(known, _)| *known != kind) => {
                    found.wanted.push((kind, place));
                }
                Some(kind) if found.is_configured => {
                    let (name, kind) = (&place.name, kind.as_str());
                    found
                        .problems
                        .push(format!("the host key {name} is a second one of type {kind}: not made"));
                }
                None if found.is_configured => {
                    let problem = "its type cannot be told: have ed25519, ecdsa or rsa in its name";
                    found.problems.push(format!("the host key {} is not made: {problem}", place.name));
                }
                _ => {}
            }
        }
        if !key.files.is_empty() {
            found.keys.push(key);
        }
    }
    found.keys.sort_by(|a, b| a.name.cmp(&b.name));
    attach_certificates(root, &config, &mut found);
    Ok(found)
}

/// Each file once, whatever names lead to it.
fn add(places: &mut Vec<Place>, place: Place) {
    if places.iter().all(|known| known.private != place.private) {
        places.push(place);
    }
}

fn read_key(root: &Root, place: &Place) -> Result<KeyFile, SysError> {
    // What sshd cannot load either (a link in a circle, a folder behind it, too large) keeps nobody from the rest.
    let read = |path: &str| match root.read(path) {
        Err(error) if error.cannot_be_a_key() => Ok(Some(Vec::new())),
        read => read,
    };
    let private = match read(&place.private)?.map(Zeroizing::new) {
        Some(bytes) => read_private(&bytes),
        None => Private::Absent,
    };
    let public = read(&place.public)?;
    let public = public.and_then(|bytes| PublicKey::from_openssh(std::str::from_utf8(&bytes).ok()?).ok());
    let is_file = |path: &&String| matches!(root.kind(path), Some(Kind::File | Kind::Symlink));
    // Beside a key elsewhere, a file of that name may be somebody's: only what is such a thing belongs to the key.
    let usual = place.name.starts_with("ssh_host_");
    let is_certificate = || {
        root.read_text(&place.certificate).is_ok_and(|text| text.is_some_and(|t| t.contains("-cert-v01@")))
    };
    let parts = [
        (&place.certificate, usual || is_certificate()),
        (&place.public, usual || public.is_some()),
        (&place.private, usual || !matches!(private, Private::Absent | Private::Torn)),
    ];
    let own = parts.into_iter().filter(|(_, own)| *own).map(|(path, _)| path);
    let files = own.filter(is_file).cloned();
    Ok(KeyFile {
        name: place.name.clone(),
        private,
        public,
        private_mode: root.mode(&place.private),
        files: files.collect(),
        place: place.clone(),
    })
}

/// What belongs there: the usual names say it themselves; elsewhere what is there counts, then the name.
fn type_of(place: &Place, key: &KeyFile) -> Option<KeyType> {
    let usual = KeyType::ALL.into_iter().find(|kind| kind.file_name() == place.name);
    let content = || match key.key()?.algorithm() {
        Algorithm::Ed25519 => Some(KeyType::Ed25519),
        Algorithm::Ecdsa { .. } => Some(KeyType::Ecdsa),
        Algorithm::Rsa { .. } => Some(KeyType::Rsa),
        _ => None,
    };
    let file_name = place.name.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
    let by_name = || KeyType::ALL.into_iter().find(|kind| file_name.contains(kind.as_str()));
    usual.or_else(content).or_else(by_name)
}

/// Certificates that `HostCertificate` lines name elsewhere than beside their key go with the key that they certify.
fn attach_certificates(root: &Root, config: &SshdConfig, found: &mut HostKeys) {
    for path in &config.certificates {
        let path = path.trim_start_matches('/').to_owned();
        if found.keys.iter().any(|key| key.files.contains(&path)) || root.kind(&path).is_none() {
            continue;
        }
        let text = root.read_text(&path).ok().flatten().unwrap_or_default();
        let certified = certificate::key_of(&text);
        let mut keys = found.keys.iter_mut();
        let own = certified.and_then(|certified| {
            keys.find(|key| key.key().is_some_and(|key| key.key_data() == certified.key_data()))
        });
        match own {
            Some(key) => key.files.insert(0, path),
            None => found.problems.push(format!("the host certificate /{path} belongs to no host key")),
        }
    }
}

/// `ssh_host_X_key` of `ssh_host_X_key`, `ssh_host_X_key.pub` and `ssh_host_X_key-cert.pub`; none for other files.
fn key_name(file: &str) -> Option<&str> {
    let name = file.strip_suffix(".pub").unwrap_or(file);
    let name = if file.ends_with("-cert.pub") { name.strip_suffix("-cert")? } else { name };
    let kind = name.strip_prefix("ssh_host_")?;
    (kind.ends_with("_key") || kind == "key").then_some(name)
}

pub(crate) fn read_private(bytes: &[u8]) -> Private {
    let text = Zeroizing::new(String::from_utf8_lossy(bytes).into_owned());
    if let Ok(key) = PrivateKey::from_openssh(text.as_bytes()) {
        if key.is_encrypted() {
            return Private::Opaque;
        }
        return Private::Readable(Box::new(key.public_key().clone()));
    }
    let whole = text.contains("-----BEGIN ") && text.contains("-----END ");
    if whole { Private::Opaque } else { Private::Torn }
}

/// The age recipient of the ed25519 key that sshd serves.
pub(crate) fn age_recipient(keys: &HostKeys) -> Option<String> {
    let key = keys.of_type(KeyType::Ed25519).filter(|key| key.is_whole())?;
    firstlight_shared::age::recipient(key.key()?)
}

#[cfg(test)]
mod tests;

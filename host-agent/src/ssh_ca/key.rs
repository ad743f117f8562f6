//! The CA's key: a file for its owner alone, or an ssh-agent's. The one place where either is touched.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};

use ssh_key::private::{Ed25519Keypair, KeypairData};
use ssh_key::public::KeyData;
use ssh_key::{Algorithm, EcdsaCurve, Fingerprint, HashAlg, LineEnding, PrivateKey, PublicKey, Signature};

use super::{CaError, agent};
use crate::config::{SecretFile, SshCaSettings};

/// What the key is called where it is shown.
const COMMENT: &str = "firstlight host CA";

/// The CA's key, ready to sign.
#[derive(Debug)]
pub(crate) struct CaKey {
    public: PublicKey,
    private: Private,
}

#[derive(Debug)]
enum Private {
    Here(Box<PrivateKey>),
    Agent(PathBuf),
}

/// What `ca init` has done.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) public: PublicKey,
    /// The files, in the order in which they were made.
    pub(crate) files: Vec<PathBuf>,
}

impl CaKey {
    /// The key that is configured; none: there is no CA.
    ///
    /// # Errors
    /// There is one, and it cannot be used.
    pub(crate) fn load(settings: &SshCaSettings) -> Result<Option<Self>, CaError> {
        let public = public_file(&settings.key);
        let there = |path: &Path| fs::symlink_metadata(path).is_ok();
        match &settings.agent {
            _ if !settings.enabled => Ok(None),
            Some(socket) if there(&public) => {
                Ok(Some(Self { public: read_public(&public)?, private: Private::Agent(socket.clone()) }))
            }
            None if there(&settings.key) || there(&public) => {
                let key = read_private(&settings.key)?;
                Ok(Some(Self { public: key.public_key().clone(), private: Private::Here(Box::new(key)) }))
            }
            _ => Ok(None),
        }
    }

    /// Its line, with what it is called.
    pub(crate) fn line(&self) -> String {
        line(&self.public)
    }

    pub(crate) fn fingerprint(&self) -> Fingerprint {
        self.public.fingerprint(HashAlg::Sha256)
    }

    pub(crate) fn in_agent(&self) -> Option<&Path> {
        match &self.private {
            Private::Here(_) => None,
            Private::Agent(socket) => Some(socket),
        }
    }

    pub(super) fn key_data(&self) -> KeyData {
        self.public.key_data().clone()
    }

    /// A signature as it stands in a certificate.
    pub(super) fn sign(&self, data: &[u8]) -> Result<Signature, CaError> {
        match &self.private {
            Private::Here(key) => {
                signature::Signer::try_sign(&**key, data).map_err(|_| CaError::Sign(ssh_key::Error::Crypto))
            }
            Private::Agent(socket) => {
                let blob = self.public.to_bytes().map_err(CaError::Sign)?;
                let signed = agent::sign(socket, &blob, data)?;
                Signature::try_from(signed.as_slice()).map_err(CaError::Sign)
            }
        }
    }
}

/// Makes a key, or takes one of the agent that is configured: `wanted` by its fingerprint, or the only one that fits.
///
/// # Errors
/// There is a key already, or none can be made.
pub(crate) fn init(settings: &SshCaSettings, wanted: Option<&str>) -> Result<Made, CaError> {
    let (private, public) = (&settings.key, public_file(&settings.key));
    for path in [private, &public] {
        if fs::symlink_metadata(path).is_ok() {
            return Err(CaError::There { path: path.clone() });
        }
    }
    if let Some(socket) = &settings.agent {
        let key = chosen(socket, wanted)?;
        write(&public, line(&key).as_bytes(), 0o644)?;
        return Ok(Made { public: key, files: vec![public] });
    }
    let pair = Ed25519Keypair::from_seed(&rand::random());
    let key = PrivateKey::new(KeypairData::from(pair), COMMENT).map_err(CaError::Sign)?;
    let pem = key.to_openssh(LineEnding::LF).map_err(CaError::Sign)?;
    // The public half last: it stands for a key that is there.
    write(private, pem.as_bytes(), 0o600)?;
    write(&public, line(key.public_key()).as_bytes(), 0o644)?;
    Ok(Made { public: key.public_key().clone(), files: vec![private.clone(), public] })
}

/// The key of the agent that shall be the CA's.
fn chosen(socket: &Path, wanted: Option<&str>) -> Result<PublicKey, CaError> {
    let refused = |what: String| CaError::Refused { socket: socket.to_owned(), what };
    let mut fitting = Vec::new();
    for identity in agent::identities(socket)? {
        let Ok(mut key) = PublicKey::from_bytes(&identity.blob) else { continue };
        let is_wanted = wanted.is_none_or(|wanted| key.fingerprint(HashAlg::Sha256).to_string() == wanted);
        if can_sign(&key) && is_wanted {
            key.set_comment(COMMENT);
            fitting.push(key);
        }
    }
    match (fitting.pop(), fitting.is_empty(), wanted) {
        (Some(key), true, _) => Ok(key),
        (Some(_), ..) => Err(refused(
            "has several keys that could be the CA's: name one by its fingerprint, --identity SHA256:..."
                .to_owned(),
        )),
        (None, _, Some(wanted)) => {
            Err(refused(format!("has no key {wanted} of type ed25519 or ecdsa-sha2-nistp256")))
        }
        (None, ..) => Err(refused("has no key of type ed25519 or ecdsa-sha2-nistp256".to_owned())),
    }
}

/// The public half beside a key, as OpenSSH names it.
pub(crate) fn public_file(key: &Path) -> PathBuf {
    let mut name = key.as_os_str().to_owned();
    name.push(".pub");
    PathBuf::from(name)
}

fn line(key: &PublicKey) -> String {
    key.to_openssh().unwrap_or_default() + "\n"
}

/// Types whose signatures every sshd and ssh of today takes, and that can be proved here.
fn can_sign(key: &PublicKey) -> bool {
    matches!(key.algorithm(), Algorithm::Ed25519 | Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 })
}

fn read_private(path: &Path) -> Result<PrivateKey, CaError> {
    let pem = SecretFile::File(path.to_owned()).read(None)?;
    // Without its last line end it is no whole PEM.
    let pem = std::str::from_utf8(pem.expose()).map(|text| format!("{text}\n"));
    let key = pem.ok().and_then(|pem| PrivateKey::from_openssh(pem).ok());
    key.filter(|key| !key.is_encrypted() && can_sign(key.public_key()))
        .ok_or_else(|| CaError::Unusable { path: path.to_owned() })
}

fn read_public(path: &Path) -> Result<PublicKey, CaError> {
    let text = fs::read_to_string(path).map_err(|source| CaError::File { path: path.to_owned(), source })?;
    let key = PublicKey::from_openssh(text.trim()).ok();
    key.filter(can_sign).ok_or_else(|| CaError::Unusable { path: path.to_owned() })
}

/// A new file. It belongs to whom the folder belongs to: the companion's user, whoever makes it.
fn write(path: &Path, content: &[u8], mode: u32) -> Result<(), CaError> {
    let failed = |source: io::Error| CaError::File { path: path.to_owned(), source };
    let folder = path.parent().ok_or_else(|| failed(io::Error::other("it has no folder")))?;
    fs::create_dir_all(folder).map_err(failed)?;
    let owner = fs::metadata(folder).map_err(failed)?;
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(mode).open(path).map_err(failed)?;
    let own = file.metadata().map_err(failed)?;
    if (own.uid(), own.gid()) != (owner.uid(), owner.gid()) {
        fchown(&file, Some(owner.uid()), Some(owner.gid())).map_err(failed)?;
    }
    file.write_all(content).and_then(|()| file.sync_all()).map_err(failed)?;
    fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn settings(folder: &Path) -> SshCaSettings {
        SshCaSettings { key: folder.join("ssh_ca"), ..SshCaSettings::testing() }
    }

    #[test]
    fn a_key_is_made_once_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path());
        assert!(CaKey::load(&settings).unwrap().is_none());
        let made = init(&settings, None).unwrap();
        assert_eq!(fs::metadata(&settings.key).unwrap().mode() & 0o7777, 0o600);
        let key = CaKey::load(&settings).unwrap().unwrap();
        assert_eq!(key.fingerprint(), made.public.fingerprint(HashAlg::Sha256));
        assert_eq!(fs::read_to_string(public_file(&settings.key)).unwrap(), key.line());
        assert!(matches!(init(&settings, None), Err(CaError::There { .. })));
        assert!(CaKey::load(&SshCaSettings { enabled: false, ..settings.clone() }).unwrap().is_none());
        // OpenSSH takes it too.
        let said = std::process::Command::new("ssh-keygen").arg("-yf").arg(&settings.key).output().unwrap();
        let said = String::from_utf8(said.stdout).unwrap();
        assert!(key.line().starts_with(said.split(" firstlight").next().unwrap().trim()), "{said}");
    }

    #[test]
    fn a_key_that_others_may_read_or_that_is_none_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path());
        init(&settings, None).unwrap();
        fs::set_permissions(&settings.key, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(CaKey::load(&settings), Err(CaError::Secret(_))));
        fs::set_permissions(&settings.key, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&settings.key, "no key").unwrap();
        assert!(matches!(CaKey::load(&settings), Err(CaError::Unusable { .. })));
        // A public half alone belongs to an agent, which the configuration does not name then.
        fs::remove_file(&settings.key).unwrap();
        assert!(matches!(CaKey::load(&settings), Err(CaError::Secret(_))));
    }
}

//! Secrets: named in the configuration, kept in files of their own.

use std::ffi::OsStr;
use std::fmt;
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use firstlight_shared::error::Code;
use firstlight_shared::secret::Secret;

/// In bytes; keys and tokens are far smaller.
const MAX_SECRET: u64 = 64 * 1024;

/// Where a secret is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretFile {
    /// Nobody but its owner may read it.
    File(PathBuf),
    /// Given by systemd (`LoadCredential=`), in `$CREDENTIALS_DIRECTORY`.
    Credential(String),
}

#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("the secret {path} cannot be read")]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the secret {path} may be read by others (mode {mode:04o}): chmod 0600 {path}")]
    Exposed { path: PathBuf, mode: u32 },
    #[error("the secret {path} is empty, larger than 64 KiB, or no file")]
    Unusable { path: PathBuf },
    #[error("systemd gave no credential `{name}`: LoadCredential={name}:/PATH in the unit does")]
    NoCredential { name: String },
}

impl Code for SecretError {
    fn code(&self) -> &'static str {
        match self {
            Self::Read { .. } | Self::Unusable { .. } => "secret-unreadable",
            Self::Exposed { .. } => "secret-exposed",
            Self::NoCredential { .. } => "no-credential",
        }
    }
}

impl SecretFile {
    /// An absolute path, or `credential:NAME`.
    pub fn parse(text: &str) -> Option<Self> {
        match text.strip_prefix("credential:") {
            Some(name) if !name.is_empty() && !name.contains('/') && !name.starts_with('.') => {
                Some(Self::Credential(name.to_owned()))
            }
            Some(_) => None,
            None => Some(PathBuf::from(text)).filter(|path| path.is_absolute()).map(Self::File),
        }
    }

    /// The secret without white space around it. `credentials` is systemd's folder, if there is one.
    ///
    /// # Errors
    /// Every one names the file, and none what is in it.
    pub fn read(&self, credentials: Option<&OsStr>) -> Result<Secret, SecretError> {
        let bytes = match self {
            // systemd guards that folder: files are 0440 there, and a mount keeps others out.
            Self::Credential(name) => match credentials {
                Some(folder) => read(&Path::new(folder).join(name), false),
                None => Err(SecretError::NoCredential { name: name.clone() }),
            },
            Self::File(path) => read(path, true),
        }?;
        Ok(Secret::new(bytes.trim_ascii().to_vec()))
    }
}

impl fmt::Display for SecretFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Credential(name) => write!(f, "credential:{name}"),
        }
    }
}

fn read(path: &Path, guarded: bool) -> Result<Vec<u8>, SecretError> {
    let failed = |source| SecretError::Read { path: path.to_owned(), source };
    // Judged by the open file: nobody can put another in its place in between. A fifo must not hold us.
    let file = std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(nix::libc::O_NONBLOCK)
        .open(path)
        .map_err(failed)?;
    let found = file.metadata().map_err(failed)?;
    let mode = found.mode() & 0o7777;
    if guarded && mode & 0o077 != 0 {
        return Err(SecretError::Exposed { path: path.to_owned(), mode });
    }
    let mut bytes = Vec::new();
    if found.is_file() && found.len() <= MAX_SECRET {
        file.take(MAX_SECRET).read_to_end(&mut bytes).map_err(failed)?;
    }
    if bytes.trim_ascii().is_empty() {
        return Err(SecretError::Unusable { path: path.to_owned() });
    }
    Ok(bytes)
}

//! Makes a key pair in memory and proves that its halves belong together before anybody writes it.

use firstlight_shared::error::Code;
use ssh_key::rand_core::OsRng;
use ssh_key::{Algorithm, EcdsaCurve, HashAlg, LineEnding, PrivateKey, PublicKey};
use zeroize::Zeroizing;

use super::{KeyType, rsa};

/// What ssh-keygen would fill with user and host; it has no meaning.
const COMMENT: &str = "firstlight";
/// Signed and verified to prove a fresh pair.
const PROBE: &[u8] = b"firstlight host key probe";

#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyError {
    #[error("the {kind} key could not be made")]
    Make {
        kind: &'static str,
        #[source]
        source: ssh_key::Error,
    },
    #[error("the search for the primes of an RSA key failed: {reason}")]
    Primes { reason: &'static str },
    #[error("the halves of a fresh {kind} key do not belong together")]
    Halves { kind: &'static str },
}

impl Code for KeyError {
    fn code(&self) -> &'static str {
        match self {
            Self::Make { .. } | Self::Primes { .. } => "cannot-make-key",
            Self::Halves { .. } => "bad-key-pair",
        }
    }
}

/// A fresh key pair, ready to be written.
pub(crate) struct MadeKey {
    pub kind: KeyType,
    /// The OpenSSH private key file.
    pub private: Zeroizing<String>,
    /// The line of the `.pub` file, with line end.
    pub public_line: String,
    pub public: PublicKey,
}

impl std::fmt::Debug for MadeKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MadeKey({} {})", self.kind.as_str(), self.fingerprint())
    }
}

impl MadeKey {
    pub(crate) fn fingerprint(&self) -> String {
        self.public.fingerprint(HashAlg::Sha256).to_string()
    }
}

/// # Errors
/// The library or the search for primes failed, or the pair does not prove itself.
pub(crate) fn make(kind: KeyType) -> Result<MadeKey, KeyError> {
    let failed = |source| KeyError::Make { kind: kind.as_str(), source };
    let mut key = match kind {
        KeyType::Ed25519 => PrivateKey::random(&mut OsRng, Algorithm::Ed25519).map_err(failed)?,
        KeyType::Ecdsa => {
            let curve = Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 };
            PrivateKey::random(&mut OsRng, curve).map_err(failed)?
        }
        // Proves its own arithmetic: this library has no RSA operations without the `rsa` crate.
        KeyType::Rsa => PrivateKey::new(rsa::make()?.into(), COMMENT).map_err(failed)?,
    };
    key.set_comment(COMMENT);
    if kind != KeyType::Rsa {
        let proof = key.sign("probe@firstlight", HashAlg::Sha512, PROBE).map_err(failed)?;
        let proved = key.public_key().verify("probe@firstlight", PROBE, &proof);
        proved.map_err(|_| KeyError::Halves { kind: kind.as_str() })?;
    }
    let private = key.to_openssh(LineEnding::LF).map_err(failed)?;
    let public = key.public_key().clone();
    let public_line = format!("{}\n", public.to_openssh().map_err(failed)?);
    Ok(MadeKey { kind, private, public_line, public })
}

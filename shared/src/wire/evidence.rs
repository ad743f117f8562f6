//! Evidence: what a running guest says of itself when it is asked anew. Its bytes are signed for this purpose alone: a report
//! never counts as evidence, nor evidence as a report.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use ssh_key::{HashAlg, LineEnding, PrivateKey, PublicKey, SshSig};

use super::{EnvelopeError, MAX_ENVELOPE, Report, signing_key_line};

/// The version that this code writes and reads. Unknown fields are ignored, unknown versions refused.
pub const EVIDENCE_VERSION: u32 = 1;
/// SSHSIG namespace of what a guest says.
pub const EVIDENCE_NAMESPACE: &str = "evidence.v1@firstlight";
/// SSHSIG namespace of the file in which a companion keeps it.
pub const EVIDENCE_FILE_NAMESPACE: &str = "evidence-file.v1@firstlight";
/// Fewest and most hexadecimal digits of a challenge.
pub const NONCE_DIGITS: std::ops::RangeInclusive<usize> = 32..=160;

/// Whether this can be a challenge: hexadecimal digits, [`NONCE_DIGITS`] of them.
pub fn is_nonce(text: &str) -> bool {
    NONCE_DIGITS.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The guest's word, now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    pub version: u32,
    /// The challenge of whoever asked, as it came: these bytes were signed after that. Absent if nobody gave one.
    pub nonce: Option<String>,
    /// Milliseconds since this machine's PID 1 began.
    pub uptime_ms: Option<u64>,
    pub system: SystemNow,
    /// Made anew for this evidence: checks, identity, network and facts as they are now. It answers no claim.
    pub report: Report,
}

/// What systemd says of the whole machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SystemNow {
    /// `running`, `degraded`, `starting`, ...; absent if systemd could not be asked.
    pub state: Option<String>,
    /// Names of failed units; absent if systemd could not be asked.
    pub failed_units: Option<Vec<String>>,
}

/// What a companion gives a guest that sends evidence by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChallengeText {
    /// See [`is_nonce`].
    pub nonce: String,
}

/// A text, and the key that signed its bytes.
///
/// ```
/// let signed = firstlight_shared::wire::Signed::parse(
///     br#"{"version":1,"text":"{}","signature":"-----BEGIN SSH SIGNATURE-----","signing_key":"ssh-ed25519 AAAA"}"#);
/// assert_eq!(signed.unwrap().text, "{}");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signed {
    pub version: u32,
    /// JSON: these very bytes are signed.
    pub text: String,
    /// SSHSIG in its PEM-like form, as `ssh-keygen -Y verify` takes it.
    pub signature: String,
    /// The public key line, without comment.
    pub signing_key: String,
}

impl Signed {
    /// Signs `value` as JSON, for one purpose.
    pub fn sign(value: &impl Serialize, key: &PrivateKey, namespace: &str) -> Result<Self, EnvelopeError> {
        let text = serde_json::to_string(value).map_err(EnvelopeError::Report)?;
        let signature =
            SshSig::sign(key, namespace, HashAlg::Sha512, text.as_bytes()).map_err(EnvelopeError::Sign)?;
        Ok(Self {
            version: EVIDENCE_VERSION,
            signature: signature.to_pem(LineEnding::LF).map_err(EnvelopeError::Sign)?,
            signing_key: signing_key_line(key.public_key()).map_err(EnvelopeError::Sign)?,
            text,
        })
    }

    /// Reads bytes of unknown origin; nothing is proved by that.
    pub fn parse(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        if bytes.len() > MAX_ENVELOPE {
            return Err(EnvelopeError::TooLarge { size: bytes.len() });
        }
        let signed: Self = serde_json::from_slice(bytes).map_err(EnvelopeError::Malformed)?;
        signed.known_version()
    }

    /// # Errors
    /// It is of another version.
    pub fn known_version(self) -> Result<Self, EnvelopeError> {
        if self.version == EVIDENCE_VERSION {
            Ok(self)
        } else {
            Err(EnvelopeError::Version { found: self.version })
        }
    }

    /// Proves that the holder of `signing_key` signed these bytes for this purpose, and reads them. Whose key it is, the
    /// caller must know.
    pub fn open<T: DeserializeOwned>(&self, namespace: &str) -> Result<(T, PublicKey), EnvelopeError> {
        let key = PublicKey::from_openssh(&self.signing_key).map_err(|_| EnvelopeError::Key)?;
        if key.algorithm() != ssh_key::Algorithm::Ed25519 {
            return Err(EnvelopeError::Key);
        }
        let signature = SshSig::from_pem(&self.signature).map_err(|_| EnvelopeError::Signature)?;
        key.verify(namespace, self.text.as_bytes(), &signature).map_err(|_| EnvelopeError::Signature)?;
        let value = serde_json::from_slice(self.text.as_bytes()).map_err(EnvelopeError::Report)?;
        Ok((value, key))
    }
}

#[cfg(test)]
mod tests {
    use ssh_key::private::Ed25519Keypair;

    use super::*;
    use crate::error::Code;

    fn key(seed: u8) -> PrivateKey {
        PrivateKey::from(Ed25519Keypair::from_seed(&[seed; 32]))
    }

    #[test]
    fn what_is_signed_for_one_purpose_counts_for_no_other() {
        let system = SystemNow { state: Some("running".into()), failed_units: Some(vec![]) };
        let signed = Signed::sign(&system, &key(1), EVIDENCE_NAMESPACE).unwrap();
        let (read, by) = signed.open::<SystemNow>(EVIDENCE_NAMESPACE).unwrap();
        assert_eq!((read, by.key_data()), (system, key(1).public_key().key_data()));
        let other = signed.open::<SystemNow>(EVIDENCE_FILE_NAMESPACE).unwrap_err();
        assert_eq!(other.code(), "bad-signature");
    }

    #[test]
    fn any_other_byte_key_or_version_is_refused() {
        let signed = Signed::sign(&SystemNow::default(), &key(1), EVIDENCE_NAMESPACE).unwrap();
        let refused = |signed: Signed| signed.open::<SystemNow>(EVIDENCE_NAMESPACE).unwrap_err().code();
        for at in 0..signed.text.len() {
            let mut text = signed.text.clone().into_bytes();
            text[at] ^= 1;
            let Ok(text) = String::from_utf8(text) else { continue };
            assert_eq!(refused(Signed { text, ..signed.clone() }), "bad-signature", "byte {at}");
        }
        let line = signing_key_line(key(2).public_key()).unwrap();
        assert_eq!(refused(Signed { signing_key: line, ..signed.clone() }), "bad-signature");
        assert_eq!(refused(Signed { signing_key: "ssh-ed25519 x".into(), ..signed.clone() }), "bad-key");
        let newer = serde_json::to_vec(&Signed { version: 2, ..signed }).unwrap();
        assert_eq!(Signed::parse(&newer).unwrap_err().code(), "unknown-version");
        assert_eq!(Signed::parse(&vec![b' '; MAX_ENVELOPE + 1]).unwrap_err().code(), "too-large");
    }

    #[test]
    fn a_challenge_is_hexadecimal_and_long_enough() {
        for (text, is) in [("0".repeat(32), true), ("0".repeat(31), false), ("0".repeat(161), false)] {
            assert_eq!(is_nonce(&text), is, "{text}");
        }
        assert!(!is_nonce(&"g".repeat(32)) && is_nonce(&"aF".repeat(16)));
    }
}

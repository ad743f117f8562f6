//! The envelope: a report's bytes, and what binds them to a key and to a claim.

use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use ssh_key::{HashAlg, LineEnding, PrivateKey, PublicKey, SshSig};
use subtle::ConstantTimeEq;

use super::{Claim, HostKey, MAX_ENVELOPE, REPORT_VERSION, Report};
use crate::error::Code;
use crate::secret::Secret;

/// SSHSIG namespace: a signature made for another purpose never counts here, nor one of ours elsewhere.
const NAMESPACE: &str = "report.v1@firstlight";

/// What is sent: `POST /v1/report`, and what stands in /run/firstlight/report.json.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    pub version: u32,
    /// The report as JSON text: these very bytes are signed.
    pub report: String,
    /// SSHSIG in its PEM-like form, as `ssh-keygen -Y verify -n report.v1@firstlight` takes it.
    pub signature: String,
    /// The public key that signed, as a public key line; also one of the report's keys, unless ephemeral.
    pub signing_key: String,
    pub binding: Option<Binding>,
}

/// Binds the report to a claim. The secret itself never travels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Binding {
    pub claim_id: String,
    /// HMAC-SHA256 of the report bytes keyed by the claim's secret, in hexadecimal. Absent if the claim has no secret.
    pub hmac: Option<String>,
}

/// An envelope whose signature holds.
#[derive(Debug, Clone)]
pub struct Opened {
    pub report: Report,
    pub sha256: String,
    /// The signing key is not one of the report's host keys.
    pub ephemeral_key: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    #[error("the report has {size} bytes, {MAX_ENVELOPE} are allowed")]
    TooLarge { size: usize },
    #[error("the envelope is not the JSON of version 1")]
    Malformed(#[source] serde_json::Error),
    #[error("version {found} is not known here, only version {REPORT_VERSION}")]
    Version { found: u32 },
    #[error("the signed text is not a report of version 1")]
    Report(#[source] serde_json::Error),
    #[error("the signing key or a host key cannot be read or has the wrong fingerprint")]
    Key,
    #[error("the signature does not fit the report")]
    Signature,
    #[error("the report could not be signed")]
    Sign(#[source] ssh_key::Error),
    #[error("the claim id in the envelope is not the one in the report")]
    ClaimMismatch,
}

impl Code for EnvelopeError {
    fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "too-large",
            Self::Malformed(_) | Self::Report(_) => "malformed",
            Self::Version { .. } => "unknown-version",
            Self::Key => "bad-key",
            Self::Signature => "bad-signature",
            Self::Sign(_) => "cannot-sign",
            Self::ClaimMismatch => "claim-mismatch",
        }
    }
}

impl Envelope {
    /// Signs `report` with the ed25519 key and binds it to the claim. The bytes are made once: send the same envelope
    /// at every retry.
    pub fn seal(report: &Report, key: &PrivateKey, claim: Option<&Claim>) -> Result<Self, EnvelopeError> {
        let text = serde_json::to_string(report).map_err(EnvelopeError::Report)?;
        let signature =
            SshSig::sign(key, NAMESPACE, HashAlg::Sha512, text.as_bytes()).map_err(EnvelopeError::Sign)?;
        let binding = claim.map(|claim| Binding {
            claim_id: claim.id.clone(),
            hmac: claim.secret.as_ref().map(|secret| hex::encode(hmac(secret, text.as_bytes()))),
        });
        Ok(Self {
            version: REPORT_VERSION,
            signature: signature.to_pem(LineEnding::LF).map_err(EnvelopeError::Sign)?,
            signing_key: signing_key_line(key.public_key()).map_err(EnvelopeError::Sign)?,
            report: text,
            binding,
        })
    }

    /// Reads an envelope from bytes of unknown origin; nothing is proved by that.
    pub fn parse(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        if bytes.len() > MAX_ENVELOPE {
            return Err(EnvelopeError::TooLarge { size: bytes.len() });
        }
        let envelope: Self = serde_json::from_slice(bytes).map_err(EnvelopeError::Malformed)?;
        if envelope.version != REPORT_VERSION {
            return Err(EnvelopeError::Version { found: envelope.version });
        }
        Ok(envelope)
    }

    /// Proves that the holder of `signing_key` signed these bytes, and reads them.
    pub fn open(&self) -> Result<Opened, EnvelopeError> {
        let key = PublicKey::from_openssh(&self.signing_key).map_err(|_| EnvelopeError::Key)?;
        if key.algorithm() != ssh_key::Algorithm::Ed25519 {
            return Err(EnvelopeError::Key);
        }
        let signature = SshSig::from_pem(&self.signature).map_err(|_| EnvelopeError::Signature)?;
        key.verify(NAMESPACE, self.report.as_bytes(), &signature).map_err(|_| EnvelopeError::Signature)?;

        let report: Report = serde_json::from_slice(self.report.as_bytes()).map_err(EnvelopeError::Report)?;
        if report.version != REPORT_VERSION {
            return Err(EnvelopeError::Version { found: report.version });
        }
        let claim_id = self.binding.as_ref().map(|binding| &binding.claim_id);
        if claim_id != report.claim_id.as_ref() {
            return Err(EnvelopeError::ClaimMismatch);
        }
        let mut ephemeral_key = true;
        for host_key in &report.identity.ssh_host_keys {
            let public = host_key.checked()?;
            ephemeral_key &= public.key_data() != key.key_data();
        }
        Ok(Opened { report, sha256: sha256_hex(self.report.as_bytes()), ephemeral_key })
    }

    /// Whether the HMAC was made with this secret. Constant time; an absent or odd HMAC does not hold.
    pub fn binding_holds(&self, secret: &Secret) -> bool {
        let sent = self.binding.as_ref().and_then(|binding| hex::decode(binding.hmac.as_ref()?).ok());
        sent.is_some_and(|sent| bool::from(sent.ct_eq(&hmac(secret, self.report.as_bytes()))))
    }
}

impl HostKey {
    /// Describes a public key as the report carries it.
    pub fn of(key: &PublicKey) -> Result<Self, ssh_key::Error> {
        Ok(Self {
            kind: key.algorithm().to_string(),
            fingerprint: key.fingerprint(HashAlg::Sha256).to_string(),
            public_key: signing_key_line(key)?,
        })
    }

    /// Reads the key and proves that type and fingerprint are its own.
    pub fn checked(&self) -> Result<PublicKey, EnvelopeError> {
        let key = PublicKey::from_openssh(&self.public_key).map_err(|_| EnvelopeError::Key)?;
        let right = key.algorithm().as_str() == self.kind
            && key.fingerprint(HashAlg::Sha256).to_string() == self.fingerprint
            && key.comment().is_empty();
        if right { Ok(key) } else { Err(EnvelopeError::Key) }
    }
}

/// The public key line without comment.
pub fn signing_key_line(key: &PublicKey) -> Result<String, ssh_key::Error> {
    PublicKey::new(key.key_data().clone(), "").to_openssh()
}

/// SHA-256 in lower-case hexadecimal.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn hmac(secret: &Secret, message: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose()).expect("HMAC takes keys of any length");
    mac.update(message);
    mac.finalize().into_bytes().into()
}

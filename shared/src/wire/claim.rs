//! The claim: what the hypervisor hands to one guest, once.

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::ExpectedSecret;
use crate::error::Code;
use crate::ids::{DerivedMachineId, GuestName};
use crate::pin::SpkiPin;
use crate::secret::Secret;

/// What the operator means with this guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Intent {
    /// A new guest from a golden: always a new identity.
    #[default]
    Provision,
    /// The same guest back from its backup: its identity is kept.
    Restore,
}

/// A one-time secret and where to report to.
///
/// ```
/// let claim: firstlight_shared::wire::Claim = serde_json::from_str(r#"{
///   "version": 1, "id": "0b6c4d1e9f", "secret": "00112233445566778899aabbccddeeff",
///   "intent": "provision", "hostname": "web-01", "url": "https://10.77.0.1:7443",
///   "pin": "sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
/// }"#).unwrap();
/// assert_eq!(claim.hostname.unwrap().as_str(), "web-01");
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Claim {
    /// Always 1; other versions are refused by the guest, which then reports without a claim. Unknown fields are
    /// ignored: a golden's agent may be older than the companion.
    pub version: u32,
    /// The claim's name: not secret, unique per job.
    pub id: String,
    /// Keys the HMAC over the report. Absent where the channel is no place for a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent: Option<Intent>,
    /// The host name that the guest must carry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<GuestName>,
    /// `https://ADDRESS:PORT` of the report listener; an address, not a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The listener's key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<SpkiPin>,
    /// The machine-id that the hypervisor fixed in advance, in derived form: compared, never obeyed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine_id: Option<DerivedMachineId>,
    /// Files that are delivered beside the claim.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<ExpectedSecret>,
}

/// Begins the one-line form of a claim, for channels that take no quotes or spaces: environment and SMBIOS strings.
const ONE_LINE: &str = "firstlight1:";

/// Why bytes are no claim. The message never holds them: they may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClaimError {
    #[error("the claim is not the JSON of version 1 (line {line}, column {column})")]
    Malformed { line: usize, column: usize },
    #[error("the claim begins with `{ONE_LINE}`, but no base64 (URL alphabet, no padding) follows")]
    Encoding,
    #[error("the claim has version {found}, only 1 is known")]
    Version { found: u32 },
}

impl Code for ClaimError {
    fn code(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => "malformed",
            Self::Encoding => "bad-encoding",
            Self::Version { .. } => "unknown-version",
        }
    }
}

impl Claim {
    /// Of this version; all else unsaid.
    pub fn new(id: impl Into<String>, secret: Option<Secret>) -> Self {
        Self {
            version: 1,
            id: id.into(),
            secret,
            intent: None,
            hostname: None,
            url: None,
            pin: None,
            machine_id: None,
            secrets: Vec::new(),
        }
    }

    /// Reads JSON, or the one-line form of it.
    pub fn parse(bytes: &[u8]) -> Result<Self, ClaimError> {
        let json = match Self::one_line(bytes) {
            Some(text) => {
                let decoded = BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| ClaimError::Encoding)?;
                Zeroizing::new(decoded)
            }
            None => Zeroizing::new(bytes.to_vec()),
        };
        let claim: Self = serde_json::from_slice(&json)
            .map_err(|error| ClaimError::Malformed { line: error.line(), column: error.column() })?;
        if claim.version == 1 { Ok(claim) } else { Err(ClaimError::Version { found: claim.version }) }
    }

    /// Whether bytes of a channel that may hold other things (a serial number) are meant as a claim.
    pub fn is_one_line(bytes: &[u8]) -> bool {
        Self::one_line(bytes).is_some()
    }

    fn one_line(bytes: &[u8]) -> Option<&[u8]> {
        bytes.trim_ascii().strip_prefix(ONE_LINE.as_bytes())
    }

    /// The one-line form: `firstlight1:` and the JSON in base64 (URL alphabet, no padding).
    pub fn to_one_line(&self) -> Zeroizing<String> {
        let json = Zeroizing::new(serde_json::to_vec(self).expect("a claim has no maps with odd keys"));
        Zeroizing::new(format!("{ONE_LINE}{}", BASE64_URL_SAFE_NO_PAD.encode(&*json)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &[u8] = br#"{"version":1,"id":"a","secret":"00ff","new":true}"#;

    #[test]
    fn both_forms_are_read_and_new_fields_ignored() {
        let claim = Claim::parse(JSON).unwrap();
        let line = claim.to_one_line();
        assert!(Claim::is_one_line(line.as_bytes()) && !Claim::is_one_line(JSON));
        assert_eq!(Claim::parse(format!(" {}\n", line.as_str()).as_bytes()).unwrap().secret, claim.secret);
    }

    #[test]
    fn malformed_claims_are_named_without_their_text() {
        for (wrong, code) in [
            (&br#"{"version":2,"id":"a","secret":"00ff"}"#[..], "unknown-version"),
            (b"00ff", "malformed"),
            (b"", "malformed"),
            (br#"{"secret":"00ffz"}"#, "malformed"),
            (b"firstlight1:00ff=", "bad-encoding"),
            (b"firstlight1:", "malformed"),
        ] {
            let error = Claim::parse(wrong).unwrap_err();
            assert_eq!(error.code(), code);
            assert!(!error.to_string().contains("00ff"));
        }
    }
}

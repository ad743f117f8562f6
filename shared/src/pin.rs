//! The pin of a TLS server: the SHA-256 of its certificate's SubjectPublicKeyInfo, as curl's `--pinnedpubkey`.
//!
//! A pin outlives the certificate (a renewed leaf keeps its key) and does not depend on the guest's clock.

use std::fmt;
use std::str::FromStr;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Written `sha256//` and 44 characters of base64.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SpkiPin([u8; 32]);

/// The text is no pin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a pin: `sha256//` and the base64 of 32 bytes are wanted")]
pub struct PinError(String);

impl SpkiPin {
    /// Of a SubjectPublicKeyInfo in DER form.
    pub fn of(spki_der: &[u8]) -> Self {
        Self(Sha256::digest(spki_der).into())
    }
}

impl fmt::Display for SpkiPin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256//{}", BASE64_STANDARD.encode(self.0))
    }
}

impl fmt::Debug for SpkiPin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for SpkiPin {
    type Err = PinError;
    fn from_str(text: &str) -> Result<Self, PinError> {
        let decoded = text.strip_prefix("sha256//").and_then(|base64| BASE64_STANDARD.decode(base64).ok());
        match decoded.map(<[u8; 32]>::try_from) {
            Some(Ok(digest)) => Ok(Self(digest)),
            _ => Err(PinError(text.chars().take(80).collect())),
        }
    }
}

impl TryFrom<String> for SpkiPin {
    type Error = PinError;
    fn try_from(text: String) -> Result<Self, PinError> {
        text.parse()
    }
}

impl From<SpkiPin> for String {
    fn from(pin: SpkiPin) -> String {
        pin.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_round_trip_and_reject_everything_else() {
        let pin = SpkiPin::of(b"key");
        assert_eq!(pin.to_string().parse(), Ok(pin));
        for wrong in ["", "sha256//", "sha256//AAAA", "sha1//AAAA", &pin.to_string()[8..]] {
            assert!(wrong.parse::<SpkiPin>().is_err(), "{wrong}");
        }
    }
}

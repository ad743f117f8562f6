//! The signature. Source: Standard Webhooks specification, "Signature scheme": HMAC-SHA256 over `id.timestamp.body`.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use firstlight_shared::secret::Secret;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

const PREFIX: &str = "whsec_";
/// In bytes, as the specification wants it.
const LENGTHS: std::ops::RangeInclusive<usize> = 24..=64;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the secret is not of the form whsec_BASE64, of 24 to 64 bytes")]
pub struct SecretForm;

/// What both sides know.
pub struct SigningKey(Zeroizing<Vec<u8>>);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(..)")
    }
}

impl SigningKey {
    /// # Errors
    /// Another form, or another length.
    pub fn parse(secret: &Secret) -> Result<Self, SecretForm> {
        let text = std::str::from_utf8(secret.expose()).map_err(|_| SecretForm)?;
        let encoded = text.trim().strip_prefix(PREFIX).ok_or(SecretForm)?;
        let key = Zeroizing::new(STANDARD.decode(encoded).map_err(|_| SecretForm)?);
        if LENGTHS.contains(&key.len()) { Ok(Self(key)) } else { Err(SecretForm) }
    }

    /// `v1,BASE64`. `seconds`: since the Unix epoch.
    pub fn sign(&self, id: &str, seconds: u64, body: &[u8]) -> String {
        // HMAC takes keys of any length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else { return String::new() };
        mac.update(format!("{id}.{seconds}.").as_bytes());
        mac.update(body);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

//! Secret files: what a claim says of them, and what a report says. Never what is in them.

use serde::{Deserialize, Serialize};

use super::sha256_hex;

/// How many digits of a secret's SHA-256 are told: enough to tell two files apart, and 32 bits of what is in them.
const PREFIX_DIGITS: usize = 8;

/// A file that a guest shall have before its first unit needs it, as a claim names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpectedSecret {
    /// Absolute.
    pub path: String,
    /// Octal digits: `0400`.
    pub mode: String,
    /// `USER:GROUP`, names of the guest or numbers.
    pub owner: String,
}

/// What became of one of them, as the guest finds it before its first unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretOutcome {
    pub path: String,
    /// The first 8 hexadecimal digits of the file's SHA-256; absent if it cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256_prefix: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// As it was asked for where that is so, else `UID:GID`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Why it is not as it should be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// What may be told of a secret's content.
pub fn secret_prefix(content: &[u8]) -> String {
    let mut digits = sha256_hex(content);
    digits.truncate(PREFIX_DIGITS);
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_bytes_of_the_digest_are_told() {
        assert_eq!(secret_prefix(b"abc"), "ba7816bf");
    }
}

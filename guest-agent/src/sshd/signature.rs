//! Verifies a signature in SSH's form by the key that is said to have made it: by ssh-key what it can verify, by ring
//! the rest.

use p256::ecdsa::signature::Verifier;
use ring::signature::{
    ECDSA_P384_SHA384_FIXED, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA512, RsaPublicKeyComponents,
    UnparsedPublicKey,
};
use ssh_key::public::{EcdsaPublicKey, KeyData};
use ssh_key::{PublicKey, Signature};

use super::wire::Reader;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    Holds,
    Fails,
    /// The algorithm is not known here, or too weak to prove anything.
    Unknown,
}

/// `blob`: the algorithm's name and the signature, each a string. Source: RFC 4253, 6.6; RFC 5656, 3.1.2; RFC 8332, 3.
pub(crate) fn verify(key: &PublicKey, blob: &[u8], message: &[u8]) -> Proof {
    let mut reader = Reader::new(blob);
    let (Some(algorithm), Some(signature), true) = (reader.text(), reader.string(), reader.is_empty()) else {
        return Proof::Fails;
    };
    match (key.key_data(), algorithm) {
        (KeyData::Ed25519(_), "ssh-ed25519")
        | (KeyData::Ecdsa(EcdsaPublicKey::NistP256(_)), "ecdsa-sha2-nistp256") => {
            let verified =
                Signature::try_from(blob).is_ok_and(|read| key.key_data().verify(message, &read).is_ok());
            if verified { Proof::Holds } else { Proof::Fails }
        }
        (KeyData::Ecdsa(EcdsaPublicKey::NistP384(point)), "ecdsa-sha2-nistp384") => {
            let key = UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point.as_bytes());
            fixed(signature, 48).map_or(Proof::Fails, |fixed| proof(key.verify(message, &fixed)))
        }
        (KeyData::Rsa(public), "rsa-sha2-256" | "rsa-sha2-512") => {
            let (Some(n), Some(e)) = (public.n.as_positive_bytes(), public.e.as_positive_bytes()) else {
                return Proof::Fails;
            };
            let parameters = match algorithm {
                "rsa-sha2-256" => &RSA_PKCS1_2048_8192_SHA256,
                _ => &RSA_PKCS1_2048_8192_SHA512,
            };
            // OpenSSH leaves leading zeros out, which ring wants.
            let missing = n.len().saturating_sub(signature.len());
            let padded = [&vec![0; missing][..], signature].concat();
            proof(RsaPublicKeyComponents { n, e }.verify(parameters, message, &padded))
        }
        (KeyData::Ecdsa(EcdsaPublicKey::NistP521(_)), "ecdsa-sha2-nistp521") => Proof::Unknown,
        (KeyData::Ed25519(_) | KeyData::Ecdsa(_), _) => Proof::Fails,
        _ => Proof::Unknown,
    }
}

fn proof(verified: Result<(), ring::error::Unspecified>) -> Proof {
    if verified.is_ok() { Proof::Holds } else { Proof::Fails }
}

/// r and s, each padded to the curve's size.
fn fixed(signature: &[u8], size: usize) -> Option<Vec<u8>> {
    let mut reader = Reader::new(signature);
    let mut fixed = Vec::with_capacity(2 * size);
    for _ in 0..2 {
        let number = reader.unsigned()?;
        fixed.resize(fixed.len() + size.checked_sub(number.len())?, 0);
        fixed.extend_from_slice(number);
    }
    reader.is_empty().then_some(fixed)
}
